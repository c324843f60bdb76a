"""What holds for every HTTP request: where it comes from, what the logs call it, and an answer whatever goes wrong."""

import random
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, ExceptionHandler, Message, Receive, Scope, Send

from parley.addresses import Networks, client, is_trusted
from services.tracing import TRACEPARENT, SpanKind, traced

COUNTED: Final = "/graphql"  # requests to paths that begin so are operations
REQUEST_ID_HEADER: Final = "x-request-id"
# What browsers are told of every answer that does not say otherwise itself, as pages do with a policy of their own.
SECURITY_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{8,64}")

_logger = structlog.get_logger()


def new_request_id() -> str:
    """Return a name for a request or an event: of 26 characters, and later ones sort after it."""
    return f"{time.time_ns() // 1_000_000:011X}{random.getrandbits(60):015X}"  # it is no secret


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request comes from, and what it is called in the logs and in answers about them."""

    address: str
    request_id: str


def origin(peer: str | None, forwarded_for: Iterable[str], request_id: str | None, proxies: Networks) -> Origin:
    """Return the origin of a request; what its headers say counts if a trusted proxy sent them."""
    named = request_id is not None and _REQUEST_ID.fullmatch(request_id) and is_trusted(peer, proxies)
    return Origin(client(peer, forwarded_for, proxies), request_id if named and request_id else new_request_id())


class Requests:
    """The outermost layer of an app."""

    def __init__(self, app: ASGIApp, proxies: Networks) -> None:
        self._app = app
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked, peer = Headers(scope=scope), scope.get("client")
        found = origin(
            None if peer is None else peer[0],
            asked.getlist("x-forwarded-for"),
            asked.get(REQUEST_ID_HEADER),
            self._proxies,
        )
        scope["state"]["origin"] = found
        structlog.contextvars.bind_contextvars(request_id=found.request_id)

        began, meter = time.perf_counter(), scope["state"].get("meter") if scope["path"].startswith(COUNTED) else None

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID_HEADER] = found.request_id
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                if meter is not None:
                    meter.answered(message["status"], (time.perf_counter() - began) * 1_000)
            await send(message)

        is_traced, parent = scope["path"].startswith(COUNTED), asked.get(TRACEPARENT)
        try:
            with traced(f"{scope['method']} {COUNTED}", SpanKind.SERVER, parent) if is_traced else nullcontext():
                await self._app(scope, receive, send_named)
        except Exception:  # it was answered by `failed`, below
            _logger.exception("request.failed", path=scope["path"])


async def refused(_request: Request, error: Exception) -> Response:
    """Answer a request to a path, or with a method, that there is not."""
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.TOO_MANY_REQUESTS:
        seconds = int((error.headers or {}).get("retry-after", 60))
        content = {"code": "RATE_LIMITED", "retryable": True, "retryAfterMs": seconds * 1_000}
        return JSONResponse(_errors("Too much at once. Wait a moment.", content), 429, error.headers)
    found = {404: ("There is nothing here.", "NOT_FOUND"), 405: ("This path has no such method.", "BAD_USER_INPUT")}
    message, code = found.get(error.status_code, ("The request was refused.", "BAD_USER_INPUT"))
    return JSONResponse(_errors(message, {"code": code}), error.status_code, error.headers)


async def failed(request: Request, _error: Exception) -> Response:
    """Answer a request that failed for a reason of ours."""
    extensions = {"code": "INTERNAL", "requestId": request.state.origin.request_id}
    return JSONResponse(_errors("Something went wrong.", extensions), 500)


def _errors(message: str, extensions: Mapping[str, object]) -> dict[str, Any]:
    return {"errors": [{"message": message, "extensions": {"retryable": False, **extensions}}]}


EXCEPTION_HANDLERS: Final[Mapping[Any, ExceptionHandler]] = {HTTPException: refused, Exception: failed}
