/** Streams as graphql-sse reads them, and documents as Apollo's link registers them. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { ApolloClient, gql, HttpLink, InMemoryCache } from "@apollo/client";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { createHash } from "node:crypto";
import { createClient } from "graphql-sse";

import { register, send, talk, URL } from "./people";

const UPDATES = `subscription ($id: ID!, $after: String) { conversationUpdates(conversationId: $id, after: $after) {
  __typename ... on ConversationEvent { sequence } ... on MessageSent { message { body } } } }`;

test("graphql-sse follows a conversation", async () => {
  const ann = await register();
  const bob = await register();
  const { id, cursor } = await talk(ann, bob);
  const client = createClient({
    url: `${URL}/graphql/stream`,
    headers: { Authorization: `Bearer ${bob.token}` },
  });
  await send(ann, id, "replayed");
  const bodies: string[] = [];
  for await (const { data, errors } of client.iterate<{ conversationUpdates: any }>({
    query: UPDATES,
    variables: { id, after: cursor },
  })) {
    assert.equal(errors, undefined);
    const update = data!.conversationUpdates;
    if (update.__typename === "CaughtUp") await send(ann, id, "live");
    if (update.__typename === "MessageSent") bodies.push(update.message.body);
    if (bodies.length === 2) break;
  }
  client.dispose();
  assert.deepEqual(bodies, ["replayed", "live"]);
});

test("graphql-sse is told what is wrong with a document", async () => {
  const client = createClient({ url: `${URL}/graphql/stream`, retryAttempts: 0 });
  const results = [];
  for await (const result of client.iterate({ query: "subscription { nothing }" })) results.push(result);
  assert.equal(results.length, 1);
  assert.equal(results[0]!.errors![0]!.extensions!["code"], "GRAPHQL_VALIDATION_FAILED");
});

test("Apollo's link registers a document and then sends its hash alone", async () => {
  const ann = await register();
  const sent: string[] = [];
  const link = new PersistedQueryLink({
    sha256: (text: string) => createHash("sha256").update(text).digest("hex"),
  }).concat(
    new HttpLink({
      uri: `${URL}/graphql`,
      headers: { Authorization: `Bearer ${ann.token}` },
      fetch: (url, options) => {
        sent.push(String(options!.body));
        return fetch(url, options);
      },
    }),
  );
  const client = new ApolloClient({ link, cache: new InMemoryCache() });
  const query = gql`query Mine${ann.id.replaceAll("_", "")} { viewer { user { id } } }`;
  for (let number = 0; number < 2; number += 1) {
    const { data } = await client.query<any>({ query, fetchPolicy: "network-only" });
    assert.equal(data.viewer.user.id, ann.id);
  }
  assert.deepEqual(
    sent.map((body) => "query" in JSON.parse(body)),
    [false, true, false],
  );
});
