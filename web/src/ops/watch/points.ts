/** What charts are drawn of: one shape for what comes live and for what is read of the past. */
import type { CodeCount, Metrics, MetricsPoint } from "../api/operations";

/** A moment. What is not known of it is null. */
export interface Point {
  at: number; // seconds since 1970, as uPlot wants it
  requests: number | null;
  p50: number | null;
  p95: number | null;
  p99: number | null;
  messages: number | null;
  deliveries: number | null;
  delivery50: number | null;
  delivery99: number | null;
  sockets: number | null;
  subscriptions: number | null;
  people: number | null;
  told: number | null; // errors that clients were told of, in a minute
  failed: number | null; // the share of answers with an error that was not the caller's
  lag: number | null;
  deadLetters: number | null;
  oldest: number | null; // seconds
  hits: number | null; // the share of what the cache answered
}

export const LIVE_SECONDS = 15 * 60;
export const SAMPLE_SECONDS = 2;
const SILENT_SECONDS = 5 * SAMPLE_SECONDS;

const UNKNOWN: Omit<Point, "at"> = {
  requests: null,
  p50: null,
  p95: null,
  p99: null,
  messages: null,
  deliveries: null,
  delivery50: null,
  delivery99: null,
  sockets: null,
  subscriptions: null,
  people: null,
  told: null,
  failed: null,
  lag: null,
  deadLetters: null,
  oldest: null,
  hits: null,
};

export function pointOf(metrics: Metrics): Point {
  const { requests, messages, connections, users, cache, queue } = metrics;
  return {
    ...UNKNOWN,
    at: seconds(metrics.at),
    requests: requests.perSecond,
    p50: requests.latency.p50Ms,
    p95: requests.latency.p95Ms,
    p99: requests.latency.p99Ms,
    messages: messages.sentPerSecond,
    deliveries: messages.deliveriesPerSecond,
    delivery50: messages.commitToDelivery.p50Ms,
    delivery99: messages.commitToDelivery.p99Ms,
    sockets: connections.open,
    subscriptions: connections.subscriptions,
    people: users.online,
    told: toldIn(metrics),
    lag: queue.consumerLag,
    deadLetters: queue.deadLetters,
    oldest: queue.outboxOldestSeconds,
    hits: cache.hitRatio,
  };
}

export function pointOfPast(point: MetricsPoint): Point {
  return {
    ...UNKNOWN,
    at: seconds(point.at),
    requests: point.requestsPerSecond,
    p50: point.latencyP50Ms,
    p99: point.latencyP99Ms,
    messages: point.messagesPerSecond,
    deliveries: point.deliveriesPerSecond,
    sockets: point.connections,
    people: point.onlineUsers,
    failed: point.errorRatio,
  };
}

/** Errors that clients were told of, in a minute. */
export function toldIn({ errors, windowSeconds }: Metrics): number {
  return (countOf(errors) * 60) / windowSeconds;
}

export const countOf = (codes: CodeCount[]): number => codes.reduce((sum, { count }) => sum + count, 0);

/** Add the newest; what is too old for the live charts goes, and a silence is a gap in the lines. */
export function withNewest(points: Point[], newest: Point): Point[] {
  const last = points.at(-1);
  if (last && newest.at <= last.at) return points;
  const kept = points.filter(({ at }) => at > newest.at - LIVE_SECONDS);
  if (last && newest.at - last.at > SILENT_SECONDS) kept.push(gap(last.at + SAMPLE_SECONDS));
  return [...kept, newest];
}

/** Put gaps where points are missing, so that no line is drawn across. */
export function withGaps(points: Point[], step: number): Point[] {
  return points.flatMap((point, index) => {
    const before = points[index - 1];
    return before && point.at - before.at > 1.5 * step ? [gap(before.at + step), point] : [point];
  });
}

const gap = (at: number): Point => ({ ...UNKNOWN, at });
const seconds = (iso: string): number => Date.parse(iso) / 1000;
