"""Who does what only one process should do: a lease in MongoDB, held by renewing it.

A lease keeps work from being done twice, it does not make that impossible: a holder that stood still may go on for a
moment beside its successor. So what is done under one must be harmless when done twice.
"""

from datetime import datetime, timedelta
from typing import Final

from pymongo.errors import DuplicateKeyError

from services.mongo import Database

LIFE: Final = timedelta(seconds=10)


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
