import { Client, fetchExchange, subscriptionExchange } from "@urql/core";
import { createClient } from "graphql-ws";

import { resuming } from "../resume";
import { RETRIES } from "../retries";
import { INBOX, type Inbox, type InboxUpdate } from "./inbox";

export function follow({ url, token, after, show, readAgain }: Inbox): () => void {
  const connectionParams = () => ({ Authorization: `Bearer ${token()}` });
  const socket = createClient({ url, connectionParams, ...RETRIES });
  const resumed = resuming(socket, { resync: ({ conversationId }) => readAgain(conversationId) });
  const client = new Client({
    url: url.replace(/^ws/, "http"),
    fetchOptions: () => ({ headers: { Authorization: `Bearer ${token()}` } }),
    exchanges: [
      fetchExchange,
      subscriptionExchange({
        forwardSubscription: ({ query = "", ...request }) => ({
          subscribe: (sink) => ({ unsubscribe: resumed.subscribe({ query, ...request }, sink) }),
        }),
      }),
    ],
  });
  const updates = client.subscription<{ inboxUpdates: InboxUpdate }>(INBOX, { after });
  const subscription = updates.subscribe(({ data, error }) => {
    if (error) console.error(error);
    if (data) show(data.inboxUpdates);
  });
  return () => {
    subscription.unsubscribe();
    void socket.dispose();
  };
}
