"""Runs an app on uvicorn, with what every process of Parley asks of it."""

from typing import Any

import uvicorn
from starlette.types import ASGIApp

from parley import logs
from services.config import Settings

# How long an idle connection stays. Who asks must be the first to close, or a request meets the closing and is lost, so
# this is longer than proxies (60 s for ingress-nginx, load balancers of AWS) and clients' pools keep theirs.
KEEP_ALIVE_SECONDS = 75


def config(app: ASGIApp, *, host: str, port: int, ws: Any = "none") -> uvicorn.Config:
    """Return how an app is served; `ws` is the class that takes over connections which ask for a WebSocket."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http="httptools",
        ws=ws,
        access_log=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        proxy_headers=False,  # `parley/addresses.py` reads them, and believes those that are trusted
        timeout_graceful_shutdown=5,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )


def run(server: uvicorn.Server, settings: Settings, *, role: str) -> None:
    """Serve until SIGTERM or SIGINT."""
    report = None
    try:
        # Imported only where they are asked for: they are extras, and what they import costs memory and time.
        if settings.sentry_dsn is not None:
            from parley.sentry import Sentry

            report = Sentry(settings.sentry_dsn, role=role).report
        if settings.traces_url is not None:
            from parley import tracing

            tracing.start(settings.traces_url, role=role)
    except ModuleNotFoundError as error:
        raise SystemExit(f"PARLEY_SENTRY_DSN needs the extra `sentry`, PARLEY_TRACES_URL `tracing`: {error}") from None
    logs.configure(settings.log_level, report=report)
    server.run()
