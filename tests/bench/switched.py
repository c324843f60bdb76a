"""An API process whose monitoring can be switched while it runs, with `POST /monitoring?on` and `?off`.

That is for `parley bench monitoring` alone: two processes differ by some percent whatever they do, one does not from
itself. Off, it is what `PARLEY_METRICS=false` makes of a process, as which it starts.
"""

import sys
from contextlib import AsyncExitStack

from starlette.types import ASGIApp, Receive, Scope, Send

from parley import logs
from parley.api import create_app
from parley.draining import DrainingServer
from parley.server import config
from parley.stack.probes import HOST
from parley.transport import Socket
from services.config import Settings
from services.meter import Meter, SilentMeter
from services.metric_reports import MetricReports
from services.services import Services

PATH = "/monitoring"


class SilentReports(MetricReports):
    """Reports that are not made when it is their time."""

    async def report(self) -> None:
        """Tell nobody."""


class Switch:
    """An app with a switch before it.

    The rhythm of the reports goes on while they are silent: one more at each switch would be charged to what is
    measured after it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._reporting = AsyncExitStack()
        self._is_reporting = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the life of the app."""
        if scope["type"] != "http" or scope["path"] != PATH:
            await self._app(scope, receive, send)
            return
        await self._switch(scope["state"]["services"], is_on=scope["query_string"] == b"on")
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def _switch(self, services: Services, *, is_on: bool) -> None:
        services.meter.__class__ = Meter if is_on else SilentMeter
        services.metrics.reports.__class__ = MetricReports if is_on else SilentReports
        if not self._is_reporting:
            self._is_reporting = True
            await self._reporting.enter_async_context(services.metrics.reports.running())


def main(port: int) -> None:
    """Serve until SIGTERM."""
    settings = Settings.model_validate({})
    logs.configure(settings.log_level)
    DrainingServer(config(Switch(create_app(settings)), host=HOST, port=port, ws=Socket), settings).run()


if __name__ == "__main__":
    main(int(sys.argv[1]))
