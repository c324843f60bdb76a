"""Sends traces to whoever speaks OTLP over HTTP. Imported only where that is asked for: it needs the extra `tracing`.

The variables of OpenTelemetry's own, as OTEL_TRACES_SAMPLER and OTEL_RESOURCE_ATTRIBUTES, hold as well.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import version
from typing import Final

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from services import tracing
from services.tracing import TRACEPARENT, SpanKind

PATH: Final = "/v1/traces"
_PROPAGATOR: Final = TraceContextTextMapPropagator()


class OpenTelemetry:
    """Spans of OpenTelemetry's SDK."""

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer("parley", version("parley-chat"))

    @property
    def current(self) -> str | None:
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier)
        return carrier.get(TRACEPARENT)

    def span(self, name: str, kind: SpanKind, parent: str | None) -> AbstractContextManager[object]:
        return self._span(name, trace.SpanKind[kind.value], parent)

    @contextmanager
    def _span(self, name: str, kind: trace.SpanKind, parent: str | None) -> Iterator[None]:
        context = None if parent is None else _PROPAGATOR.extract({TRACEPARENT: parent})
        with self._tracer.start_as_current_span(
            name,
            context=context,
            kind=kind,
            # What an exception says may be what somebody sent.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except Exception:
                span.set_status(StatusCode.ERROR)
                raise


def start(url: str, *, role: str) -> None:
    """Trace what this process does, and send that to a collector; what it does not take is lost."""
    resource = Resource.create({"service.name": f"parley-{role}", "service.version": version("parley-chat")})
    provider = TracerProvider(resource=resource)  # at the end of the process it sends what is left
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(url.rstrip("/") + PATH)))
    tracing.start(OpenTelemetry(provider))
