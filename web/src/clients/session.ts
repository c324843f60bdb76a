/** Who is signed in, and the socket with which they follow what happens. */
import { createClient, type Client } from "graphql-ws";

import { RETRIES } from "../resume/retries";

const RENEW = `mutation Renew($input: RefreshSessionInput!) {
  refreshSession(input: $input) { accessToken refreshToken }
}`;
const EXPIRED_OR_REVOKED = 4403;

export class Session {
  private renewal: Promise<void> | undefined;

  /** `url` is that of `/graphql`; the tokens are those that `login` or `register` returned. */
  constructor(
    readonly url: string,
    private accessToken: string,
    private refreshToken: string,
  ) {}

  get authorization(): string {
    return `Bearer ${this.accessToken}`;
  }

  /** A refresh token works once, so whoever asks meanwhile waits for the same renewal. */
  renewed(): Promise<void> {
    return (this.renewal ??= this.renew().finally(() => (this.renewal = undefined)));
  }

  private async renew(): Promise<void> {
    const { refreshToken } = this;
    const response = await fetch(this.url, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ query: RENEW, variables: { input: { refreshToken } } }),
    });
    const { data } = await response.json();
    if (!data?.refreshSession.accessToken) throw new Error("Sign in again.");
    ({ accessToken: this.accessToken, refreshToken: this.refreshToken } = data.refreshSession);
  }
}

/** One socket, which comes back with a token that is good. */
export function socketOf(session: Session): Client {
  let isRefused = false;
  return createClient({
    ...RETRIES,
    url: session.url.replace(/^http/, "ws"),
    connectionParams: async () => {
      if (isRefused) await session.renewed();
      isRefused = false;
      return { Authorization: session.authorization };
    },
    on: { closed: (event) => (isRefused = (event as CloseEvent).code === EXPIRED_OR_REVOKED) },
  });
}
