/** The resume helper in four clients against a running Parley, whose API process dies again and again. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";

import { WebSocket } from "ws";

import * as apollo from "../src/resume/examples/apollo";
import * as graphqlWs from "../src/resume/examples/graphql-ws";
import * as relay from "../src/resume/examples/relay";
import type { Inbox, InboxUpdate } from "../src/resume/examples/inbox";
import * as urql from "../src/resume/examples/urql";
import { mutate, PATIENCE_MS, register, send, talk, URL } from "./people";

const RUN_FILE = process.env["PARLEY_RUN_FILE"]!;
const DEATHS = 2;
const MESSAGES = 5; // before each death, while nobody answers, and after the last

// Node.js 20 has none of its own. Sockets that a test cuts are found here.
const sockets = new Set<WebSocket>();
globalThis.WebSocket = class extends WebSocket {
  constructor(url: string, protocols: string[]) {
    super(url, protocols);
    sockets.add(this);
    this.on("close", () => sockets.delete(this));
  }
} as unknown as typeof globalThis.WebSocket;

const follows: Record<string, (inbox: Inbox) => () => void> = {
  "graphql-ws": graphqlWs.follow,
  apollo: apollo.follow,
  urql: urql.follow,
  relay: relay.follow,
};

test("every client gets each entry once and in order although the API dies and sockets are cut", async (context) => {
  const ann = await register();
  const bob = await register();
  const rooms = [await talk(ann, bob), await talk(ann, bob)];
  const clients = Object.entries(follows).map(([name, follow]) => {
    const updates: InboxUpdate[] = [];
    const stop = follow({
      url: URL.replace("http", "ws") + "/graphql",
      token: () => bob.token,
      after: Object.fromEntries(rooms.map(({ id, cursor }) => [id, cursor])),
      show: (update) => updates.push(update),
      readAgain: () => assert.fail("nothing has to be read again"),
    });
    return { name, updates, stop };
  });
  const sent: string[] = [];
  const say = async (count: number) => {
    for (let index = 0; index < count; index++) {
      for (const room of rooms) {
        const id = `${room.id}-${sent.length}`;
        sent.push(id);
        await send(ann, room.id, id);
      }
    }
  };
  const each = (holds: (updates: InboxUpdate[]) => boolean) => () => clients.every(({ updates }) => holds(updates));
  try {
    await until(each((all) => all.filter(({ __typename }) => __typename === "CaughtUp").length === rooms.length));
    for (let death = 0; death < DEATHS; death++) {
      await say(MESSAGES);
      process.kill(apiPid(), "SIGKILL");
      await say(MESSAGES); // each is tried until the successor answers, so some come while the clients are still away
      await until(() => sockets.size === clients.length);
      for (const socket of sockets) socket.terminate();
      await say(1);
    }
    const last = sent.at(-1);
    await until(each((all) => all.some(({ message }) => message?.clientMessageId === last)));
    await until(each((all) => rooms.every(({ id }) => entriesOf(all, id).length >= sent.length / rooms.length)));
  } finally {
    for (const { stop } of clients) stop();
  }

  for (const { name, updates } of clients) {
    await context.test(name, () => {
      for (const room of rooms) {
        const entries = entriesOf(updates, room.id);
        assert.deepEqual(
          entries.map(({ sequence }) => sequence),
          entries.map((_, index) => index + 2), // slot 1 is the creation, which was read
        );
        assert.deepEqual(
          entries.map(({ message }) => message?.clientMessageId),
          sent.filter((id) => id.startsWith(room.id)),
        );
      }
    });
  }
});

test("after a gap that cannot be replayed a conversation is read again before later entries are told", async () => {
  const ann = await register();
  const bob = await register();
  const room = await talk(ann, bob);
  const conversation = { conversationId: room.id };
  await send(ann, room.id, "before");
  const removed = `removeMember(input: $input) { userErrors { code } }`;
  const added = `addMembers(input: $input) { userErrors { code } }`;
  await mutate(removed, "RemoveMemberInput", { ...conversation, userId: bob.id }, ann);
  await send(ann, room.id, "not for bob");
  await mutate(added, "AddMembersInput", { ...conversation, userIds: [bob.id] }, ann);

  const told: string[] = [];
  const entries = () => told.filter((what) => what !== "ReceiptMoved" && what !== "CaughtUp");
  let hasRead = false;
  const stop = graphqlWs.follow({
    url: URL.replace("http", "ws") + "/graphql",
    token: () => bob.token,
    after: { [room.id]: room.cursor }, // of before the removal
    show: ({ __typename, message }) => told.push(message?.clientMessageId ?? __typename),
    async readAgain(id) {
      assert.equal(id, room.id);
      await send(ann, room.id, "while reading");
      await wait(300); // so that it is on its way before this ends
      assert.deepEqual(entries(), []);
      hasRead = true;
    },
  });
  try {
    await until(() => told.includes("while reading"));
    await send(ann, room.id, "later");
    await until(() => told.includes("later"));
  } finally {
    stop();
  }

  assert.ok(hasRead);
  assert.deepEqual(entries(), ["while reading", "later"]);
});

function entriesOf(updates: InboxUpdate[], conversationId: string): InboxUpdate[] {
  return updates.filter((update) => update.conversationId === conversationId && update.__typename === "MessageSent");
}

function apiPid(): number {
  return JSON.parse(readFileSync(RUN_FILE, "utf8")).api[0].pid;
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS;
  while (!condition()) {
    assert.ok(Date.now() < deadline, "that took too long");
    await wait(20);
  }
}
