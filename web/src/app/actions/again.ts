/** Tries something until it succeeds, fails for good, or nobody wants it any more. */
import { ApiError } from "../api/errors";

const FIRST_MS = 300;
const LONGEST_MS = 8_000;

/** Raises what `attempt` failed with for good; returns undefined when stopped. */
export async function again<Result>(attempt: () => Promise<Result>, signal: AbortSignal): Promise<Result | undefined> {
  for (let tries = 0; !signal.aborted; tries++) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof ApiError && error.isRetryable)) throw error;
      await pause(Math.max(error.retryAfterMs, Math.min(LONGEST_MS, FIRST_MS * 2 ** tries)), signal);
    }
  }
  return undefined;
}

export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end);
    if (signal.aborted) end();
  });
}
