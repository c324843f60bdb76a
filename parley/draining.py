"""Stops an API process so that nobody notices: first unready, then emptied a few sockets at a time."""

import asyncio
import math
from types import FrameType
from typing import override

import structlog
import uvicorn

from parley.transport import ANSWERING_SECONDS, GOODBYE_SECONDS, Sockets
from services.config import Settings

STEP_SECONDS = 0.5  # between two groups of sockets that are sent away
EXIT_SECONDS = 30.0  # from the signal to the end, whatever hangs

_logger = structlog.get_logger()


class DrainingServer(uvicorn.Server):
    """uvicorn's server, which drains before it shuts down."""

    def __init__(self, config: uvicorn.Config, settings: Settings) -> None:
        super().__init__(config)
        self._settings = settings
        self._hurry = asyncio.Event()  # set by a second signal

    @override
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            self.force_exit = True
            self._hurry.set()
        super().handle_exit(sig, frame)

    @override
    async def shutdown(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]  # ours has none
        try:
            async with asyncio.timeout(EXIT_SECONDS):
                await self._drain(self.lifespan.state["sockets"])
                await super().shutdown()
        except TimeoutError:
            _logger.warning("server.exits_with_work_left")

    async def _drain(self, sockets: Sockets) -> None:
        """Turn away who comes, wait until load balancers know, then send away who is there.

        All at once they would all come back at once, to the other processes: 5 % leave each half second. Whoever stops
        everything has no use for that, and sets the time that it takes to 0.
        """
        sockets.services.health.draining = True
        sockets.services.attendance.drain()
        await self._pause(self._settings.drain_seconds)
        leaving = sockets.clients()
        step = max(1, math.ceil(len(leaving) * STEP_SECONDS / max(self._settings.closing_seconds, STEP_SECONDS)))
        for start in range(0, len(leaving), step):
            if start:
                await self._pause(STEP_SECONDS)
            for client in leaving[start : start + step]:
                client.leave()
        deadline = asyncio.get_running_loop().time() + ANSWERING_SECONDS + 2 * GOODBYE_SECONDS
        while sockets.clients() and not self.force_exit and asyncio.get_running_loop().time() < deadline:
            await self._pause(0.05)

    async def _pause(self, seconds: float) -> None:
        """Wait, unless there is a hurry."""
        try:
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
        except TimeoutError:
            pass
