"""Runs an app on uvicorn, with what every process of Parley asks of it."""

import logging
from typing import Any

import structlog
import uvicorn
from starlette.types import ASGIApp


def config(app: ASGIApp, *, host: str, port: int, ws: Any = "none") -> uvicorn.Config:
    """Return how an app is served; `ws` is the class that takes over connections which ask for a WebSocket."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http="httptools",
        ws=ws,
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,  # `parley/addresses.py` reads them, and believes those that are trusted
        timeout_graceful_shutdown=5,
    )


def run(server: uvicorn.Server) -> None:
    """Serve until SIGTERM or SIGINT."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
    # It says several lines each time it tries a broker that is away; what matters of that we log ourselves.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    server.run()
