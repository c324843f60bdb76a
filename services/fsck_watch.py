"""Does what `parley fsck` does, now and then, in one worker, and has a gauge of what was found last, by whomever.

It goes no faster than half of the time: it works on the same MongoDB as everybody.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final, Self

import structlog

from services.clock import now
from services.fsck import Fsck, Violation
from services.leases import Leases
from services.meter import Meter
from services.mongo import Database

LEASE: Final = "fsck"
ID: Final = "fsck"
LOOK_SECONDS: Final = 5.0  # between two looks whether it is due, and at what was found

_logger = structlog.get_logger()


async def note(database: Database, violations: int) -> None:
    """Write down what a look at everything has found; raises PyMongoError."""
    found = {"_id": ID, "at": now(), "violations": violations}
    await database["meta"].replace_one({"_id": ID}, found, upsert=True)


class FsckWatch:
    """The looking of one worker."""

    def __init__(self, database: Database, leases: Leases, meter: Meter, *, every: timedelta) -> None:
        """Prepare; where `every` is nothing, it never looks itself."""
        self._database = database
        self._leases = leases
        self._every = every
        self._violations = 0.0
        meter.gauges["fsck_violations"] = lambda: self._violations

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Look whenever that is due and this worker has the lease, until this ends."""
        async with self._leases.rounds(LEASE, self._look, LOOK_SECONDS):
            yield self

    async def _look(self) -> None:
        if await self._is_due() and await self._holds():
            await self.sweep()

    async def _is_due(self) -> bool:
        found = await self._database["meta"].find_one({"_id": ID})
        if found is None:  # a database that was just made, or an old one that was not looked at yet: not at once
            await note(self._database, 0)
            return False
        self._violations = float(found["violations"])
        return bool(self._every) and now() - found["at"] >= self._every

    async def _holds(self) -> bool:
        return await self._leases.hold(LEASE, datetime.now(UTC))

    async def sweep(self) -> None:
        """Look at everything, and write down what was found; another worker that takes over begins anew.

        Raises:
            PyMongoError: MongoDB did not answer.
        """
        loop, fsck, count = asyncio.get_running_loop(), Fsck(self._database), 0
        async for conversation_id in fsck.conversation_ids():
            began = loop.time()
            count += self._told(await fsck.conversation(conversation_id))
            await asyncio.sleep(loop.time() - began)
            if not await self._holds():
                return
        count += self._told([violation async for violation in fsck.strays()])
        await note(self._database, count)
        self._violations = float(count)

    @staticmethod
    def _told(violations: Sequence[Violation]) -> int:
        for violation in violations:
            _logger.error(
                "fsck.found", code=violation.code.value, conversation=violation.conversation_id, id=violation.id
            )
        return len(violations)
