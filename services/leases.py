"""Who does what only one process should do: a lease in MongoDB, held by renewing it.

A lease keeps work from being done twice, it does not make that impossible: a holder that stood still may go on for a
moment beside its successor. So what is done under one must be harmless when done twice.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Final

import structlog
from pymongo.errors import DuplicateKeyError, PyMongoError

from services.failures import described
from services.mongo import Database
from services.tasks import Tasks

LIFE: Final = timedelta(seconds=10)

_logger = structlog.get_logger()


class Leases:
    """The leases that this process asks for."""

    def __init__(self, database: Database, holder: str) -> None:
        self._leases = database["leases"]
        self._holder = holder
        self._until: dict[str, datetime] = {}  # of the leases that this process has, by name

    async def hold(self, name: str, now: datetime) -> bool:
        """Take a lease for ten seconds, or renew it when half of that is over; return whether this process has it.

        Raises:
            PyMongoError: MongoDB did not answer.
        """
        if name in self._until and now < self._until[name] - LIFE / 2:
            return True
        held = await self._take(name, now)
        if held:
            self._until[name] = now + LIFE
        else:
            self._until.pop(name, None)
        return held

    async def _take(self, name: str, now: datetime) -> bool:
        lease = {"$set": {"holder": self._holder, "until": now + LIFE}}
        if await self._leases.update_one({"_id": name, "holder": self._holder}, lease):
            return True
        try:
            # Where somebody else's lease lasts, the query fits nothing and the upsert meets it.
            await self._leases.update_one({"_id": name, "until": {"$lt": now}}, lease, upsert=True)
        except DuplicateKeyError:
            return False
        return True

    async def release(self, name: str) -> None:
        """Give a lease up, so that nobody has to wait for its end.

        Raises:
            PyMongoError: MongoDB did not answer.
        """
        self._until.pop(name, None)
        await self._leases.delete_one({"_id": name, "holder": self._holder})

    @asynccontextmanager
    async def rounds(
        self,
        name: str,
        work: Callable[[], Awaitable[None]],
        seconds: float,
        *,
        failures: tuple[type[Exception], ...] = (PyMongoError,),
    ) -> AsyncIterator[None]:
        """Do rounds of work, so many seconds apart, until the block ends; then the lease is given up.

        Args:
            name: The lease's, under which the work asks whether this process is the one.
            work: A round; whatever it raises, the next one may get further.
            seconds: Between two rounds.
            failures: What it raises while it has to wait for a server.
        """
        try:
            async with Tasks() as tasks:
                tasks.spawn(_keep_on(name, work, seconds, failures))
                yield
        finally:
            with suppress(PyMongoError):
                await self.release(name)


async def _keep_on(
    name: str, work: Callable[[], Awaitable[None]], seconds: float, failures: tuple[type[Exception], ...]
) -> None:
    waiting, failed = f"{name}.waiting", f"{name}.failed"
    while True:
        try:
            await work()
        except failures as error:
            _logger.warning(waiting, error=described(error))
        except Exception:  # whatever it was, the next round may get further
            _logger.exception(failed)
        await asyncio.sleep(seconds)
