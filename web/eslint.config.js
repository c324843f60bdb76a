// Judges the schema and the operations of the pages; run in the root of the repository by tests/web/test_generated.py.
import graphql from "@graphql-eslint/eslint-plugin";

const { configs } = graphql;
const OPERATIONS = "web/src/**/*.graphql";
const judging = {
  plugins: { "@graphql-eslint": graphql },
  languageOptions: {
    parser: graphql.parser,
    parserOptions: { graphQLConfig: { schema: "schema/schema.graphql", documents: OPERATIONS } },
  },
};

export default [
  {
    files: ["schema/schema.graphql"],
    ...judging,
    rules: {
      ...configs["schema-recommended"].rules,
      ...configs["schema-relay"].rules,
      "@graphql-eslint/no-typename-prefix": "off", // the `reporter` of a Report is not its prefix twice
      // A Node has an id, and nothing else has: payloads, entries and values are no things that a client asks for again.
      "@graphql-eslint/strict-id-in-types": "off",
      // Members and receipts are found through what they belong to, and what is short and bounded is a plain list.
      "@graphql-eslint/relay-edge-types": [
        "error",
        { withEdgeSuffix: true, shouldImplementNode: false, listTypeCanWrapOnlyEdgeType: false },
      ],
    },
  },
  {
    files: [OPERATIONS],
    ...judging,
    rules: {
      ...configs["operations-recommended"].rules,
    },
  },
];
