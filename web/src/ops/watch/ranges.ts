/** What may be looked at: what comes live, or a span of the past in points of a size that can be seen. */
import type { MetricsResolution } from "../api/operations";

const HOUR = 3_600;
const DAY = 24 * HOUR;

export interface Range {
  id: string;
  name: string;
  spoken: string;
  past: { seconds: number; resolution: MetricsResolution; step: number } | null; // null of what comes live
}

export const LIVE: Range = { id: "live", name: "Live", spoken: "Live", past: null };
export const RANGES: readonly Range[] = [
  LIVE,
  { id: "1h", name: "1 h", spoken: "Last hour", past: { seconds: HOUR, resolution: "MINUTE", step: 60 } },
  { id: "6h", name: "6 h", spoken: "Last 6 hours", past: { seconds: 6 * HOUR, resolution: "MINUTE", step: 60 } },
  { id: "24h", name: "24 h", spoken: "Last 24 hours", past: { seconds: DAY, resolution: "MINUTE", step: 60 } },
  { id: "7d", name: "7 d", spoken: "Last 7 days", past: { seconds: 7 * DAY, resolution: "HOUR", step: HOUR } },
  { id: "30d", name: "30 d", spoken: "Last 30 days", past: { seconds: 30 * DAY, resolution: "HOUR", step: HOUR } },
  { id: "1y", name: "1 y", spoken: "Last year", past: { seconds: 365 * DAY, resolution: "DAY", step: DAY } },
];
