import { createClient } from "graphql-ws";
import { Network, Observable, type FetchFunction, type GraphQLResponse, type SubscribeFunction } from "relay-runtime";

import { resuming } from "../resume";
import { RETRIES } from "../retries";
import { INBOX, type Inbox, type InboxUpdate } from "./inbox";

export function follow({ url, token, after, show, readAgain }: Inbox): () => void {
  const connectionParams = () => ({ Authorization: `Bearer ${token()}` });
  const socket = createClient({ url, connectionParams, ...RETRIES });
  const resumed = resuming(socket, { resync: ({ conversationId }) => readAgain(conversationId) });
  const subscribe: SubscribeFunction = ({ name, text }, variables) =>
    Observable.create<GraphQLResponse>((sink) =>
      resumed.subscribe(
        { operationName: name, query: text ?? "", variables },
        { ...sink, next: (result) => sink.next(result as GraphQLResponse) },
      ),
    );
  const request: FetchFunction = async ({ text }, variables) => {
    const headers = { Authorization: `Bearer ${token()}`, "Content-Type": "application/json" };
    const body = JSON.stringify({ query: text, variables });
    return (await fetch(url.replace(/^ws/, "http"), { method: "POST", headers, body })).json();
  };
  const network = Network.create(request, subscribe); // goes into `new Environment({ network, store })`

  const updates = network.execute(
    { name: "Inbox", text: INBOX, operationKind: "subscription", id: null, cacheID: "Inbox", metadata: {} },
    { after },
    {},
  );
  const subscription = updates.subscribe({
    next: (response) => {
      if ("data" in response && response.data) show((response.data as { inboxUpdates: InboxUpdate }).inboxUpdates);
    },
    error: console.error,
  });
  return () => {
    subscription.unsubscribe();
    void socket.dispose();
  };
}
