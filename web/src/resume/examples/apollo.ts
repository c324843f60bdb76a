import { ApolloClient, gql, InMemoryCache } from "@apollo/client";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { createClient } from "graphql-ws";

import { resuming } from "../resume";
import { RETRIES } from "../retries";
import { INBOX, type Inbox, type InboxUpdate } from "./inbox";

export function follow({ url, token, after, show, readAgain }: Inbox): () => void {
  const connectionParams = () => ({ Authorization: `Bearer ${token()}` });
  const socket = createClient({ url, connectionParams, ...RETRIES });
  const client = new ApolloClient({
    link: new GraphQLWsLink(resuming(socket, { resync: ({ conversationId }) => readAgain(conversationId) })),
    cache: new InMemoryCache(),
  });
  const updates = client.subscribe<{ inboxUpdates: InboxUpdate }>({
    query: gql(INBOX),
    variables: { after },
    fetchPolicy: "no-cache", // an update is told once, and is no state to be kept
  });
  const subscription = updates.subscribe(({ data, error }) => {
    if (error) console.error(error);
    if (data) show(data.inboxUpdates);
  });
  return () => {
    subscription.unsubscribe();
    client.stop();
    void socket.dispose();
  };
}
