//#region set up
import { Client, fetchExchange, gql, subscriptionExchange, type CombinedError } from "@urql/core";
import { authExchange } from "@urql/exchange-auth";

import { resuming, type ResumeOptions } from "../resume/resume";
import type { History, InboxUpdate, Message } from "./graphql-ws";
import { socketOf, type Session } from "./session";

export function open(session: Session, resync: ResumeOptions["resync"]): Client {
  const socket = resuming(socketOf(session), { resync });
  return new Client({
    url: session.url,
    preferGetMethod: false,
    exchanges: [
      authExchange(async ({ appendHeaders }) => ({
        addAuthToOperation: (operation) => appendHeaders(operation, { Authorization: session.authorization }),
        didAuthError: (error) => codeOf(error) === "TOKEN_EXPIRED",
        refreshAuth: () => session.renewed(),
      })),
      fetchExchange,
      subscriptionExchange({
        forwardSubscription: ({ query = "", ...request }) => ({
          subscribe: (sink) => ({ unsubscribe: socket.subscribe({ query, ...request }, sink) }),
        }),
      }),
    ],
  });
}
//#endregion

//#region page
const HISTORY = gql<{ conversation: History | null }>`
  query History($id: ID!, $count: Int!, $before: String) {
    conversation(id: $id) {
      cursor
      messages(last: $count, before: $before) {
        nodes { id sequence body clientMessageId }
        pageInfo { hasPreviousPage startCursor }
      }
    }
  }
`;

/** Return the newest messages, or those before a page: its `startCursor`. */
export async function read(client: Client, id: string, count = 50, before?: string | null): Promise<History> {
  const { data, error } = await client.query(HISTORY, { id, count, before });
  if (error) throw error;
  if (!data?.conversation) throw new Error("There is no such conversation, or you are not in it.");
  return data.conversation;
}
//#endregion

//#region follow
const INBOX = gql<{ inboxUpdates: InboxUpdate }>`
  subscription Inbox($after: [String!]) {
    inboxUpdates(after: $after) {
      __typename
      ... on ConversationEvent { conversationId sequence cursor }
      ... on MessageSent { message { id sequence body clientMessageId } }
      ... on ReceiptMoved { conversationId userId deliveredSequence readSequence }
      ... on CaughtUp { conversationId sequence cursor }
      ... on ResyncRequired { conversationId reason cursor }
    }
  }
`;

export function follow(
  client: Client,
  after: Record<string, string>,
  show: (update: InboxUpdate) => void,
  failed: (error: unknown) => void,
): () => void {
  const subscription = client.subscription(INBOX, { after }).subscribe(({ data, error }) => {
    if (error) failed(error);
    if (data) show(data.inboxUpdates);
  });
  return () => subscription.unsubscribe();
}
//#endregion

//#region errors
interface Sent {
  sendMessage: { message: Message | null; userErrors: { code: string; message: string; path: string[] | null }[] };
}

const SEND = gql<Sent>`
  mutation Send($input: SendMessageInput!) {
    sendMessage(input: $input) {
      message { id sequence body clientMessageId }
      userErrors { code message path }
    }
  }
`;

/** Say something. Try again with the same `clientMessageId`: it is stored once. */
export async function send(
  client: Client,
  conversationId: string,
  body: string,
  clientMessageId: string,
): Promise<Message> {
  const { data, error } = await client.mutation(SEND, { input: { conversationId, body, clientMessageId } });
  if (error) throw error;
  const [refusal] = data!.sendMessage.userErrors; // for people to correct
  if (refusal) throw new Error(refusal.message, { cause: refusal.code });
  return data!.sendMessage.message!;
}

/** The stable code of an error; none where the API was not reached. */
export function codeOf(error: CombinedError): string | undefined {
  return error.graphQLErrors[0]?.extensions["code"] as string | undefined;
}
//#endregion
