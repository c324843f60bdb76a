"""Tasks that run beside the caller: each has an owner that keeps it, logs its failure and ends it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final, Self

import structlog
from pymongo.errors import ConnectionFailure

from services.errors import ChatError
from services.failures import described

AT_ONCE: Final = 8  # of many things that one caller waits for
TOLD: Final = (ConnectionFailure, ChatError)  # what callers are told; in an outage that is each of them
LATE_SECONDS: Final = 0.05  # an event loop that is later than this was busy, or stood still

_logger = structlog.get_logger()


async def gather_some[T](works: Iterable[Awaitable[T]], at_once: int = AT_ONCE) -> list[T]:
    """Return what comes of all these, in their order, a few at a time: one caller must not take every connection."""
    left, found = enumerate(works), dict[int, T]()

    async def work_on() -> None:
        for number, work in left:  # taken when it begins: of a caller who is cancelled, nothing is left that never did
            found[number] = await work

    await asyncio.gather(*(work_on() for _ in range(at_once)))
    return [found[number] for number in range(len(found))]


@asynccontextmanager
async def patience(seconds: float) -> AsyncIterator[None]:
    """Wait for no longer than this, as `asyncio.timeout` does; a process that is late itself waits once more.

    Or it would take a server for dead whose answer has come while the process stood still.

    Raises:
        TimeoutError: it took longer.
    """
    loop = asyncio.get_running_loop()
    due = loop.time() + seconds
    async with asyncio.timeout(None) as wait:

        def end() -> None:
            is_late = loop.time() - due > LATE_SECONDS
            wait.reschedule(loop.time() + (seconds if is_late else 0))

        timer = loop.call_at(due, end)
        try:
            yield
        finally:
            timer.cancel()


class Tasks:
    """The running tasks of one owner; as a context manager, they end with the block."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def spawn[T](self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run `work` until it is done or the owner closes; a failure is logged, as nobody may be waiting for it."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._done)
        return task

    async def close(self, *, grace_seconds: float = 0.0) -> None:
        """Wait for what runs, at most `grace_seconds`, then cancel the rest."""
        if self._running and grace_seconds:
            await asyncio.wait(self._running, timeout=grace_seconds)
        while self._running:  # what is cancelled may leave something behind
            for task in self._running:
                task.cancel()
            await asyncio.wait(self._running)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        name = task.get_coro().__qualname__  # type: ignore[union-attr]
        if isinstance(error, TOLD):
            _logger.warning("task.failed", task=name, error=described(error))
        else:
            _logger.error("task.failed", task=name, exc_info=error)
