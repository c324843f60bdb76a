/** What can go wrong with an operation, as the one error that the rest of the client knows. */
import type { UserError } from "./types";

export class ApiError extends Error {
  constructor(
    readonly code: string,
    message: string,
    /** Whether the same operation may succeed later. */
    readonly isRetryable: boolean,
    readonly retryAfterMs = 0,
    /** The input field that it is about; none where it is the whole. */
    readonly field?: string,
  ) {
    super(message);
  }
}

interface Formatted {
  message: string;
  extensions?: { code?: string; retryable?: boolean; retryAfterMs?: number } | undefined;
}

/** The error in a response of an operation. */
export function errorIn({ message, extensions = {} }: Formatted): ApiError {
  const { code = "INTERNAL", retryable = false, retryAfterMs } = extensions;
  return new ApiError(code, message, retryable, retryAfterMs);
}

/** The error of a refused mutation. A rate limit passes; the rest is for people to correct. */
export function refusal({ code, message, path }: UserError): ApiError {
  return new ApiError(code, message, code === "RATE_LIMITED", 2_000, path?.at(-1));
}

export const UNREACHABLE = new ApiError("UNREACHABLE", "Parley cannot be reached at the moment.", true);

export function messageOf(error: unknown): string {
  return error instanceof ApiError && error.code !== "INTERNAL"
    ? error.message
    : "That did not work. Please try again.";
}
