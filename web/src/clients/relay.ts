//#region set up
import { commitMutation, fetchQuery, getFragment, getSingularSelector } from "relay-runtime";
import { Environment, graphql, Network, Observable, RecordSource, requestSubscription, Store } from "relay-runtime";
import type { FetchFunction, GraphQLResponse, SubscribeFunction } from "relay-runtime";

import { resuming, type ResumeOptions } from "../resume/resume";
import type { relayHistory_conversation$data } from "./__generated__/relayHistory_conversation.graphql";
import type { relayHistoryQuery } from "./__generated__/relayHistoryQuery.graphql";
import type { relayInboxSubscription } from "./__generated__/relayInboxSubscription.graphql";
import type { relaySendMutation } from "./__generated__/relaySendMutation.graphql";
import { socketOf, type Session } from "./session";

export function open(session: Session, resync: ResumeOptions["resync"]): Environment {
  const post = async (query: string | null | undefined, variables: object) => {
    const headers = { Authorization: session.authorization, "Content-Type": "application/json" };
    const body = JSON.stringify({ query, variables });
    return (await fetch(session.url, { method: "POST", headers, body })).json();
  };
  const request: FetchFunction = async ({ text }, variables) => {
    let response = await post(text, variables);
    if (response.errors?.[0].extensions.code === "TOKEN_EXPIRED") {
      await session.renewed();
      response = await post(text, variables);
    }
    // Relay itself would show null where an error is.
    if (response.errors) throw Object.assign(new Error(response.errors[0].message), { errors: response.errors });
    return response;
  };
  const socket = resuming(socketOf(session), { resync });
  const subscribe: SubscribeFunction = ({ name, text }, variables) =>
    Observable.create<GraphQLResponse>((sink) =>
      socket.subscribe(
        { operationName: name, query: text ?? "", variables },
        { ...sink, next: (result) => sink.next(result as GraphQLResponse) },
      ),
    );
  return new Environment({ network: Network.create(request, subscribe), store: new Store(new RecordSource()) });
}
//#endregion

//#region page
const HISTORY = graphql`
  query relayHistoryQuery($id: ID!, $count: Int!, $before: String) {
    conversation(id: $id) {
      cursor
      ...relayHistory_conversation
    }
  }
`;
const MESSAGES = graphql`
  fragment relayHistory_conversation on Conversation {
    messages(last: $count, before: $before) @connection(key: "relayHistory_messages") {
      edges {
        node {
          id
          sequence
          body
          clientMessageId
        }
      }
      pageInfo {
        hasPreviousPage
        startCursor
      }
    }
  }
`;

/** Read the newest messages, or those before a page, into the store; return the conversation as it is there now. */
export async function read(environment: Environment, id: string, count = 50, before?: string | null) {
  const answer = await fetchQuery<relayHistoryQuery>(environment, HISTORY, { id, count, before }).toPromise();
  if (!answer?.conversation) throw new Error("There is no such conversation, or you are not in it.");
  // In React this is `usePaginationFragment(MESSAGES, answer.conversation)`.
  const { data } = environment.lookup(getSingularSelector(getFragment(MESSAGES), answer.conversation)!);
  return { cursor: answer.conversation.cursor, ...(data as unknown as relayHistory_conversation$data) };
}
//#endregion

//#region follow
const INBOX = graphql`
  subscription relayInboxSubscription($after: [String!]) {
    inboxUpdates(after: $after) {
      __typename
      ... on ConversationEvent {
        conversationId
        sequence
        cursor
      }
      ... on MessageSent {
        message {
          id
          sequence
          body
          clientMessageId
        }
      }
      ... on ReceiptMoved {
        conversationId
        userId
        deliveredSequence
        readSequence
      }
      ... on CaughtUp {
        conversationId
        sequence
        cursor
      }
      ... on ResyncRequired {
        conversationId
        reason
        cursor
      }
    }
  }
`;

export type InboxUpdate = relayInboxSubscription["response"]["inboxUpdates"];

export function follow(
  environment: Environment,
  after: Record<string, string>,
  show: (update: InboxUpdate) => void,
  failed: (error: Error) => void,
): () => void {
  const subscription = requestSubscription<relayInboxSubscription>(environment, {
    subscription: INBOX,
    variables: { after: after as never }, // the helper makes the list of it
    onNext: (response) => response && show(response.inboxUpdates),
    onError: failed,
  });
  return () => subscription.dispose();
}
//#endregion

//#region errors
const SEND = graphql`
  mutation relaySendMutation($input: SendMessageInput!) {
    sendMessage(input: $input) {
      message {
        id
        sequence
        body
        clientMessageId
      }
      userErrors {
        code
        message
        path
      }
    }
  }
`;

/** Say something. Try again with the same `clientMessageId`: it is stored once. */
export function send(environment: Environment, conversationId: string, body: string, clientMessageId: string) {
  return new Promise<relaySendMutation["response"]["sendMessage"]["message"]>((resolve, reject) => {
    commitMutation<relaySendMutation>(environment, {
      mutation: SEND,
      variables: { input: { conversationId, body, clientMessageId } },
      onCompleted: ({ sendMessage }) => {
        const [refusal] = sendMessage.userErrors; // for people to correct
        if (refusal) reject(new Error(refusal.message, { cause: refusal.code }));
        else resolve(sendMessage.message);
      },
      onError: reject,
    });
  });
}

/** The stable code of what an operation failed with; none where the API was not reached. */
export function codeOf(error: { errors?: { extensions: { code: string } }[] }): string | undefined {
  return error.errors?.[0]?.extensions.code;
}
//#endregion
