"""Traces: what a request caused, in every process. Off, as it is until `start`, a span costs a comparison.

A trace goes on in another process by its `traceparent`, as W3C Trace Context writes it: in headers of HTTP and of Kafka
records, and beside entries on their way through Redis. Spans have names and times, and nothing that somebody sent.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from enum import StrEnum
from typing import Any, Final, Protocol

TRACEPARENT: Final = "traceparent"
_NOTHING: Final[AbstractContextManager[Any]] = nullcontext()


class SpanKind(StrEnum):
    SERVER = "SERVER"
    INTERNAL = "INTERNAL"
    CLIENT = "CLIENT"
    PRODUCER = "PRODUCER"
    CONSUMER = "CONSUMER"


class Tracer(Protocol):
    """What makes spans."""

    @property
    def current(self) -> str | None:
        """The traceparent of the span that is open; None where none is."""

    def span(self, name: str, kind: SpanKind, parent: str | None) -> AbstractContextManager[Any]:
        """Open a span below the one that a traceparent names, else below the one that is open, else a new trace."""


class _State:
    tracer: Tracer | None = None  # None while tracing is off


def start(tracer: Tracer | None) -> None:
    """Trace what this process does from now on; nothing more with None."""
    _State.tracer = tracer


def traced(name: str, kind: SpanKind = SpanKind.INTERNAL, parent: str | None = None) -> AbstractContextManager[Any]:
    """Open a span for something that somebody asked for: it begins a trace where it is in none."""
    return _NOTHING if _State.tracer is None else _State.tracer.span(name, kind, parent)


def part(name: str, kind: SpanKind = SpanKind.CLIENT) -> AbstractContextManager[Any]:
    """Open a span in the trace that is open; outside of one there is none."""
    tracer = _State.tracer
    return _NOTHING if tracer is None or tracer.current is None else tracer.span(name, kind, None)


def continued(
    name: str, origins: Iterable[Iterable[tuple[str, bytes]]], kind: SpanKind = SpanKind.INTERNAL
) -> AbstractContextManager[Any]:
    """Open a span in the trace of each of these origins that names one; what is done in the block is the last one's."""
    tracer = _State.tracer
    if tracer is None:
        return _NOTHING
    spans = ExitStack()
    for origin in origins:
        parent = dict(origin).get(TRACEPARENT)
        if parent is not None:
            spans.enter_context(tracer.span(name, kind, parent.decode(errors="replace")))
    return spans


def traceparent() -> str | None:
    """Return the name of the span that is open, for other processes; None where none is."""
    return None if _State.tracer is None else _State.tracer.current
