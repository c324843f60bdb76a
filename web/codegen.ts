import type { CodegenConfig } from "@graphql-codegen/cli";

// What the messenger's operations take and answer with, and their texts.
export default {
  schema: "../schema/schema.graphql",
  documents: "src/app/api/operations.graphql",
  generates: {
    "src/app/api/graphql.ts": {
      plugins: ["typescript-operations", "typed-document-node"],
      config: {
        documentMode: "string",
        enumType: "string-literal",
        scalars: { DateTime: "string", ID: "string" },
        skipTypename: true,
        useTypeImports: true,
        arrayInputCoercion: false,
        pureMagicComment: true,
      },
    },
  },
} satisfies CodegenConfig;
