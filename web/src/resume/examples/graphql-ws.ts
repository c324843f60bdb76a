import { createClient } from "graphql-ws";

import { resuming } from "../resume";
import { RETRIES } from "../retries";
import { INBOX, type Inbox, type InboxUpdate } from "./inbox";

export function follow({ url, token, after, show, readAgain }: Inbox): () => void {
  const connectionParams = () => ({ Authorization: `Bearer ${token()}` });
  const socket = createClient({ url, connectionParams, ...RETRIES });
  const client = resuming(socket, { resync: ({ conversationId }) => readAgain(conversationId) });
  return client.subscribe<{ inboxUpdates: InboxUpdate }>(
    { query: INBOX, variables: { after } },
    {
      next: ({ data }) => data && show(data.inboxUpdates),
      error: console.error,
      complete: () => void socket.dispose(),
    },
  );
}
