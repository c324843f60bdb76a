/** Internal type. DO NOT USE DIRECTLY. */
type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
/** Internal type. DO NOT USE DIRECTLY. */
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
import type { DocumentTypeDecoration } from '@graphql-typed-document-node/core';
/** How bad it is. */
export type AlertSeverity =
  /** Somebody should look at it now. */
  | 'CRITICAL'
  /** Somebody should look at it in the next hours. */
  | 'WARNING';

/** Whether it goes on. */
export type AlertState =
  /** It goes on. */
  | 'FIRING'
  /** It is over. */
  | 'RESOLVED';

/** DEGRADED: something is slower or missing; UNHEALTHY: the chat itself is. */
export type HealthStatus =
  /** Something is slower or missing. */
  | 'DEGRADED'
  /** All is well. */
  | 'HEALTHY'
  /** The chat itself does not work. */
  | 'UNHEALTHY';

/** How long a point of the history is. */
export type MetricsResolution =
  /** A day of UTC; kept for a year. */
  | 'DAY'
  /** An hour; kept for thirty days. */
  | 'HOUR'
  /** A minute; kept for two days. */
  | 'MINUTE';

/** What an operation does. */
export type OperationKind =
  /** It changes something. */
  | 'MUTATION'
  /** It reads. */
  | 'QUERY'
  /** It follows. */
  | 'SUBSCRIPTION';

/** What an account may do beyond chatting. */
export type Role =
  /** Deciding about the deployment and its accounts. */
  | 'ADMIN'
  /** Watching over the deployment. */
  | 'OPERATOR'
  /** Nothing more. */
  | 'USER';

export type OperatorQueryVariables = Exact<{ [key: string]: never; }>;


export type OperatorQuery = { viewer: { roles: Array<Role>, user: { id: string, handle: string } } };

export type HealthQueryVariables = Exact<{ [key: string]: never; }>;


export type HealthQuery = { health: { status: HealthStatus, version: string, instance: string, uptimeSeconds: number, components: Array<{ name: string, status: HealthStatus, latencyMs: number | null, detail: string | null, checkedAt: string }> } };

export type MetricsSubscriptionVariables = Exact<{
  everySeconds: number;
}>;


export type MetricsSubscription = { metrics: { at: string, windowSeconds: number, instanceCount: number, requests: { count: number, perSecond: number, latency: { p50Ms: number, p95Ms: number, p99Ms: number }, byStatus: Array<{ code: string, count: number }>, byOperation: Array<{ operation: string, kind: OperationKind, count: number, errorCount: number, latency: { p50Ms: number, p95Ms: number, p99Ms: number } }> }, messages: { sentPerSecond: number, deliveriesPerSecond: number, commitToDelivery: { p50Ms: number, p95Ms: number, p99Ms: number } }, connections: { open: number, subscriptions: number }, users: { online: number, activeLastMinute: number, activeLastDay: number }, errors: Array<{ code: string, count: number }>, cache: { hitRatio: number }, queue: { outboxOldestSeconds: number, consumerLag: number, deadLetters: number } } };

export type MetricsHistoryQueryVariables = Exact<{
  from: string;
  to: string;
  resolution: MetricsResolution;
}>;


export type MetricsHistoryQuery = { metricsHistory: Array<{ at: string, requestsPerSecond: number, errorRatio: number, latencyP50Ms: number, latencyP99Ms: number, messagesPerSecond: number, deliveriesPerSecond: number, connections: number, onlineUsers: number }> };

export type AlertsQueryVariables = Exact<{ [key: string]: never; }>;


export type AlertsQuery = { firing: { nodes: Array<{ id: string, name: string, severity: AlertSeverity, state: AlertState, message: string, startedAt: string, endedAt: string | null }> }, newest: { nodes: Array<{ id: string, name: string, severity: AlertSeverity, state: AlertState, message: string, startedAt: string, endedAt: string | null }> } };

export type AlertsToldSubscriptionVariables = Exact<{ [key: string]: never; }>;


export type AlertsToldSubscription = { alerts: { id: string, name: string, severity: AlertSeverity, state: AlertState, message: string, startedAt: string, endedAt: string | null } };

export type AlertFragment = { id: string, name: string, severity: AlertSeverity, state: AlertState, message: string, startedAt: string, endedAt: string | null };

export type LatencyFragment = { p50Ms: number, p95Ms: number, p99Ms: number };

export type CodeCountFragment = { code: string, count: number };

