"""Figures over plain HTTP: for Prometheus, and as thin views of the services behind GraphQL's own fields.

`/metrics` is the process's own. It is for whoever connects to it directly from a private network, as Prometheus does,
and for operators; what came through a proxy is neither without an operator's token. The other routes are for operators,
but `track`, which is for everybody who is signed in.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from ipaddress import ip_address
from typing import Any, Final

import orjson
from graphql import GraphQLError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from parley.execution import formatted
from parley.exposition import CONTENT_TYPE, Exposition
from parley.http import authenticated, health
from parley.plain_limits import PlainLimiter
from resolvers.context import caller
from schema.view import parse_date_time
from services.clock import now, rfc3339
from services.config import Settings
from services.errors import BadUserInput, ChatError, RateLimited, Unauthenticated, Unavailable
from services.limits import Allowance
from services.metric_history import MetricsResolution
from services.redis import RedisFailedError
from services.services import Services
from services.tokens import Claims

TRACK_BYTES: Final = 8 * 1024
_STATUSES: Final = {
    "UNAUTHENTICATED": 401,
    "TOKEN_EXPIRED": 401,
    "FORBIDDEN": 403,
    "RATE_LIMITED": 429,
    "UNAVAILABLE": 503,
}

type Answer = Callable[[Request, Services, Claims | None], Awaitable[object]]


async def exposition(request: Request) -> Response:
    """Show what this process has counted to Prometheus."""
    shown: Exposition = request.state.exposition
    if not _is_direct(request):
        services: Services | None = getattr(request.state, "services", None)
        if services is None:
            return _refused(request, Unauthenticated("This is for whoever connects directly."))
        try:
            _operator(await authenticated(services, dict(request.headers)))
        except ChatError as refused:
            return _refused(request, refused)
    return Response(shown.text(), media_type=CONTENT_TYPE)


async def _figures(_request: Request, services: Services, claims: Claims | None) -> object:
    _operator(claims)
    try:
        return _camel(asdict(await services.metrics.metrics()))
    except RedisFailedError:
        raise Unavailable("Redis does not answer. Try again.") from None


async def _history(request: Request, services: Services, claims: Claims | None) -> object:
    _operator(claims)
    asked = request.query_params
    try:
        resolution = MetricsResolution(asked.get("resolution", "MINUTE"))
    except ValueError:
        raise BadUserInput("`resolution` is MINUTE, HOUR or DAY.") from None
    points = await services.metrics.points(_time(asked, "from"), _time(asked, "to"), resolution)
    return {"points": [_camel(asdict(point)) for point in points]}


async def _track(request: Request, services: Services, claims: Claims | None) -> object:
    if claims is None:
        raise Unauthenticated("Sign in and send the access token as `Authorization: Bearer …`.")
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise BadUserInput("Send the event as application/json.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > TRACK_BYTES:
            raise BadUserInput("The event is too large.")
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BadUserInput("The body is not JSON.") from None
    if not isinstance(content, dict) or not isinstance(content.get("name"), str):
        raise BadUserInput("The body is an object with a `name`.")
    at = content.get("at")
    accepted = await services.tracking.track(
        claims.user_id,
        name=content["name"],
        properties=content.get("properties"),
        at=None if at is None else _parsed(at, "at"),
        now=now(),
    )
    return {"accepted": accepted}


def monitoring_routes(settings: Settings) -> list[Route]:
    """Return the routes of an API process."""
    limited = PlainLimiter(settings)
    prefix = "/api/v1/monitoring"
    return [
        Route("/metrics", exposition),
        Route(f"{prefix}/health", limited(health)),
        Route(f"{prefix}/metrics", _answering(_figures)),
        Route(f"{prefix}/metrics/history", _answering(_history)),
        Route(f"{prefix}/track", _answering(_track), methods=["POST"]),
    ]


def _answering(answer: Answer) -> Callable[[Request], Awaitable[Response]]:
    """Return an endpoint that counts as a request of its caller, and answers as GraphQL does where it refuses."""

    async def endpoint(request: Request) -> Response:
        services: Services = request.state.services
        try:
            claims = await authenticated(services, dict(request.headers))
            allowance = Allowance(services.limits, caller(claims, request.state.origin.address))
            await allowance.enter(light=False)
            content = await answer(request, services, claims)
        except ChatError as refused:
            return _refused(request, refused)
        except ClientDisconnect:
            return Response(status_code=400)
        return Response(orjson.dumps(content), media_type="application/json", headers={"cache-control": "no-store"})

    return endpoint


def _operator(claims: Claims | None) -> None:
    if claims is None:
        raise Unauthenticated("Sign in and send the access token as `Authorization: Bearer …`.")
    claims.require_operator()


def _is_direct(request: Request) -> bool:
    """Whether somebody connects from a private network, with no proxy between."""
    if "x-forwarded-for" in request.headers or request.client is None:
        return False
    address = ip_address(request.client.host)
    return address.is_private or address.is_loopback


def _refused(request: Request, refused: ChatError) -> Response:
    error = formatted(GraphQLError(refused.message, original_error=refused), request.state.origin.request_id)
    status = _STATUSES.get(error["extensions"]["code"], 400)
    headers = {"cache-control": "no-store"}
    if isinstance(refused, RateLimited):
        headers["retry-after"] = str(-(-refused.retry_after_ms // 1_000))
    return Response(orjson.dumps({"errors": [error]}), status, headers, media_type="application/json")


def _time(asked: Mapping[str, str], name: str) -> datetime:
    if name not in asked:
        raise BadUserInput(f"`{name}` is missing.")
    return _parsed(asked[name], name)


def _parsed(value: object, name: str) -> datetime:
    try:
        return parse_date_time(value)  # type: ignore[arg-type]  # it refuses what is no string
    except ValueError as error:
        raise BadUserInput(f"`{name}`: {error}") from None


def _camel(value: Any) -> Any:
    """Return fields as GraphQL names them, and times as it writes them."""
    match value:
        case dict():
            return {_camel_name(name): _camel(item) for name, item in value.items()}
        case list():
            return [_camel(item) for item in value]
        case datetime():
            return rfc3339(value)
        case _:
            return value


def _camel_name(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
