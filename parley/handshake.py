"""The HTTP request that opens a WebSocket (RFC 6455, 4.2) and its answer, as bytes; no socket is touched."""

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus

from parley.protocol import SUBPROTOCOL

SEAT_SECONDS = 5  # after which whoever has too many sockets open may try again
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send, and what the socket is then."""

    data: bytes
    is_accepted: bool
    speaks_protocol: bool = False  # whether the client offered graphql-transport-ws


@dataclass(frozen=True, slots=True)
class Asked:
    """The request, parsed."""

    method: str
    path: str
    headers: Mapping[str, str]  # a header that comes several times is one, with commas


def asked(request: bytes) -> Asked:
    """Parse a whole request; the header names are in lower case and nothing is folded, as HTTP parsers give them."""
    line, *lines = request.decode("latin-1").split("\r\n")
    method, _, rest = line.partition(" ")
    headers: dict[str, str] = {}
    for name, _, value in (field.partition(":") for field in lines if field):
        headers[name] = f"{headers[name]},{value.strip()}" if name in headers else value.strip()
    return Asked(method, rest.partition(" ")[0].partition("?")[0], headers)


def answer(
    request: Asked,
    *,
    path: str,
    request_id: str,
    allowed_origins: Sequence[str],
    is_refusing: bool,
    has_seat: Callable[[], bool],
) -> Answer:
    """Answer a request; the answer names it as the logs do. Only where all else is well a seat is asked for."""
    found = _answer(request, path=path, allowed_origins=allowed_origins, is_refusing=is_refusing, has_seat=has_seat)
    first, rest = found.data.split(b"\r\n", 1)
    return replace(found, data=b"%b\r\nX-Request-ID: %b\r\n%b" % (first, request_id.encode(), rest))


def _answer(
    request: Asked, *, path: str, allowed_origins: Sequence[str], is_refusing: bool, has_seat: Callable[[], bool]
) -> Answer:
    method, headers = request.method, request.headers
    if request.path != path:
        return _refusal(HTTPStatus.NOT_FOUND)
    key = headers.get("sec-websocket-key", "")
    if method != "GET" or not _is_key(key):
        return _refusal(HTTPStatus.BAD_REQUEST)
    if headers.get("sec-websocket-version") != "13":
        return _refusal(HTTPStatus.UPGRADE_REQUIRED, "Sec-WebSocket-Version: 13\r\n")
    if not _may_come_from(headers.get("origin"), headers.get("host"), allowed_origins):
        return _refusal(HTTPStatus.FORBIDDEN)
    if is_refusing:
        return _refusal(HTTPStatus.SERVICE_UNAVAILABLE)
    if not has_seat():
        return _refusal(HTTPStatus.TOO_MANY_REQUESTS, f"Retry-After: {SEAT_SECONDS}\r\n")
    offered = [name.strip() for name in headers.get("sec-websocket-protocol", "").split(",")]
    return _acceptance(key, SUBPROTOCOL in offered)


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False


def _may_come_from(origin: str | None, host: str | None, allowed: Sequence[str]) -> bool:
    """Browsers name the page's origin; a page elsewhere may come only where the operator allows it."""
    if origin is None:
        return True
    return "*" in allowed or origin in allowed or origin.partition("://")[2] == host


def _acceptance(key: str, speaks_protocol: bool) -> Answer:
    accept = base64.b64encode(hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()).decode()
    chosen = f"Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n" if speaks_protocol else ""
    text = (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\n{chosen}\r\n"
    )
    return Answer(text.encode(), is_accepted=True, speaks_protocol=speaks_protocol)


def _refusal(status: HTTPStatus, header: str = "") -> Answer:
    text = f"HTTP/1.1 {status.value} {status.phrase}\r\n{header}Content-Length: 0\r\nConnection: close\r\n\r\n"
    return Answer(text.encode(), is_accepted=False)
