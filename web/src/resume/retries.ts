/** How a graphql-ws client comes back: always, soon at first, and spread so that a crowd does not come all at once. */
import type { ClientOptions } from "graphql-ws";

const FIRST_MS = 250;
const LONGEST_MS = 5_000;

export const RETRIES = {
  retryAttempts: Infinity,
  shouldRetry: () => true, // a refused connection is an `ErrorEvent`, which the client would give up on
  retryWait: (retries) => {
    const longest = Math.min(LONGEST_MS, FIRST_MS * 2 ** retries);
    return new Promise((resolve) => setTimeout(resolve, longest * (0.5 + Math.random() / 2)));
  },
} satisfies Partial<ClientOptions>;
