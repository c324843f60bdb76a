/** The way to the API: operations over HTTP, subscriptions and renewals over one socket that always comes back. */
import { Client as Urql, fetchExchange, subscriptionExchange, type CombinedError } from "@urql/core";
import { createClient, type Client as Socket, type FormattedExecutionResult as ExecutionResult } from "graphql-ws";

import { resuming, type ResumeOptions } from "../../resume/resume";
import { RETRIES } from "../../resume/retries";
import { ApiError, errorIn, refusal, UNREACHABLE } from "./errors";
import { LOGOUT, REFRESH, type Mutation, type Operation } from "./operations";
import { Session } from "./session";
import type { Tokens, UserError } from "./types";

const PATH = "/graphql";
const ANSWER_MS = 15_000;
const PING_MS = 10_000;
const PONG_MS = 5_000;
const EXPIRED_OR_REVOKED = 4403;

export interface ConnectionListener {
  connected: () => void;
  lost: () => void;
  /** The session has ended: it was revoked, or could not be renewed. */
  signedOut: () => void;
}

export class Client {
  readonly session: Session;
  private readonly socket: Socket;
  private readonly urql: Urql;
  private isConnected = false;
  private pongDeadline: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly listener: ConnectionListener,
    resume: ResumeOptions,
  ) {
    this.session = new Session((refreshToken) => this.renew(refreshToken), listener.signedOut);
    this.socket = this.openSocket();
    const resumed = resuming(this.socket, resume);
    this.urql = new Urql({
      url: PATH,
      preferGetMethod: false,
      requestPolicy: "network-only",
      exchanges: [
        subscriptionExchange({
          forwardSubscription: ({ query = "", ...request }) => ({
            subscribe: (sink) => ({ unsubscribe: resumed.subscribe({ query, ...request }, sink) }),
          }),
        }),
        fetchExchange,
      ],
    });
    addEventListener("offline", () => this.socket.terminate());
  }

  /** Ask for something and return its answer; an expired token is renewed and the operation asked again. */
  async ask<Data, Variables extends object>(operation: Operation<Data, Variables>, variables: Variables): Promise<Data> {
    try {
      return await this.post(operation, variables, await this.session.token());
    } catch (error) {
      if (!(error instanceof ApiError && error.code === "TOKEN_EXPIRED")) throw error;
      await this.session.renewed();
      return this.post(operation, variables, await this.session.token());
    }
  }

  /** Change something and return the payload; a refusal is an `ApiError`. */
  async change<Payload, Input>(mutation: Mutation<Payload, Input>, input: Input): Promise<Payload> {
    return accepted(await this.ask(mutation, { input }));
  }

  /** Get tokens for somebody who has none yet. */
  async begin<Input>(mutation: Mutation<Tokens, Input>, input: Input): Promise<void> {
    this.session.begin(accepted(await this.post(mutation, { input }, null)));
  }

  /** Leave: the session ends also where the API cannot be told. */
  async end(): Promise<void> {
    const token = await this.session.token();
    this.session.end();
    this.socket.terminate();
    await this.post(LOGOUT, {}, token).catch(() => {});
  }

  /** Follow something until the returned function is called; connections may come and go meanwhile. */
  follow<Data, Variables extends object>(
    operation: Operation<Data, Variables>,
    variables: Variables,
    next: (data: Data) => void,
    failed: (error: ApiError) => void = () => {},
  ): () => void {
    const subscription = this.urql.subscription<Data>(operation.toString(), variables).subscribe(({ data, error }) => {
      if (error) failed(errorOf(error));
      else if (data) next(data);
    });
    return () => subscription.unsubscribe();
  }

  private async post<Data, Variables extends object>(
    operation: Operation<Data, Variables>,
    variables: Variables,
    token: string | null,
  ): Promise<Data> {
    const text = operation.toString();
    const headers: Record<string, string> = token ? { Authorization: `Bearer ${token}` } : {};
    const fetchOptions = { headers, signal: AbortSignal.timeout(ANSWER_MS) };
    const isMutation = text.trimStart().startsWith("mutation");
    const ask = isMutation ? this.urql.mutation.bind(this.urql) : this.urql.query.bind(this.urql);
    const { data, error } = await ask<Data>(text, variables, { fetchOptions }).toPromise();
    if (error) throw errorOf(error);
    return data as Data;
  }

  /** Tell of something that is of no use later: without a connection, or refused, it is forgotten. */
  whisper<Payload, Input>(mutation: Mutation<Payload, Input>, input: Input): void {
    if (this.isConnected) this.overSocket(mutation, input).catch(() => {});
  }

  /** Over the socket, where one is open, renewal also moves that socket's end. */
  private async renew(refreshToken: string): Promise<Tokens> {
    if (this.isConnected) return this.overSocket(REFRESH, { refreshToken });
    return accepted(await this.post(REFRESH, { input: { refreshToken } }, null));
  }

  private overSocket<Payload, Input>(mutation: Mutation<Payload, Input>, input: Input): Promise<Payload> {
    return new Promise((resolve, reject) => {
      let result: ExecutionResult<{ payload: Payload & { userErrors: UserError[] } }, unknown> | undefined;
      const settle = () => {
        clearTimeout(deadline);
        forget();
        try {
          if (result?.errors?.[0]) throw errorIn(result.errors[0]);
          if (!result?.data) throw UNREACHABLE;
          resolve(accepted(result.data));
        } catch (error) {
          reject(error);
        }
      };
      const stop = this.socket.subscribe<{ payload: Payload & { userErrors: UserError[] } }>(
        { query: mutation.toString(), variables: { input } },
        { next: (answer) => (result = answer), error: settle, complete: settle },
      );
      // The client would ask again when it is back; but to come back it may need what is asked for here.
      const giveUp = () => {
        stop();
        settle();
      };
      const forget = this.socket.on("closed", giveUp);
      const deadline = setTimeout(giveUp, ANSWER_MS);
    });
  }

  private openSocket(): Socket {
    return createClient({
      ...RETRIES,
      url: location.origin.replace(/^http/, "ws") + PATH,
      connectionParams: async () => ({ Authorization: `Bearer ${await this.session.token()}` }),
      keepAlive: PING_MS,
      on: {
        connected: () => {
          this.isConnected = true;
          this.listener.connected();
        },
        closed: (event) => {
          clearTimeout(this.pongDeadline);
          this.isConnected = false;
          if (!this.session.user) return;
          this.listener.lost();
          // Another device may have ended the session: then there will be no new token either.
          if ((event as CloseEvent).code === EXPIRED_OR_REVOKED) this.session.renewed().catch(() => {});
        },
        ping: (received) => {
          if (!received) this.pongDeadline = setTimeout(() => this.socket.terminate(), PONG_MS);
        },
        pong: (received) => {
          if (received) clearTimeout(this.pongDeadline);
        },
      },
    });
  }
}

function accepted<Payload>({ payload }: { payload: Payload & { userErrors: UserError[] } }): Payload {
  const [error] = payload.userErrors;
  if (error) throw refusal(error);
  return payload;
}

function errorOf({ graphQLErrors: [first] }: CombinedError): ApiError {
  return first ? errorIn(first) : UNREACHABLE;
}
