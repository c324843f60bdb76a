"""Where something comes from: what goes with an event, also through Kafka, so that whoever handles it can name it.

An entry keeps the origin that it had when it was appended in this process; it is no part of what is stored. Events that
the relay sends have none: nobody knows any more which request they came of.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Final

import structlog

from services.tracing import TRACEPARENT, traceparent

REQUEST_ID: Final = "request-id"

_IPV4_BITS: Final = 24
_IPV6_BITS: Final = 48

type Headers = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Source:
    """Where the request comes from that is being served."""

    request_id: str | None = None
    address: str | None = None

    @property
    def network(self) -> str | None:
        """The address's network; None where there is no address."""
        try:
            address = ip_address((self.address or "").partition("/")[0])
        except ValueError:
            return None
        return str(ip_network((address, _IPV4_BITS if address.version == 4 else _IPV6_BITS), strict=False))


# Set where a request comes in, and read where something is done for it: what lies between has nothing to do with it.
SOURCE: ContextVar[Source] = ContextVar("source", default=Source())  # noqa: B039  # it is frozen


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
