//#region set up
import type { Client } from "graphql-ws";

import { resuming, type ResumeOptions, type Update } from "../resume/resume";
import { socketOf, type Session } from "./session";

export function open(session: Session, resync: ResumeOptions["resync"]): Client {
  return resuming(socketOf(session), { resync });
}

/** Queries and mutations go over the same socket, one answer for each. */
export function ask<Data>(client: Client, query: string, variables: Record<string, unknown>): Promise<Data> {
  return new Promise((resolve, reject) => {
    let answer: Data | null | undefined;
    client.subscribe<Data>(
      { query, variables },
      {
        next: ({ data, errors }) => (errors ? reject(errors) : (answer = data)),
        error: reject,
        complete: () => resolve(answer!),
      },
    );
  });
}
//#endregion

//#region page
export interface Message {
  id: string;
  sequence: number;
  body: string | null; // null once deleted
  clientMessageId: string | null;
}
export interface History {
  cursor: string; // where to follow the conversation from
  messages: { nodes: Message[]; pageInfo: { hasPreviousPage: boolean; startCursor: string | null } };
}

const HISTORY = `query History($id: ID!, $count: Int!, $before: String) {
  conversation(id: $id) {
    cursor
    messages(last: $count, before: $before) {
      nodes { id sequence body clientMessageId }
      pageInfo { hasPreviousPage startCursor }
    }
  }
}`;

/** Return the newest messages, or those before a page: its `startCursor`. */
export async function read(client: Client, id: string, count = 50, before?: string | null): Promise<History> {
  const { conversation } = await ask<{ conversation: History | null }>(client, HISTORY, { id, count, before });
  if (!conversation) throw new Error("There is no such conversation, or you are not in it.");
  return conversation;
}
//#endregion

//#region follow
export type InboxUpdate = Update & { message?: Message };

const INBOX = `subscription Inbox($after: [String!]) {
  inboxUpdates(after: $after) {
    __typename
    ... on ConversationEvent { conversationId sequence cursor }
    ... on MessageSent { message { id sequence body clientMessageId } }
    ... on ReceiptMoved { conversationId userId deliveredSequence readSequence }
    ... on CaughtUp { conversationId sequence cursor }
    ... on ResyncRequired { conversationId reason cursor }
  }
}`;

/** Follow all conversations from the `cursor` of each that was read, until the returned function is called. */
export function follow(
  client: Client,
  after: Record<string, string>,
  show: (update: InboxUpdate) => void,
  failed: (errors: unknown) => void,
): () => void {
  return client.subscribe<{ inboxUpdates: InboxUpdate }>(
    { query: INBOX, variables: { after } },
    { next: ({ data }) => data && show(data.inboxUpdates), error: failed, complete: () => {} },
  );
}
//#endregion

//#region errors
const SEND = `mutation Send($input: SendMessageInput!) {
  sendMessage(input: $input) {
    message { id sequence body clientMessageId }
    userErrors { code message path }
  }
}`;

interface Sent {
  sendMessage: { message: Message | null; userErrors: { code: string; message: string; path: string[] | null }[] };
}

/** Say something. Try again with the same `clientMessageId`: it is stored once. */
export async function send(
  client: Client,
  conversationId: string,
  body: string,
  clientMessageId: string,
): Promise<Message> {
  const { sendMessage } = await ask<Sent>(client, SEND, { input: { conversationId, body, clientMessageId } });
  const [refusal] = sendMessage.userErrors; // for people to correct
  if (refusal) throw new Error(refusal.message, { cause: refusal.code });
  return sendMessage.message!;
}

/** Whether what `ask` was rejected with may pass: then ask again. */
export function isRetryable(error: unknown): boolean {
  return Array.isArray(error) && error.some(({ extensions }) => extensions?.retryable);
}
//#endregion
