//#region set up
import { ApolloClient, ApolloLink, CombinedGraphQLErrors, gql, HttpLink, InMemoryCache } from "@apollo/client";
import { SetContextLink } from "@apollo/client/link/context";
import { ErrorLink } from "@apollo/client/link/error";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { relayStylePagination } from "@apollo/client/utilities";
import { from, switchMap } from "rxjs";

import { resuming, type ResumeOptions } from "../resume/resume";
import type { History, InboxUpdate, Message } from "./graphql-ws";
import { socketOf, type Session } from "./session";

export function open(session: Session, resync: ResumeOptions["resync"]): ApolloClient {
  const authorize = new SetContextLink(({ headers }) => ({
    headers: { ...headers, Authorization: session.authorization },
  }));
  const renew = new ErrorLink(({ error, operation, forward }) => {
    if (codeOf(error) !== "TOKEN_EXPIRED") return;
    return from(session.renewed()).pipe(switchMap(() => forward(operation)));
  });
  const http = ApolloLink.from([renew, authorize, new HttpLink({ uri: session.url })]);
  const socket = new GraphQLWsLink(resuming(socketOf(session), { resync }));
  return new ApolloClient({
    link: ApolloLink.split(({ operationType }) => operationType === "subscription", socket, http),
    cache: new InMemoryCache({
      typePolicies: { Conversation: { fields: { messages: relayStylePagination() } } },
    }),
  });
}
//#endregion

//#region page
const HISTORY = gql`
  query History($id: ID!, $count: Int!, $before: String) {
    conversation(id: $id) {
      id
      cursor
      messages(last: $count, before: $before) {
        edges { cursor node { id sequence body clientMessageId } }
        pageInfo { hasPreviousPage hasNextPage startCursor endCursor }
      }
    }
  }
`;

interface Conversation extends Omit<History, "messages"> {
  messages: { edges: { node: Message }[]; pageInfo: History["messages"]["pageInfo"] };
}

/** Watch a conversation's messages, the newest page first; in React this is `useQuery`. */
export function watch(client: ApolloClient, id: string, count = 50) {
  return client.watchQuery<{ conversation: Conversation }>({
    query: HISTORY,
    variables: { id, count },
    fetchPolicy: "cache-and-network",
  });
}

/** Read the page before; the cache joins it to what is there, and whoever watches is told. */
export async function readOlder(query: ReturnType<typeof watch>): Promise<void> {
  const { data } = query.getCurrentResult();
  const before = data?.conversation?.messages?.pageInfo?.startCursor;
  await query.fetchMore({ variables: { before } });
}
//#endregion

//#region follow
const INBOX = gql`
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
  client: ApolloClient,
  after: Record<string, string>,
  show: (update: InboxUpdate) => void,
  failed: (error: unknown) => void,
): () => void {
  const updates = client.subscribe<{ inboxUpdates: InboxUpdate }>({
    query: INBOX,
    variables: { after },
    fetchPolicy: "no-cache", // an update is told once, and is no state to be kept
  });
  const subscription = updates.subscribe(({ data, error }) => {
    if (error) failed(error);
    if (data) show(data.inboxUpdates);
  });
  return () => subscription.unsubscribe();
}
//#endregion

//#region errors
const SEND = gql`
  mutation Send($input: SendMessageInput!) {
    sendMessage(input: $input) {
      message { id sequence body clientMessageId }
      userErrors { code message path }
    }
  }
`;

interface Sent {
  sendMessage: { message: Message | null; userErrors: { code: string; message: string; path: string[] | null }[] };
}

/** Say something. Try again with the same `clientMessageId`: it is stored once. */
export async function send(
  client: ApolloClient,
  conversationId: string,
  body: string,
  clientMessageId: string,
): Promise<Message> {
  const variables = { input: { conversationId, body, clientMessageId } };
  const { data } = await client.mutate<Sent>({ mutation: SEND, variables });
  const [refusal] = data!.sendMessage.userErrors; // for people to correct
  if (refusal) throw new Error(refusal.message, { cause: refusal.code });
  return data!.sendMessage.message!;
}

/** The stable code of what an operation was rejected with; none where the API was not reached. */
export function codeOf(error: unknown): string | undefined {
  if (!CombinedGraphQLErrors.is(error)) return undefined;
  return error.errors[0]?.extensions?.["code"] as string | undefined;
}
//#endregion
