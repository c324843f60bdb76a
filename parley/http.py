"""GraphQL over HTTP, and the plain routes beside it.

Follows the GraphQL over HTTP draft: request errors have no `data` and status 400 under
`application/graphql-response+json`; under `application/json` every well-formed request is answered with 200.
"""

import math
from typing import Any, Final

import orjson
from graphql import GraphQLError
from slowapi import Limiter
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from parley import admission
from parley.execution import Engine, Errors, RequestRefused, formatted
from parley.load import Load
from parley.requests import Origin
from resolvers.context import Context, caller
from services.clock import now
from services.config import Settings
from services.errors import ChatError, Overloaded, RateLimited, Unauthenticated
from services.health import HealthChecks
from services.limits import Allowance
from services.services import Services
from services.tokens import Claims, Tokens

BODY_BYTES = 256 * 1024
JSON_TYPE = "application/json"
RESPONSE_TYPE = "application/graphql-response+json"
PLAIN_LIMIT: Final = "120/minute"  # requests to one of the plain routes, from an address


class GraphQLOverHTTP:
    """Answers queries and mutations."""

    def __init__(self, engine: Engine, load: Load, services: Services) -> None:
        self._engine = engine
        self._load = load
        self._services = services

    async def __call__(self, request: Request) -> Response:
        """Answer one request; each counts, whatever is wrong with it."""
        origin: Origin = request.state.origin
        media_type = RESPONSE_TYPE if RESPONSE_TYPE in request.headers.get("accept", "") else JSON_TYPE
        asked = await _asked_by(request, media_type)
        try:
            claims = await self._claims(request)
        except ChatError as refused:
            claims, asked = None, _errors([_formatted(refused, origin)], 401, media_type)
        allowance = Allowance(self._services.limits, caller(claims, origin.address))
        try:
            if isinstance(asked, Response):
                await allowance.enter(light=False)
                response = asked
            else:
                response = await self._answer(
                    request, asked, Context(self._services, claims, allowance=allowance), media_type
                )
        except RateLimited as refused:
            response = _errors([_formatted(refused, origin)], 429, media_type)
            response.headers.update(admission.headers(allowance.used, refused))
        else:
            response.headers.update(admission.headers(allowance.used))
        return response

    async def _answer(self, request: Request, asked: "Asked", context: Context, media_type: str) -> Response:
        """Answer a request that can be read.

        Raises:
            RateLimited: it is one too many.
        """
        query, variables, operation_name = asked
        origin: Origin = request.state.origin
        try:
            operation = await admission.admitted(self._engine, self._load, query, operation_name, context.allowance)
            if operation.is_subscription:
                return _refusal("Subscriptions need a WebSocket.", "BAD_USER_INPUT", 400, media_type)
            if operation.is_mutation and request.method == "GET":
                response = _refusal("Mutations need POST.", "BAD_USER_INPUT", 405, media_type)
                response.headers["allow"] = "POST"
                return response
            with self._load.working():
                result = await self._engine.execute(operation, variables, context, origin.request_id)
        except Overloaded as refused:
            response = _errors([_formatted(refused, origin)], 503, media_type)
            response.headers["retry-after"] = str(math.ceil((refused.retry_after_ms or 0) / 1_000))
            return response
        except RequestRefused as refused:
            return _errors(refused.errors, 400 if media_type == RESPONSE_TYPE else 200, media_type)
        return _response(result, 200, media_type)

    async def _claims(self, request: Request) -> Claims | None:
        header = request.headers.get("authorization")
        if not header:
            return None
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("`Authorization` must be `Bearer <access token>`.")
        claims = await self._services.sessions.authenticate(token.strip(), now())
        self._services.attendance.act(claims.user_id, claims.session_id)
        return claims


type Asked = tuple[str, dict[str, Any] | None, str | None]


async def _asked_by(request: Request, media_type: str) -> Asked | Response:
    """Return the parts of a request, or the answer to one that has none."""
    if request.method == "GET":
        asked = _from_query(request)
    else:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON_TYPE:
            return _refusal("Send the request as application/json.", "BAD_USER_INPUT", 415, media_type)
        body = await _body(request)
        if body is None:
            return _refusal("The request is too large.", "PAYLOAD_TOO_LARGE", 413, media_type)
        asked = _parsed(body)
    return _refusal(asked, "BAD_USER_INPUT", 400, media_type) if isinstance(asked, str) else asked


