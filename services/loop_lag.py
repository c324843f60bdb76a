"""How late the event loop of this process turns: measured once, for whoever wants to know."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, Self

from services.tasks import Tasks

LOOK_SECONDS: Final = 0.25  # between two looks
KEPT: Final = 60  # looks: of a quarter of a minute, as Prometheus may come that seldom


class LoopLag:
    """Looks at the event loop."""

    def __init__(self) -> None:
        self.listeners: list[Callable[[float], None]] = []  # called at each look with the seconds that it was late
        self._lags = deque([0.0], maxlen=KEPT)

    @property
    def largest_seconds(self) -> float:
        """How late it was at most in the last 15 s."""
        return max(self._lags)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Look until this ends."""
        async with Tasks() as tasks:
            tasks.spawn(self._keep_looking())
            yield self

    async def _keep_looking(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LOOK_SECONDS
            await asyncio.sleep(LOOK_SECONDS)
            late = loop.time() - due
            self._lags.append(late)
            for listener in self.listeners:
                listener(late)
