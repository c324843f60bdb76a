"""GraphQL over HTTP, and the plain routes beside it.

Follows the GraphQL over HTTP draft: request errors have no `data` and status 400 under
`application/graphql-response+json`; under `application/json` every well-formed request is answered with 200.
"""

import hashlib
import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Protocol

import orjson
import structlog
from graphql import GraphQLError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from parley import admission, asked
from parley.asked import Asked, Unreadable
from parley.documents import Documents
from parley.execution import PUBLIC_FIELDS, Engine, Errors, Operation, RequestRefused, codes, formatted
from parley.media_types import JSON_TYPE, RESPONSE_TYPE, preferred
from parley.pages import graphiql_page
from parley.plain_limits import PlainLimiter
from parley.requests import Origin
from resolvers.context import Context, caller
from services.clock import now
from services.config import Settings
from services.errors import ChatError, Overloaded, RateLimited, Unauthenticated
from services.health import HealthChecks
from services.limits import Allowance
from services.services import Services
from services.tokens import Claims, Tokens

ALLOWED: Final = "GET, HEAD, POST"
REFUSED_STATUS: Final = 400  # of what is wrong before anything runs; the draft would also have 422 for some of it
HEALTH_SECONDS: Final = 5  # for which caches may repeat how the parts are
SCHEMA_SECONDS: Final = 300  # for which caches may repeat what the schema is
# Under which a cache at the edge can be told to forget what it has: everything of Parley's, or that of a kind.
SURROGATE_KEYS: Final = {HEALTH_SECONDS: "parley health", SCHEMA_SECONDS: "parley schema"}

_logger = structlog.get_logger()


@dataclass(slots=True)
class Answer:
    """An answer to a request."""

    content: dict[str, Any]
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    public_seconds: int | None = None  # for which it may be repeated to everybody; None where it may not
    is_executed: bool = False  # then its errors were counted where it was

    @classmethod
    def refusal(cls, message: str, code: str, status: int, **headers: str) -> "Answer":
        """Return the answer to a request that is wrong as it is."""
        return cls(_errors([{"message": message, "extensions": {"code": code, "retryable": False}}]), status, headers)

    async def send(self, scope: Scope, _receive: Receive, send: Send, media_type: str) -> None:
        """Send it, or say that the client has it already."""
        body, status = orjson.dumps(self.content), self.status
        found = {"content-type": f"{media_type}; charset=utf-8", "vary": "Accept", "cache-control": "no-store"}
        found.update(self.headers)
        if self.public_seconds is not None:
            tag = f'"{hashlib.sha256(media_type.encode() + body).hexdigest()[:32]}"'
            found["cache-control"] = f"public, max-age={self.public_seconds}"
            found |= {"etag": tag, "vary": "Accept, Authorization"}
            found["surrogate-key"] = SURROGATE_KEYS[self.public_seconds]
            if _has(asked.headers(scope).get("if-none-match", ""), tag):
                body, status = b"", 304
                del found["content-type"]
        if status != 304:
            found["content-length"] = str(len(body))
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in found.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": body})


class Sendable(Protocol):
    """Whatever a request is answered with."""

    headers: dict[str, str]

    async def send(self, scope: Scope, receive: Receive, send: Send, media_type: str, /) -> None:
        """Send it."""


