/** The operations of this page, by the names that the rest of it uses, and what they answer with. */
import type { AlertFragment, HealthQuery, MetricsHistoryQuery, MetricsSubscription } from "./graphql";

export {
  AlertsDocument as ALERTS,
  AlertsToldDocument as ALERTS_TOLD,
  HealthDocument as HEALTH,
  MetricsDocument as METRICS,
  MetricsHistoryDocument as HISTORY,
  OperatorDocument as OPERATOR,
} from "./graphql";
export { LOGIN, LOGOUT, REFRESH } from "../../app/api/operations";

export type Alert = AlertFragment;
export type Health = HealthQuery["health"];
export type Metrics = MetricsSubscription["metrics"];
export type CodeCount = Metrics["errors"][number];
export type OperationFigures = Metrics["requests"]["byOperation"][number];
export type MetricsPoint = MetricsHistoryQuery["metricsHistory"][number];
export type { HealthStatus, MetricsResolution } from "./graphql";
