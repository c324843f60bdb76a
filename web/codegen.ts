import type { CodegenConfig } from "@graphql-codegen/cli";

const config = {
  documentMode: "string",
  enumType: "string-literal",
  scalars: { DateTime: "string", ID: "string" },
  skipTypename: true,
  useTypeImports: true,
  arrayInputCoercion: false,
  pureMagicComment: true,
};
const plugins = ["typescript-operations", "typed-document-node"];

// What the operations of a page take and answer with, and their texts.
const operationsOf = (page: string) => ({
  [`src/${page}/api/graphql.ts`]: { documents: `src/${page}/api/operations.graphql`, plugins, config },
});

export default {
  schema: "../schema/schema.graphql",
  generates: { ...operationsOf("app"), ...operationsOf("ops") },
} satisfies CodegenConfig;