class GraphQLOverHTTP:
    """Answers queries and mutations: an ASGI app, because layers between it and the server would cost as much as it."""

    offered: ClassVar[tuple[str, ...]] = (RESPONSE_TYPE, JSON_TYPE)

    def __init__(self, engine: Engine, documents: Documents, services: Services) -> None:
        self._engine = engine
        self._documents = documents
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; each counts, whatever is wrong with it."""
        sent = asked.headers(scope)
        shows_schema = self._services.settings.allows_introspection
        if shows_schema and scope["method"] == "GET" and _is_for_people(scope, sent):
            await graphiql_page(Request(scope))(scope, receive, send)
            return
        media_type = preferred(sent.get("accept"), self.offered)
        try:
            answer = await self._answer(scope, receive, sent, media_type)
        except Exception:
            _logger.exception("request.failed", path=scope["path"])
            answer = Answer(_errors([_failed(scope["state"]["origin"])]), 500)
        if isinstance(answer, Answer) and not answer.is_executed:
            self._services.meter.errors(codes(answer.content["errors"]))
        await answer.send(scope, receive, send, RESPONSE_TYPE if media_type == RESPONSE_TYPE else JSON_TYPE)

    async def _answer(self, scope: Scope, receive: Receive, sent: dict[str, str], media_type: str | None) -> Sendable:
        origin: Origin = scope["state"]["origin"]
        request = await self._readable(scope, receive, sent, media_type)
        claims = None
        try:
            claims = await authenticated(self._services, sent)
        except ChatError as refused:
            request = Answer(_errors([_formatted(refused, origin)]), 401, {"www-authenticate": "Bearer"})
        allowance = Allowance(self._services.limits, caller(claims, origin.address))
        answer: Sendable
        try:
            if isinstance(request, Answer):
                await allowance.enter(light=False)
                answer = request
            else:
                context = Context(self._services, claims, allowance=allowance)
                answer = await self._run(scope["method"], request, context, origin, media_type)
        except Overloaded as refused:
            seconds = math.ceil((refused.retry_after_ms or 0) / 1_000)
            return Answer(_errors([_formatted(refused, origin)]), 503, {"retry-after": str(seconds)})
        except RateLimited as refused:
            answer = Answer(_errors([_formatted(refused, origin)]), 429)
            answer.headers.update(admission.headers(allowance.used, refused))
        else:
            if (
                not isinstance(answer, Answer) or answer.public_seconds is None
            ):  # else it would be repeated to others, whose limits are other ones
                answer.headers.update(admission.headers(allowance.used))
        return answer

    async def _run(
        self, method: str, request: Asked, context: Context, origin: Origin, media_type: str | None
    ) -> Sendable:
        """Answer a request that can be read.

        Raises:
            RateLimited: it is one too many.
        """
        try:
            operation = await admission.admitted(
                self._engine, self._documents, request, context.claims, context.allowance
            )
            if operation.is_subscription:
                message = "Subscriptions need a WebSocket, or `/graphql/stream`."
                return Answer.refusal(message, "BAD_USER_INPUT", 400)
            if operation.is_mutation and method != "POST":
                return Answer.refusal("Mutations need POST.", "BAD_USER_INPUT", 405, allow="POST")
            result = await self._engine.execute(operation, request.variables, context, origin.request_id)
        except RequestRefused as refused:
            return Answer(_errors(refused.errors), REFUSED_STATUS if media_type == RESPONSE_TYPE else 200)
        is_repeatable = method != "POST" and context.claims is None and "errors" not in result
        public_seconds = _public_seconds(operation) if is_repeatable else None
        return Answer(result, public_seconds=public_seconds, is_executed=True)

    async def _readable(
        self, scope: Scope, receive: Receive, sent: dict[str, str], media_type: str | None
    ) -> Asked | Answer:
        """Return what a request asks for, or the answer to one that asks for nothing."""
        method = scope["method"]
        try:
            if method not in ALLOWED.split(", "):
                return Answer.refusal("This path has no such method.", "BAD_USER_INPUT", 405, allow=ALLOWED)
            if media_type is None:
                message = f"The answer would be {' or '.join(self.offered)}."
                return Answer.refusal(message, "BAD_USER_INPUT", 406)
            if method == "POST":
                return await asked.in_body(sent, receive)
            return asked.in_url(asked.parameters(scope))
        except Unreadable as unreadable:
            return Answer.refusal(unreadable.message, unreadable.code, unreadable.status)


async def authenticated(services: Services, sent: dict[str, str]) -> Claims | None:
    """Return who sends a request with these headers; None where nobody says so.

    Raises:
        Unauthenticated: the header is no bearer token, or the token is not valid.
    """
    header = sent.get("authorization")
    if not header:
        return None
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("`Authorization` must be `Bearer <access token>`.")
    claims = await services.sessions.authenticate(token.strip(), now())
    services.attendance.act(claims.user_id, claims.session_id)
    return claims


def _is_for_people(scope: Scope, sent: dict[str, str]) -> bool:
    """Whether somebody opens the path in a browser, who asks for nothing yet."""
    if "text/html" not in sent.get("accept", ""):
        return False
    return not any(part in scope["query_string"] for part in (b"query=", b"documentId=", b"extensions="))


def _public_seconds(operation: Operation) -> int | None:
    """Return how long an answer to nobody may be repeated to everybody; None where it may not."""
    if not operation.fields <= PUBLIC_FIELDS:
        return None
    return HEALTH_SECONDS if "health" in operation.fields else SCHEMA_SECONDS


def _has(if_none_match: str, tag: str) -> bool:
    """Whether a client has what this tag names (RFC 9110, 13.1.2: weakly compared)."""
    return any(known.strip().removeprefix("W/") in {tag, "*"} for known in if_none_match.split(","))


def _formatted(error: ChatError, origin: Origin) -> dict[str, Any]:
    return formatted(GraphQLError(error.message, original_error=error), origin.request_id)


def _failed(origin: Origin) -> dict[str, Any]:
    extensions = {"code": "INTERNAL", "retryable": False, "requestId": origin.request_id}
    return {"message": "Something went wrong.", "extensions": extensions}


def _errors(errors: Errors) -> dict[str, Any]:
    return {"errors": errors}


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
    return JSONResponse(tokens.jwks(), headers={"cache-control": "public, max-age=300", "surrogate-key": "parley keys"})


def plain_routes(settings: Settings) -> list[Route]:
    """Return the routes of every process: its app's state has `health`.

    Whoever asks how the parts are makes this process ask them: not as often as one likes. The two that load balancers
    ask have no limit, because an answer that is refused would take the process out of service.
    """
    limited = PlainLimiter(settings)
    return [
        Route("/health", limited(health)),
        Route("/health/live", live),
        Route("/health/ready", ready),
    ]


def key_route(settings: Settings) -> Route:
    """Return the route of the keys that verify access tokens."""
    return Route("/.well-known/jwks.json", PlainLimiter(settings)(jwks))
