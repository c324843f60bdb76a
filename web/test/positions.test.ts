/** What the resume helper asks for and lets through, with a socket that is played. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";

import type { Client, Sink, SubscribePayload } from "graphql-ws";

import { resuming, type ResumeOptions, type Update } from "../src/resume/resume";

const INBOX = "subscription ($after: [String!]) { inboxUpdates(after: $after) { __typename } }";
const UPDATES =
  "subscription ($id: ID!, $after: String) { conversationUpdates(conversationId: $id, after: $after) { __typename } }";

/** A graphql-ws client whose server is the test. */
class Played {
  payload!: SubscribePayload;
  sink!: Sink<any>;
  readonly told: Update[] = [];
  ended: unknown = null;
  readonly client = {
    subscribe: (payload: SubscribePayload, sink: Sink<any>) => {
      this.payload = payload;
      this.sink = sink;
      return () => sink.complete();
    },
  } as unknown as Client;

  follow(query: string, variables: Record<string, unknown>, options: ResumeOptions): () => void {
    return resuming(this.client, options).subscribe(
      { query, variables },
      {
        next: ({ data }) => this.told.push(Object.values(data ?? {})[0] as Update),
        error: (error) => (this.ended = error),
        complete: () => (this.ended = "complete"),
      },
    );
  }

  /** The variables as they are sent when the client connects now. */
  connect(): Record<string, unknown> {
    return JSON.parse(JSON.stringify(this.payload)).variables;
  }

  send(__typename: string, conversationId: string, sequence?: number, cursor = `${conversationId}${sequence}`): void {
    const update = { __typename, conversationId, ...(sequence === undefined ? {} : { sequence, cursor }) };
    this.sink.next({ data: { inboxUpdates: update } });
  }

  resync(conversationId: string, cursor: string): void {
    this.sink.next({ data: { inboxUpdates: { __typename: "ResyncRequired", conversationId, cursor } } });
  }

  get sequences(): (number | undefined)[] {
    return this.told.map(({ sequence }) => sequence);
  }
}

const never: ResumeOptions = { resync: () => assert.fail("nothing has to be read again") };

test("an inbox asks for the newest position of each conversation and lets no entry through twice", () => {
  const played = new Played();
  played.follow(INBOX, { after: { a: "a1", b: "b1" } }, never);
  assert.deepEqual(played.connect(), { after: ["a1", "b1"] });

  for (const sequence of [2, 3]) played.send("MessageSent", "a", sequence);
  assert.deepEqual(played.connect(), { after: ["b1", "a3"] });
  for (const sequence of [2, 3, 4]) played.send("MessageSent", "a", sequence);
  played.send("ReceiptMoved", "a");
  played.send("CaughtUp", "a", 4);

  assert.deepEqual(played.sequences, [2, 3, 4, undefined, 4]);
  assert.deepEqual(played.connect(), { after: ["b1", "a4"] });
});

test("one conversation begins where it was told to and goes on from the newest entry", () => {
  const played = new Played();
  played.follow(UPDATES, { id: "a", after: "a7" }, never);
  assert.deepEqual(played.connect(), { id: "a", after: "a7" });

  played.send("MessageSent", "a", 8);
  assert.deepEqual(played.connect(), { id: "a", after: "a8" });
});

test("a position moves after the entry was handled, not before", () => {
  const played = new Played();
  const client = resuming(played.client, never);
  const next = () => {
    assert.deepEqual(played.connect(), { after: ["a1"] });
  };
  client.subscribe({ query: INBOX, variables: { after: { a: "a1" } } }, { next, error() {}, complete() {} });
  played.connect();
  played.send("MessageSent", "a", 2);

  assert.deepEqual(played.connect(), { after: ["a2"] });
});

test("entries wait until a conversation has been read again, and those of others do not", async () => {
  const played = new Played();
  let end = () => {};
  played.follow(INBOX, { after: { a: "a1", b: "b1" } }, { resync: () => new Promise<void>((done) => (end = done)) });
  played.connect();
  played.resync("a", "a9");
  played.send("MessageSent", "a", 10);
  played.send("MessageSent", "b", 2);
  assert.deepEqual(played.sequences, [2]);
  assert.deepEqual(played.connect(), { after: ["a1", "b2"] }); // not read yet: whoever reconnects is told again

  end();
  await turn();
  assert.deepEqual(played.sequences, [2, 10]);
  assert.deepEqual(played.connect(), { after: ["b2", "a10"] });
});

test("when too many wait they are read as well", async () => {
  const played = new Played();
  const ends: (() => void)[] = [];
  const notices: string[] = [];
  played.follow(
    INBOX,
    { after: { a: "a1" } },
    {
      resync: ({ cursor }) => {
        notices.push(cursor);
        return new Promise<void>((done) => void ends.push(done));
      },
    },
  );
  played.connect();
  played.resync("a", "a9");
  for (let sequence = 10; sequence <= 1012; sequence++) played.send("MessageSent", "a", sequence);
  ends[0]!();
  await turn();
  assert.deepEqual(notices, ["a9", "a1010"]);
  ends[1]!();
  await turn();

  assert.deepEqual(played.sequences, [1011, 1012]);
});

test("a conversation for whose cursor there was no room is read again where it has moved on", async () => {
  const played = new Played();
  const read: string[] = [];
  const after = Object.fromEntries(Array.from({ length: 502 }, (_, index) => [`c${index}`, `cursor ${index}`]));
  played.follow(INBOX, { after }, { resync: ({ conversationId }) => void read.push(conversationId) });
  const first = played.connect()["after"] as string[];
  assert.equal(first.length, 500);
  assert.ok(!first.includes("cursor 0") && !first.includes("cursor 1"));
  played.send("CaughtUp", "c0", 7);
  played.send("CaughtUp", "c500", 7);
  await turn();

  assert.deepEqual(read, ["c0"]);
});

test("a failed reading ends the subscription with what went wrong", async () => {
  const played = new Played();
  const problem = new Error("cannot be read");
  played.follow(INBOX, { after: { a: "a1" } }, { resync: () => Promise.reject(problem) });
  played.resync("a", "a9");
  await turn();

  assert.equal(played.ended, problem);
});

test("positions outlive the page, and what is given is newer than what was stored", () => {
  const stored = new Map<string, string>();
  const storage = {
    getItem: (key: string) => stored.get(key) ?? null,
    setItem: (key: string, value: string) => void stored.set(key, value),
  };
  const before = new Played();
  before.follow(INBOX, { after: { a: "a1" } }, { ...never, storage });
  before.connect();
  before.send("MessageSent", "a", 2);
  before.send("MessageSent", "b", 5);

  const again = new Played();
  again.follow(INBOX, { after: { b: "b6" } }, { ...never, storage });
  assert.deepEqual((again.connect()["after"] as string[]).sort(), ["a2", "b6"]);
  again.send("MessageSent", "a", 2);
  assert.deepEqual(again.sequences, []);
});

test("other operations pass through, and a selection that cannot be resumed is refused", () => {
  const played = new Played();
  played.follow("subscription { session { kind } }", { any: 1 }, never);
  assert.deepEqual(played.connect(), { any: 1 });
  played.sink.next({ data: { session: { kind: "EXPIRING" } } });
  assert.equal(played.told.length, 1);

  assert.throws(() => played.follow(INBOX, { after: ["a1"] }, never), /conversation id/);
  played.follow(INBOX, {}, never);
  assert.throws(() => played.sink.next({ data: { inboxUpdates: { __typename: "MessageSent" } } }), /Ask for/);
});
