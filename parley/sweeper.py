"""One timer for all that is due some time: what waits costs an entry in a set, and no timer handle."""

import asyncio
import math
import time
from collections.abc import Callable
from typing import Protocol

import structlog

TICK_SECONDS = 0.25  # how late something may be done
RUN = 500  # things done before the event loop may do something else

RETRY_SECONDS = 10.0

_NEVER = -1
_logger = structlog.get_logger()


class Sweepable(Protocol):
    """Something with deadlines."""

    tick: int  # the sweeper's own: where the thing stands, below 0 when nowhere

    def sweep(self, now: float) -> float:
        """Do what is due; return when to look again, never when it is infinite."""


class Sweeper:
    """Calls things when they are due; times are those of a monotonic clock."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due: dict[int, set[Sweepable]] = {}  # by tick
        self._done = math.floor(clock() / TICK_SECONDS)  # the newest tick that has begun
        self._timer: asyncio.Handle | None = None  # None while nothing waits

    def watch(self, thing: Sweepable, due: float) -> None:
        """Look at a thing when it is due, and forget any time that was set before."""
        self.forget(thing)
        if due == math.inf:
            return
        thing.tick = max(math.ceil(due / TICK_SECONDS), self._done + 1)
        self._due.setdefault(thing.tick, set()).add(thing)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TICK_SECONDS, self._turn)

    def forget(self, thing: Sweepable) -> None:
        """Look at a thing no more."""
        if thing.tick in self._due:
            self._due[thing.tick].discard(thing)
        thing.tick = _NEVER

    def close(self) -> None:
        """Stop."""
        if self._timer is not None:
            self._timer.cancel()
        self._due.clear()

    def run(self, now: float) -> bool:
        """Call some of what is due; return whether that was all."""
        left = RUN
        for tick in sorted(tick for tick in self._due if tick * TICK_SECONDS <= now):
            self._done = max(self._done, tick)  # what is due at once comes with the next tick, never with this one
            things = self._due[tick]
            while things:
                if not left:
                    return False
                left -= 1
                thing = things.pop()
                try:
                    due = thing.sweep(now)
                except Exception:  # one that fails must not stop the others' time
                    _logger.exception("sweeper.failed")
                    due = now + RETRY_SECONDS
                self.watch(thing, due)
            del self._due[tick]
        return True

    def _turn(self) -> None:
        loop, is_done = asyncio.get_running_loop(), self.run(self._clock())
        if not is_done:
            self._timer = loop.call_soon(self._turn)
        elif self._due:
            self._timer = loop.call_later(TICK_SECONDS, self._turn)
        else:
            self._timer = None
