"""How the deployment is doing, in figures, for operators."""

from datetime import datetime

from schema.view import enumeration, field, view
from services import meter, metrics
from services.metric_history import MetricsResolution
from services.metrics import OperationKind

enumeration(
    OperationKind,
    "What an operation does.",
    QUERY="It reads.",
    MUTATION="It changes something.",
    SUBSCRIPTION="It follows.",
)
enumeration(
    MetricsResolution,
    "How long a point of the history is.",
    MINUTE="A minute; kept for two days.",
    HOUR="An hour; kept for thirty days.",
    DAY="A day of UTC; kept for a year.",
)


@view(meter.Latency, "How long something took, in milliseconds. Quantiles are right to within 19 %.")
class Latency:
    mean_ms: float = field("The mean.")
    p50_ms: float = field("Half of them took no longer.")
    p95_ms: float = field("Of a hundred, 95 took no longer.")
    p99_ms: float = field("Of a hundred, 99 took no longer.")
    max_ms: float = field("The longest.")


@view(metrics.CodeCount, "How often there was a code.")
class CodeCount:
    code: str = field("The code.")
    count: int = field("How often.")


@view(metrics.OperationMetrics, "Operations with the same field at their root.")
class OperationMetrics:
    operation: str = field("The field; of several the first by name.")
    kind: OperationKind = field("What they do.")
    count: int = field("How many were executed; of subscriptions, how many began.")
    error_count: int = field("How many of them had errors.")
    latency: Latency = field("How long their execution took.")


@view(metrics.RequestMetrics, "Operations that were asked for, over HTTP and over sockets.")
class RequestMetrics:
    count: int = field("How many were answered, refused ones too.")
    per_second: float = field("The same in a second.")
    latency: Latency = field("How long the answers took.")
    by_status: list[CodeCount] = field(
        "How many by status of HTTP; an operation on a socket counts as what it would have had there."
    )
    by_operation: list[OperationMetrics] = field("Those that were executed, by the field at their root.")


@view(metrics.MessageMetrics, "Messages, and how they reached their readers.")
class MessageMetrics:
    sent: int = field("Messages that were stored, each once.")
    sent_per_second: float = field("The same in a second.")
    deliveries: int = field("Updates of conversations that were handed to subscribers.")
    deliveries_per_second: float = field("The same in a second.")
    commit_to_delivery: Latency = field("From the decision on an entry until it was handed to subscribers.")


@view(metrics.ConnectionMetrics, "Sockets.")
class ConnectionMetrics:
    open: int = field("How many are open.")
    subscriptions: int = field("How many subscriptions they have.")


@view(metrics.UserMetrics, "People.")
class UserMetrics:
    online: int = field("How many are connected.")
    active_last_minute: int = field("How many did something in the last minute, to within 1 %.")
    active_last_day: int = field("How many did something in the last day, to within 1 %.")


@view(metrics.CacheMetrics, "What was asked of the cache.")
class CacheMetrics:
    hits: int = field("How often that cost MongoDB nothing.")
    misses: int = field("How often MongoDB had to be asked.")
    hit_ratio: float = field("The share of hits, from 0 to 1; 0 when nothing was asked.")


@view(metrics.QueueMetrics, "What waits for the workers.")
class QueueMetrics:
    outbox_oldest_seconds: float = field("How long the oldest entry has been waiting to be sent to Kafka.")
    consumer_lag: int = field("Events that jobs have not handled yet, of all jobs.")
    dead_letters: int = field("Events that jobs could not take and that wait for somebody.")


@view(metrics.Metrics, "Figures over the last `windowSeconds` of the whole deployment, every process included.")
class Metrics:
    at: datetime = field("When they were read.")
    window_seconds: int = field("Over how many seconds the counts go.")
    instance_count: int = field("How many API processes there are.")
    requests: RequestMetrics = field("Operations.")
    messages: MessageMetrics = field("Messages.")
    connections: ConnectionMetrics = field("Sockets, now.")
    users: UserMetrics = field("People.")
    errors: list[CodeCount] = field("Errors that clients were told of, in payloads too, by code.")
    cache: CacheMetrics = field("The cache.")
    queue: QueueMetrics = field("What waits, now.")


@view(metrics.MetricsPoint, "A span of the history.")
class MetricsPoint:
    at: datetime = field("When it began.")
    requests_per_second: float = field("Operations that were answered.")
    error_ratio: float = field("The share of answers with an error that was not the caller's, from 0 to 1.")
    latency_p50_ms: float = field("Half of the answers took no longer.")
    latency_p99_ms: float = field("Of a hundred answers, 99 took no longer.")
    messages_per_second: float = field("Messages that were stored.")
    deliveries_per_second: float = field("Updates that were handed to subscribers.")
    connections: int = field("The most sockets that were open.")
    online_users: int = field("The most people who were connected.")