async def _body(request: Request) -> bytes | None:
    """Return the body, or None as soon as it proves to be too large."""
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > BODY_BYTES:
                return None
    except ClientDisconnect:
        return None
    return bytes(body)


def _parsed(body: bytes) -> Asked | str:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return "The body is not JSON, or nested too deeply."
    return _asked(content)


def _from_query(request: Request) -> Asked | str:
    parameters = request.query_params
    content: dict[str, Any] = {"query": parameters.get("query"), "operationName": parameters.get("operationName")}
    if "variables" in parameters:
        try:
            content["variables"] = orjson.loads(parameters["variables"])
        except orjson.JSONDecodeError:
            return "`variables` is not JSON."
    return _asked(content)


def _asked(content: object) -> Asked | str:
    """Return the parts of a request, or what is wrong with it."""
    if not isinstance(content, dict):
        return "The request is not a JSON object; batches are not accepted."
    query, variables, name = content.get("query"), content.get("variables"), content.get("operationName")
    if not isinstance(query, str):
        return "`query` must be a string."
    if variables is not None and not isinstance(variables, dict):
        return "`variables` must be an object."
    if name is not None and not isinstance(name, str):
        return "`operationName` must be a string."
    return query, variables, name or None


def _formatted(error: ChatError, origin: Origin) -> dict[str, Any]:
    return formatted(GraphQLError(error.message, original_error=error), origin.request_id)


def _refusal(message: str, code: str, status: int, media_type: str) -> Response:
    return _errors([{"message": message, "extensions": {"code": code, "retryable": False}}], status, media_type)


def _errors(errors: Errors, status: int, media_type: str) -> Response:
    return _response({"errors": errors}, status, media_type)


def _response(content: dict[str, Any], status: int, media_type: str) -> Response:
    headers = {"vary": "Accept", "cache-control": "no-store"}
    return Response(orjson.dumps(content), status, headers, media_type=f"{media_type}; charset=utf-8")


async def live(_request: Request) -> Response:
    """Say that the event loop turns."""
    return JSONResponse({"status": "live"})


async def ready(request: Request) -> Response:
    """Say whether this process can serve."""
    checks: HealthChecks = request.state.health
    is_ready = await checks.is_ready()
    return JSONResponse({"status": "ready" if is_ready else "not ready"}, 200 if is_ready else 503)


async def health(request: Request) -> Response:
    """Say how the parts are."""
    checks: HealthChecks = request.state.health
    found = await checks.health()
    content = {
        "status": found.status,
        "version": found.version,
        "instance": found.instance,
        "uptimeSeconds": found.uptime_seconds,
        "components": [
            {"name": part.name, "status": part.status, "latencyMs": part.latency_ms, "detail": part.detail}
            for part in found.components
        ],
    }
    return JSONResponse(content, 503 if found.status == "UNHEALTHY" else 200)


async def jwks(request: Request) -> Response:
    """Publish the keys that verify access tokens (RFC 7517)."""
    tokens: Tokens = request.state.tokens
    return JSONResponse(tokens.jwks(), headers={"cache-control": "public, max-age=300"})


def plain_routes(settings: Settings) -> list[Route]:
    """Return the routes of every process: its app's state has `health`.

    Whoever asks how the parts are makes this process ask them: not as often as one likes. The two that load balancers
    ask have no limit, because an answer that is refused would take the process out of service.
    """
    limiter = plain_limiter(settings)
    return [
        Route("/health", limiter.limit(PLAIN_LIMIT)(health)),
        Route("/health/live", live),
        Route("/health/ready", ready),
    ]


def key_route(settings: Settings) -> Route:
    """Return the route of the keys that verify access tokens."""
    return Route("/.well-known/jwks.json", plain_limiter(settings).limit(PLAIN_LIMIT)(jwks))


def plain_limiter(settings: Settings) -> Limiter:
    """Return what counts requests to a plain route, by address and in this process alone: they change nothing."""
    return Limiter(
        key_func=lambda request: request.state.origin.address,
        strategy="moving-window",
        storage_uri="memory://",
        enabled=settings.rate_limits.are_on,
    )
