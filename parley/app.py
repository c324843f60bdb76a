"""The ASGI app: which path is answered by what."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypedDict

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from parley.execution import Engine
from parley.fanout import Fanout
from parley.http import GraphQLOverHTTP, PlainRoutes
from parley.pages import graphiql_page, pages
from parley.transport import PATH, Sockets
from schema.api import graphql_schema
from services.config import Settings
from services.services import open_services


class State(TypedDict):
    """What the routes and the sockets need; made when the app starts."""

    http: GraphQLOverHTTP
    plain: PlainRoutes
    sockets: Sockets


def create_app(settings: Settings) -> FastAPI:
    """Return the app; its services open when it starts and close when it ends."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[State]:
        async with open_services(settings) as services:
            engine = Engine(graphql_schema())
            fanout = Fanout(engine, services)
            sockets = Sockets(engine, fanout, services)
            try:
                yield {
                    "http": GraphQLOverHTTP(engine, services),
                    "plain": PlainRoutes(services),
                    "sockets": sockets,
                }
            finally:
                await sockets.close()
                await fanout.close()

    app = FastAPI(title="Parley", lifespan=lifespan, openapi_url=None)
    app.router.routes += [
        Route(PATH, _graphql, methods=["GET", "POST"]),
        Route("/health", _plain(PlainRoutes.health)),
        Route("/health/live", _plain(PlainRoutes.live)),
        Route("/health/ready", _plain(PlainRoutes.ready)),
        Route("/.well-known/jwks.json", _plain(PlainRoutes.jwks)),
        *pages(),
    ]
    if settings.allowed_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.allowed_origins),
            allow_methods=["GET", "POST"],
            allow_headers=["authorization", "content-type"],
            max_age=600,
        )
    return app


async def _graphql(request: Request) -> Response:
    if (
        request.method == "GET"
        and "query" not in request.query_params
        and "text/html" in request.headers.get("accept", "")
    ):
        return graphiql_page(request)
    response: Response = await request.state.http(request)
    return response


def _plain(answer: Callable[[PlainRoutes, Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return await answer(request.state.plain, request)

    return endpoint
