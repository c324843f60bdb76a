"""Runs an app on uvicorn, with what the protocol asks of it."""

import logging

import structlog
import uvicorn
from starlette.types import ASGIApp

# Above Parley's own limit, so that Parley answers before uvicorn closes with 1009, on which clients give up for good.
FRAME_BYTES = 1024 * 1024


def serve(app: ASGIApp, *, host: str, port: int) -> None:
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
    uvicorn.run(
        app,
        host=host,
        port=port,
        ws="websockets-sansio",
        ws_max_size=FRAME_BYTES,
        # Parley pings by the protocol itself; uvicorn's own would close with 1011, on which clients give up for good.
        ws_ping_interval=None,
        ws_per_message_deflate=False,
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=5,
    )
