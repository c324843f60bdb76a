/** Which charts there are, and which lines they have. */
import type { Point } from "../watch/points";
import type { Unit } from "./figures";

export interface Line {
  name: string;
  of: keyof Omit<Point, "at">;
}

export interface ChartKind {
  title: string;
  unit: Unit;
  lines: readonly Line[]; // at most three: there are as many colours
}

export const UNIT_WORDS: Record<Unit, string> = {
  perSecond: "per second",
  perMinute: "per minute",
  ms: "milliseconds",
  seconds: "seconds",
  count: "",
  share: "",
};

const REQUESTS: ChartKind = { title: "Requests", unit: "perSecond", lines: [{ name: "Answered", of: "requests" }] };
const TALK: ChartKind = {
  title: "Messages and deliveries",
  unit: "perSecond",
  lines: [
    { name: "Deliveries", of: "deliveries" },
    { name: "Messages", of: "messages" },
  ],
};

export const LIVE_CHARTS: readonly ChartKind[] = [
  REQUESTS,
  {
    title: "Latency of answers",
    unit: "ms",
    lines: [
      { name: "p50", of: "p50" },
      { name: "p95", of: "p95" },
      { name: "p99", of: "p99" },
    ],
  },
  TALK,
  {
    title: "From commit to delivery",
    unit: "ms",
    lines: [
      { name: "p50", of: "delivery50" },
      { name: "p99", of: "delivery99" },
    ],
  },
  {
    title: "Connections",
    unit: "count",
    lines: [
      { name: "Sockets", of: "sockets" },
      { name: "Subscriptions", of: "subscriptions" },
      { name: "People online", of: "people" },
    ],
  },
  { title: "Errors told to clients", unit: "perMinute", lines: [{ name: "Errors", of: "told" }] },
  {
    title: "Waiting for jobs",
    unit: "count",
    lines: [
      { name: "Lag", of: "lag" },
      { name: "Dead letters", of: "deadLetters" },
    ],
  },
  { title: "Oldest event not in Kafka", unit: "seconds", lines: [{ name: "Waiting", of: "oldest" }] },
  { title: "Cache", unit: "share", lines: [{ name: "Hits", of: "hits" }] },
];

export const PAST_CHARTS: readonly ChartKind[] = [
  REQUESTS,
  {
    title: "Latency of answers",
    unit: "ms",
    lines: [
      { name: "p50", of: "p50" },
      { name: "p99", of: "p99" },
    ],
  },
  TALK,
  { title: "Sockets", unit: "count", lines: [{ name: "Most", of: "sockets" }] },
  { title: "People online", unit: "count", lines: [{ name: "Most", of: "people" }] },
  { title: "Answers that failed", unit: "share", lines: [{ name: "Share", of: "failed" }] },
];
