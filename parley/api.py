"""The ASGI app: which path is answered by what."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from parley import streaming
from parley.documents import open_documents
from parley.draining import DrainingServer
from parley.execution import Engine
from parley.exposition import Exposition
from parley.fanout import Fanout
from parley.http import GraphQLOverHTTP, key_route, plain_routes
from parley.monitoring import monitoring_routes
from parley.pages import PAGES, pages
from parley.requests import EXCEPTION_HANDLERS, REQUEST_ID_HEADER, Requests
from parley.server import config, run
from parley.transport import PATH, Socket, Sockets
from schema.api import graphql_schema
from services.config import Settings
from services.health import HealthChecks
from services.limits import LIGHT_FIELDS
from services.meter import Meter
from services.services import Services, open_services
from services.tokens import Tokens


class State(TypedDict):
    """What the routes and the sockets need; made when the app starts."""

    graphql: dict[str, ASGIApp]  # by path
    health: HealthChecks
    tokens: Tokens
    sockets: Sockets
    meter: Meter
    services: Services
    exposition: Exposition


def create_app(settings: Settings) -> ASGIApp:
    """Return the app; its services open when it starts and close when it ends.

    Raises:
        ValueError: a limit is set for something that there is not, or a manifest of documents cannot be read.
    """
    _check_names(settings.rate_limits.fields)
    documents = open_documents(PAGES, settings.documents_file, trusted_only=settings.trusted_only)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[State]:
        async with open_services(settings) as services:
            engine = Engine(
                graphql_schema(), introspection=settings.allows_introspection, trusted=documents.trusted.values()
            )
            fanout = Fanout(engine, services)
            sockets = Sockets(engine, documents, fanout, services)
            gc.collect()
            gc.freeze()  # the schema's objects stay: there is no use in looking through them again and again
            services.loop_lag.listeners.append(engine.load.note)
            try:
                yield {
                    "graphql": {
                        PATH: GraphQLOverHTTP(engine, documents, services),
                        streaming.PATH: streaming.Streams(sockets),
                    },
                    "health": services.health,
                    "tokens": services.tokens,
                    "sockets": sockets,
                    "meter": services.meter,
                    "services": services,
                    "exposition": Exposition(services.meter, services.health.version),
                }
            finally:
                await sockets.close()
                await engine.close()
                await fanout.close()

    routed = FastAPI(title="Parley", lifespan=lifespan, openapi_url=None, exception_handlers=dict(EXCEPTION_HANDLERS))
    routed.router.routes += [*plain_routes(settings), *monitoring_routes(settings), key_route(settings), *pages()]
    app: ASGIApp = GraphQLFirst(routed)
    if settings.allowed_origins:
        app = CORSMiddleware(
            app,
            allow_origins=list(settings.allowed_origins),
            allow_methods=["GET", "POST"],
            allow_headers=["authorization", "content-type"],
            expose_headers=["ratelimit", "ratelimit-policy", "retry-after", REQUEST_ID_HEADER],
            max_age=600,
        )
    return Requests(app, settings.trusted_proxies)


def _check_names(limited: frozenset[str]) -> None:
    """See that a limit which somebody misspelt is no limit that they believe in."""
    schema = graphql_schema()
    roots = (schema.query_type, schema.mutation_type, schema.subscription_type)
    unknown = limited - {name for root in roots if root is not None for name in root.fields} - LIGHT_FIELDS
    if unknown:
        raise ValueError(f"PARLEY_RATE_LIMITS: there is no {', '.join(sorted(unknown))} to be limited")


class GraphQLFirst:
    """Hands GraphQL's paths to what answers it, and all else to the routes."""

    def __init__(self, routed: ASGIApp) -> None:
        self._routed = routed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the life of the app."""
        app = self._routed
        if scope["type"] == "http":
            app = scope["state"]["graphql"].get(scope["path"], app)
        await app(scope, receive, send)


def server(settings: Settings, *, host: str, port: int) -> DrainingServer:
    """Return a server of the API."""
    return DrainingServer(config(create_app(settings), host=host, port=port, ws=Socket), settings)


def serve_api(settings: Settings, *, host: str, port: int) -> None:
    """Run an API process until SIGTERM or SIGINT."""
    run(server(settings, host=host, port=port), settings, role="api")
