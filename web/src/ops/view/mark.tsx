/** How it is with something: in a colour, a sign and a word. */
import type { HealthStatus } from "../api/operations";

export const STATUS_WORDS: Record<HealthStatus, string> = {
  HEALTHY: "Healthy",
  DEGRADED: "Degraded",
  UNHEALTHY: "Down",
};

export function StatusMark({ status, word }: { status: HealthStatus; word: string }) {
  return (
    <span className={`mark ${status.toLowerCase()}`}>
      <svg viewBox="0 0 16 16" aria-hidden="true" focusable="false">
        <path d={SIGNS[status]} />
      </svg>
      {word}
    </span>
  );
}

const SIGNS: Record<HealthStatus, string> = {
  HEALTHY: "M3 8.5l3.2 3.2L13 5",
  DEGRADED: "M8 3v6.5M8 12.5v.5",
  UNHEALTHY: "M4 4l8 8M12 4l-8 8",
};
