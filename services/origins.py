"""Where something comes from: what goes with an event, also through Kafka, so that whoever handles it can name it.

An entry keeps the origin that it had when it was appended in this process; it is no part of what is stored. Events that
the relay sends have none: nobody knows any more which request they came of.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Final

import structlog

from services.audit import SOURCE
from services.tracing import TRACEPARENT, traceparent

REQUEST_ID: Final = "request-id"

type Headers = tuple[tuple[str, bytes], ...]


def origin() -> Headers:
    """Return the origin of what is done now, as headers of Kafka records; empty outside of a request."""
    request_id = SOURCE.get().request_id
    named: Headers = () if request_id is None else ((REQUEST_ID, request_id.encode()),)
    trace = traceparent()
    return named if trace is None else (*named, (TRACEPARENT, trace.encode()))


def request_id_in(headers: Iterable[tuple[str, bytes]]) -> str | None:
    """Return the id of the request that a record came of; None where it names none."""
    found = dict(headers).get(REQUEST_ID)
    return None if found is None else found.decode(errors="replace")


def logged_as(headers: Iterable[tuple[str, bytes]]) -> AbstractContextManager[None]:
    """Have what is logged in a block name the request that a record came of."""
    return structlog.contextvars.bound_contextvars(request_id=request_id_in(headers))
