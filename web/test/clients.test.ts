/** What docs/clients/ shows, in four clients against a running Parley: token renewal, pages, resuming, errors. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";

import { WebSocket } from "ws";

import * as apollo from "../src/clients/apollo";
import * as graphqlWs from "../src/clients/graphql-ws";
import * as relay from "../src/clients/relay";
import { Session } from "../src/clients/session";
import * as urql from "../src/clients/urql";
import { PATIENCE_MS, register, send, talk, URL } from "./people";

const EXPIRED_TOKEN = process.env["EXPIRED_TOKEN"]!;
const NOWHERE = `cnv_${"0".repeat(26)}`;

// Node.js 20 has none of its own. Sockets that a test cuts are found here.
const sockets = new Set<WebSocket>();
globalThis.WebSocket = class extends WebSocket {
  constructor(url: string, protocols: string[]) {
    super(url, protocols);
    sockets.add(this);
    this.on("close", () => sockets.delete(this));
  }
} as unknown as typeof globalThis.WebSocket;

/** The bodies that are here, oldest first. */
interface Page {
  cursor: string;
  bodies: unknown[];
  hasOlder: boolean;
}
interface Update {
  readonly __typename: string;
  readonly message?: { readonly clientMessageId: string | null | undefined } | undefined;
}
interface Chat {
  newest(id: string, count: number): Promise<Page>;
  /** What is here when the page before has been read too. */
  older(): Promise<Page>;
  follow(after: Record<string, string>, show: (update: Update) => void): () => void;
  send(id: string, body: string, clientMessageId: string): Promise<unknown>;
  codeOf(error: any): string | undefined;
}
type Open = (session: Session) => Chat;

const neverAgain = () => assert.fail("nothing has to be read again");
const failed = (error: unknown) => assert.fail(String(error));

/** Of clients that keep no pages. */
function paging(read: (id: string, count: number, before?: string | null) => Promise<graphqlWs.History>) {
  let here: { id: string; count: number; bodies: unknown[]; before: string | null };
  const page = async (id: string, count: number, before: string | null, later: unknown[]): Promise<Page> => {
    const { cursor, messages } = await read(id, count, before);
    const bodies = [...messages.nodes.map(({ body }) => body), ...later];
    here = { id, count, bodies, before: messages.pageInfo.startCursor };
    return { cursor, bodies, hasOlder: messages.pageInfo.hasPreviousPage };
  };
  return {
    newest: (id: string, count: number) => page(id, count, null, []),
    older: () => page(here.id, here.count, here.before, here.bodies),
  };
}

const clients: Record<string, Open> = {
  "graphql-ws": (session) => {
    const client = graphqlWs.open(session, neverAgain);
    return {
      ...paging((...window) => graphqlWs.read(client, ...window)),
      follow: (after, show) => graphqlWs.follow(client, after, show, failed),
      send: (...message) => graphqlWs.send(client, ...message),
      codeOf: (errors) => errors[0].extensions.code,
    };
  },
  apollo: (session) => {
    const client = apollo.open(session, neverAgain);
    let query: ReturnType<typeof apollo.watch>;
    const page = (): Page => {
      const { cursor, messages } = query.getCurrentResult().data!.conversation as any;
      const bodies = messages.edges.map(({ node }: any) => node.body);
      return { cursor, bodies, hasOlder: messages.pageInfo.hasPreviousPage };
    };
    return {
      newest: async (id, count) => {
        query = apollo.watch(client, id, count);
        await new Promise<void>((resolve, reject) => {
          query.subscribe(({ loading, error, data }) => {
            if (error) reject(error);
            else if (!loading) data!.conversation ? resolve() : reject(new Error("There is no such conversation."));
          });
        });
        return page();
      },
      older: async () => {
        const { length } = page().bodies;
        await apollo.readOlder(query);
        await until(() => page().bodies.length > length); // whoever watches is told
        return page();
      },
      follow: (after, show) => apollo.follow(client, after, show, failed),
      send: (...message) => apollo.send(client, ...message),
      codeOf: apollo.codeOf,
    };
  },
  urql: (session) => {
    const client = urql.open(session, neverAgain);
    return {
      ...paging((...window) => urql.read(client, ...window)),
      follow: (after, show) => urql.follow(client, after, show, failed),
      send: (...message) => urql.send(client, ...message),
      codeOf: urql.codeOf,
    };
  },
  relay: (session) => {
    const environment = relay.open(session, neverAgain);
    let here: { id: string; count: number; before: string | null | undefined };
    const page = async (id: string, count: number, before?: string | null): Promise<Page> => {
      const { cursor, messages } = await relay.read(environment, id, count, before);
      here = { id, count, before: messages.pageInfo.startCursor };
      const bodies = messages.edges.map(({ node }) => node.body);
      return { cursor, bodies, hasOlder: messages.pageInfo.hasPreviousPage };
    };
    return {
      newest: page,
      older: () => page(here.id, here.count, here.before),
      follow: (after, show) => relay.follow(environment, after, show, failed),
      send: (...message) => relay.send(environment, ...message),
      codeOf: relay.codeOf,
    };
  },
};

for (const [name, open] of Object.entries(clients)) {
  test(`${name} renews its token, pages back, resumes where it was and says what is wrong`, async () => {
    const [ann, bob] = await Promise.all([register(), register()]);
    const room = await talk(ann, bob);
    const said = ["one", "two", "three", "four", "five"];
    for (const body of said) await send(ann, room.id, body);
    const chat = open(new Session(`${URL}/graphql`, EXPIRED_TOKEN, bob.refreshToken));

    const newest = await chat.newest(room.id, 2);
    assert.deepEqual([newest.bodies, newest.hasOlder], [said.slice(3), true]);
    assert.deepEqual((await chat.older()).bodies, said.slice(1));
    const whole = await chat.older();
    assert.deepEqual([whole.bodies, whole.hasOlder], [said, false]);

    const updates: Update[] = [];
    const has = (id: string) => updates.some(({ message }) => message?.clientMessageId === id);
    const stop = chat.follow({ [room.id]: newest.cursor }, (update) => updates.push(update));
    try {
      await until(() => updates.some(({ __typename }) => __typename === "CaughtUp"));
      await chat.send(room.id, "six", "six");
      await until(() => has("six"));
      for (const socket of sockets) socket.terminate();
      await send(ann, room.id, "seven");
      await until(() => has("seven"));
      await send(ann, room.id, "eight");
      await until(() => has("eight"));
      const told = updates.filter(({ __typename }) => __typename === "MessageSent");
      assert.deepEqual(
        told.map(({ message }) => message?.clientMessageId),
        ["six", "seven", "eight"],
      );
      await assert.rejects(chat.send(room.id, " ", "empty"), { cause: "INVALID_INPUT" });
    } finally {
      stop();
    }
    await assert.rejects(chat.newest(NOWHERE, 2), /no such conversation/);
    const error = await chat.newest(room.id, 101).then(neverAgain, (error: unknown) => error);
    assert.equal(chat.codeOf(error), "BAD_USER_INPUT");
  });
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS;
  while (!condition()) {
    assert.ok(Date.now() < deadline, "that took too long");
    await wait(20);
  }
}