export class TypedDocumentString<TResult, TVariables>
  extends String
  implements DocumentTypeDecoration<TResult, TVariables>
{
  __apiType?: NonNullable<DocumentTypeDecoration<TResult, TVariables>['__apiType']>;
  private value: string;
  public __meta__?: Record<string, any> | undefined;

  constructor(value: string, __meta__?: Record<string, any> | undefined) {
    super(value);
    this.value = value;
    this.__meta__ = __meta__;
  }

  override toString(): string & DocumentTypeDecoration<TResult, TVariables> {
    return this.value;
  }
}
export const AlertFragmentDoc = /*#__PURE__*/ new TypedDocumentString(`
    fragment Alert on Alert {
  id
  name
  severity
  state
  message
  startedAt
  endedAt
}
    `, {"fragmentName":"Alert"}) as unknown as TypedDocumentString<AlertFragment, unknown>;
export const LatencyFragmentDoc = /*#__PURE__*/ new TypedDocumentString(`
    fragment Latency on Latency {
  p50Ms
  p95Ms
  p99Ms
}
    `, {"fragmentName":"Latency"}) as unknown as TypedDocumentString<LatencyFragment, unknown>;
export const CodeCountFragmentDoc = /*#__PURE__*/ new TypedDocumentString(`
    fragment CodeCount on CodeCount {
  code
  count
}
    `, {"fragmentName":"CodeCount"}) as unknown as TypedDocumentString<CodeCountFragment, unknown>;
export const OperatorDocument = /*#__PURE__*/ new TypedDocumentString(`
    query Operator {
  viewer {
    user {
      id
      handle
    }
    roles
  }
}
    `) as unknown as TypedDocumentString<OperatorQuery, OperatorQueryVariables>;
export const HealthDocument = /*#__PURE__*/ new TypedDocumentString(`
    query Health {
  health {
    status
    version
    instance
    uptimeSeconds
    components {
      name
      status
      latencyMs
      detail
      checkedAt
    }
  }
}
    `) as unknown as TypedDocumentString<HealthQuery, HealthQueryVariables>;
export const MetricsDocument = /*#__PURE__*/ new TypedDocumentString(`
    subscription Metrics($everySeconds: Int!) {
  metrics(everySeconds: $everySeconds) {
    at
    windowSeconds
    instanceCount
    requests {
      count
      perSecond
      latency {
        ...Latency
      }
      byStatus {
        ...CodeCount
      }
      byOperation {
        operation
        kind
        count
        errorCount
        latency {
          ...Latency
        }
      }
    }
    messages {
      sentPerSecond
      deliveriesPerSecond
      commitToDelivery {
        ...Latency
      }
    }
    connections {
      open
      subscriptions
    }
    users {
      online
      activeLastMinute
      activeLastDay
    }
    errors {
      ...CodeCount
    }
    cache {
      hitRatio
    }
    queue {
      outboxOldestSeconds
      consumerLag
      deadLetters
    }
  }
}
    fragment Latency on Latency {
  p50Ms
  p95Ms
  p99Ms
}
fragment CodeCount on CodeCount {
  code
  count
}`) as unknown as TypedDocumentString<MetricsSubscription, MetricsSubscriptionVariables>;
export const MetricsHistoryDocument = /*#__PURE__*/ new TypedDocumentString(`
    query MetricsHistory($from: DateTime!, $to: DateTime!, $resolution: MetricsResolution!) {
  metricsHistory(from: $from, to: $to, resolution: $resolution) {
    at
    requestsPerSecond
    errorRatio
    latencyP50Ms
    latencyP99Ms
    messagesPerSecond
    deliveriesPerSecond
    connections
    onlineUsers
  }
}
    `) as unknown as TypedDocumentString<MetricsHistoryQuery, MetricsHistoryQueryVariables>;
export const AlertsDocument = /*#__PURE__*/ new TypedDocumentString(`
    query Alerts {
  firing: alerts(state: FIRING, first: 100) {
    nodes {
      ...Alert
    }
  }
  newest: alerts(first: 30) {
    nodes {
      ...Alert
    }
  }
}
    fragment Alert on Alert {
  id
  name
  severity
  state
  message
  startedAt
  endedAt
}`) as unknown as TypedDocumentString<AlertsQuery, AlertsQueryVariables>;
export const AlertsToldDocument = /*#__PURE__*/ new TypedDocumentString(`
    subscription AlertsTold {
  alerts {
    ...Alert
  }
}
    fragment Alert on Alert {
  id
  name
  severity
  state
  message
  startedAt
  endedAt
}`) as unknown as TypedDocumentString<AlertsToldSubscription, AlertsToldSubscriptionVariables>;