"""Tells Sentry of what is logged as failed. Imported only where that is asked for: it needs the extra `sentry`.

What goes there is what the log says: where an exception came from, what kind it is, the ids of request and operation.
No values of variables, no bodies, no tokens and no addresses.
"""

import atexit
from importlib.metadata import version
from typing import Final

import sentry_sdk
from sentry_sdk.types import Event
from sentry_sdk.utils import event_from_exception
from structlog.typing import EventDict

from services.failures import described

TAGS: Final = ("request_id", "operation", "job", "task", "work")  # of a line of the log
FLUSH_SECONDS: Final = 2.0
CHAIN: Final = 20  # exceptions that led to one another


class Sentry:
    """Where failures are told of."""

    def __init__(self, dsn: str, *, role: str) -> None:
        self._role = role
        self._client = sentry_sdk.Client(
            dsn=dsn,
            release=f"parley@{version('parley-chat')}",
            server_name="",
            default_integrations=False,
            auto_enabling_integrations=False,
            include_local_variables=False,
            include_source_context=False,
            max_request_body_size="never",
            max_breadcrumbs=0,
            auto_session_tracking=False,
        )
        atexit.register(self._client.close, timeout=FLUSH_SECONDS)

    def report(self, error: BaseException, line: EventDict) -> None:
        """Tell of an exception that is being logged."""
        event, _ = event_from_exception(error, client_options=self._client.options)
        self._client.capture_event(scrubbed(event, error, self._role, line))


def scrubbed(event: Event, error: BaseException, role: str, line: EventDict) -> Event:
    """Return an event with what may be said of it only."""
    said: dict[str, str] = {}
    current: BaseException | None = error
    while current is not None and len(said) < CHAIN:  # it may be a ring
        said[type(current).__name__] = described(current)
        current = current.__cause__ or current.__context__
    for shown in event.get("exception", {}).get("values", ()):
        shown["value"] = said.get(shown.get("type") or "", "")
        for frame in (shown.get("stacktrace") or {}).get("frames", ()):
            frame.pop("vars", None)
    tags = {name: str(line[name]) for name in TAGS if line.get(name) is not None}
    return {**event, "level": "error", "logger": str(line.get("event")), "tags": {"role": role, **tags}}
