/** Alerts as they are known here: from what was read, and from what was told since. */
import type { Alert } from "../api/operations";

const KEPT = 30; // of those that are over

/** The order in which they are shown: what goes on first, then the newest. */
export function inOrder(alerts: Iterable<Alert>): Alert[] {
  const sorted = [...alerts].sort(
    (one, other) =>
      Number(other.state === "FIRING") - Number(one.state === "FIRING") || other.startedAt.localeCompare(one.startedAt),
  );
  return sorted.filter((alert, index) => alert.state === "FIRING" || index < KEPT + firing(sorted).length);
}

export const firing = (alerts: Alert[]): Alert[] => alerts.filter(({ state }) => state === "FIRING");

/** Add what was told. An alert that is over stays over, whatever is told late. */
export function told(alerts: Alert[], news: Alert[]): Alert[] {
  const known = new Map(alerts.map((alert) => [alert.id, alert]));
  for (const alert of news) if (known.get(alert.id)?.state !== "RESOLVED") known.set(alert.id, alert);
  return inOrder(known.values());
}

/** Take what was read instead of what was known `before` the reading began. */
export function read(alerts: Alert[], before: Alert[], found: Alert[]): Alert[] {
  const old = new Set(before.map(({ id }) => id));
  return told(found, alerts.filter((alert) => !old.has(alert.id) || alert.state === "RESOLVED"));
}
