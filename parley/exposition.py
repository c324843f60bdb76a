"""What a process has counted, as Prometheus reads it: each process is a target, and the sums are Prometheus's work."""

from collections.abc import Iterator
from typing import Final, override

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from services.health import DOWN
from services.meter import BUCKETS, PER_OCTAVE, Key, Meter, Name, Totals, bound

# Each count: its name for Prometheus, what its labels are called, and what it means.
COUNTERS: Final[dict[Name, tuple[str, tuple[str, ...], str]]] = {
    "answered": ("parley_requests", ("status",), "Operations that were answered, over HTTP and over sockets."),
    "request": ("parley_operations", ("kind", "operation"), "Operations that were executed, by their root field."),
    "refused": ("parley_operations_with_errors", ("kind", "operation"), "Operations whose answer had errors."),
    "failed": ("parley_failures", (), "Answers with an error that was not the caller's."),
    "error": ("parley_errors", ("code",), "Errors that clients were told of, in payloads too."),
    "sent": ("parley_messages_sent", (), "Messages that were stored, each once."),
    "delivered": ("parley_deliveries", (), "Updates of conversations that were handed to subscribers."),
    "executed": ("parley_fanout_executions", (), "Executions for updates, each for all who ask the same."),
    "opened": ("parley_sockets_opened", (), "Sockets that were let in."),
    "closed": ("parley_sockets_closed", ("code",), "Sockets that this process has closed."),
    "cache_hit": ("parley_cache_hits", ("kind",), "What was asked of the cache, and cost MongoDB nothing."),
    "cache_miss": ("parley_cache_misses", ("kind",), "What was asked of the cache, and MongoDB after it."),
    "token_reused": ("parley_refresh_token_reuses", (), "Refresh tokens that were shown after they were used up."),
    "tracked": ("parley_tracked_events", (), "Product events that were taken."),
}
HISTOGRAMS: Final[dict[Name, tuple[str, tuple[str, ...], str]]] = {
    "answered_ms": ("parley_request_seconds", (), "How long answers took."),
    "request_ms": ("parley_operation_seconds", ("kind", "operation"), "How long executions took."),
    "delivered_ms": ("parley_delivery_seconds", (), "From an entry's decision until it was handed to subscribers."),
}
GAUGES: Final = {
    "connections": ("parley_sockets", "Sockets and streams that are open."),
    "subscriptions": ("parley_subscriptions", "Subscriptions of the open sockets and streams."),
    "loop_lag_seconds": ("parley_event_loop_lag_seconds", "How late the event loop was, at most, in the last 15 s."),
    "outbox_oldest_seconds": ("parley_outbox_oldest_seconds", "How long the oldest entry waits for Kafka."),
    "consumer_lag": ("parley_consumer_lag", "Events that this worker's jobs have not handled yet."),
    "dead_letters": ("parley_dead_letters", "Events that jobs could not take and that wait for somebody."),
    "fsck_violations": ("parley_fsck_violations", "What the last look at all that is stored has found wrong."),
}
COMPONENT: Final = "parley_component_up"
CONTENT_TYPE: Final = CONTENT_TYPE_LATEST


class MeterCollector(Collector):
    """Shows a meter's counts as metric families."""

    def __init__(self, meter: Meter, version: str) -> None:
        self._meter = meter
        self._version = version

    @override
    def collect(self) -> Iterator[Metric]:
        totals = self._meter.totals()
        counts = totals.counts
        yield _build(self._version)
        for name, (shown, labels, meaning) in COUNTERS.items():
            family = CounterMetricFamily(shown, meaning, labels=labels)
            found = [(key[1:], count) for key, count in counts.items() if key[0] == name]
            for values, count in found or ([((), 0)] if not labels else []):
                family.add_metric(values, count)
            yield family
        for name, (shown, labels, meaning) in HISTOGRAMS.items():
            yield _histogram(HistogramMetricFamily(shown, meaning, labels=labels), name, totals)
        for gauge, (shown, meaning) in GAUGES.items():
            if gauge in totals.gauges:
                yield GaugeMetricFamily(shown, meaning, value=totals.gauges[gauge])
        up = GaugeMetricFamily(COMPONENT, "Whether a part answers this process: 1, or 0.", labels=["component"])
        for gauge, value in totals.gauges.items():
            if gauge.endswith(DOWN):
                up.add_metric([gauge.removesuffix(DOWN)], 1 - value)
        yield up


class Exposition:
    """The text that Prometheus scrapes."""

    def __init__(self, meter: Meter, version: str) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(MeterCollector(meter, version))
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)

    def text(self) -> bytes:
        """Return it."""
        return generate_latest(self._registry)


def _build(version: str) -> Metric:
    family = GaugeMetricFamily("parley_build_info", "The version that runs.", labels=["version"])
    family.add_metric([version], 1)
    return family


def _histogram(family: HistogramMetricFamily, name: Name, totals: Totals) -> HistogramMetricFamily:
    by_labels: dict[Key, dict[int, int]] = {}
    for key, count in totals.counts.items():
        if key[0] == name:
            by_labels.setdefault(key[1:-1], {})[int(key[-1])] = count
    for labels, found in by_labels.items():
        total, buckets = 0, list[tuple[str, float]]()
        for number in range(BUCKETS):
            total += found.get(number, 0)
            if number % PER_OCTAVE == 0:  # one for each doubling is enough for a graph
                buckets.append((f"{bound(number) / 1_000:g}", total))
        buckets.append(("+Inf", sum(found.values())))
        family.add_metric(labels, buckets, sum_value=totals.sums[name, *labels] / 1e6)
    return family
