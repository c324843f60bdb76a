import type { Fetcher, FetcherParams, Observable } from "@graphiql/toolkit";
import { getOperationAST, Kind, parse, type ExecutionResult, type OperationDefinitionNode } from "graphql";
import { createClient, type Client } from "graphql-ws";

import { tokenOf } from "./token";

// Signing in and introspection need no token, and an expired one in the headers box must not get in their way.
const OPEN_FIELDS = new Set(["register", "login", "refreshSession", "__schema", "__type"]);
const EXPIRED_OR_REVOKED = 4403; // the same token would be refused again
const EVENTS_SHOWN = 100;

/**
 * Sends queries and mutations over HTTP and subscriptions over graphql-transport-ws, both to `url` and both with the
 * token of the headers box. `onResult` sees what came over HTTP.
 */
export function createFetcher(url: string, onResult: (result: ExecutionResult) => void): Fetcher {
  let socket: { client: Client; token: string | undefined } | undefined;

  function clientFor(token: string | undefined): Client {
    if (!socket || socket.token !== token) {
      void socket?.client.dispose();
      const client = createClient({
        url: url.replace(/^http/, "ws"),
        connectionParams: token ? { Authorization: `Bearer ${token}` } : {},
        shouldRetry: (event) => event instanceof CloseEvent && event.code !== EXPIRED_OR_REVOKED,
      });
      socket = { client, token };
    }
    return socket.client;
  }

  return async ({ query, variables, operationName }, options) => {
    const headers = new Headers(options?.headers);
    const token = tokenOf(headers.get("Authorization"));
    const operation = operationOf(query, operationName);
    const params = { query, variables, operationName: operation?.name?.value ?? operationName };
    if (operation?.operation === "subscription") return subscription(clientFor(token), params);

    if (!token || isOpen(operation)) headers.delete("Authorization");
    headers.set("Accept", "application/graphql-response+json, application/json");
    headers.set("Content-Type", "application/json");
    const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(params) });
    const result = resultOf(response, await response.text());
    onResult(result);
    return result;
  };
}

/** GraphiQL shows one result at a time, but a log is read as a list: each event comes with those before it. */
function subscription(client: Client, params: FetcherParams): Observable<ExecutionResult> {
  return {
    subscribe(sink: { next: (result: ExecutionResult) => void; complete: () => void }) {
      let events: object[] = [];
      const show = (event: object) => {
        events = [event, ...events].slice(0, EVENTS_SHOWN);
        sink.next({ newestFirst: events } as ExecutionResult);
      };
      const unsubscribe = client.subscribe(
        { ...params, operationName: params.operationName ?? undefined },
        {
          next: show,
          error(error) {
            show({ errors: reasonsOf(error) });
            sink.complete();
          },
          complete: sink.complete,
        },
      );
      return { unsubscribe };
    },
  } as Observable<ExecutionResult>;
}

function operationOf(query: string, name: string | null | undefined): OperationDefinitionNode | null | undefined {
  try {
    const document = parse(query);
    // Just after a change of tabs GraphiQL still gives the name of the operation in the tab before.
    return getOperationAST(document, name) ?? getOperationAST(document);
  } catch {
    return null; // the server says what is wrong with it
  }
}

function isOpen(operation: ReturnType<typeof operationOf>): boolean {
  const fields = operation?.selectionSet.selections ?? [];
  return fields.length > 0 && fields.every((field) => field.kind === Kind.FIELD && OPEN_FIELDS.has(field.name.value));
}

function resultOf(response: Response, text: string): ExecutionResult {
  try {
    return JSON.parse(text) as ExecutionResult;
  } catch {
    throw new Error(`HTTP ${response.status} ${response.statusText}: ${text.slice(0, 500)}`);
  }
}

function reasonsOf(error: unknown): unknown {
  if (Array.isArray(error)) return error;
  if (error instanceof CloseEvent) return [{ message: `The socket was closed with ${error.code} ${error.reason}` }];
  return [{ message: error instanceof Error ? error.message : "The socket could not be opened." }];
}
