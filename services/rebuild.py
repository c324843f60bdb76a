"""Writes what the logs say in place of what is stored, while Parley runs or not.

It writes only what differs, and only over what it has seen: where a living writer was faster, its document stands.
What is left is as the writers and the jobs would have made it, byte for byte.
"""

from typing import Final

from pymongo.errors import DuplicateKeyError

from services.activity import Activity
from services.entries import MessageSent
from services.entry_store import EntryStore
from services.events import Event
from services.fsck import Fsck, Repair, Violation
from services.mongo import Database
from services.search import SearchJob
from services.state import Projections

PAGE: Final = 200
ROUNDS: Final = 20  # looks at one conversation; a live one may move in each

# The conversation's document says that all others are written, so it comes last.
_ORDER: Final = ("entries", "members", "inbox", "search", "activity", "conversations")


async def project(database: Database, conversation_id: str) -> None:
    """Write what is missing or behind of all that follows from one log, as its writers and the jobs do.

    Raises:
        PyMongoError: MongoDB did not answer.
    """
    await Projections(database).load(conversation_id)
    entries, search, activity = EntryStore(database), SearchJob(database), Activity(database)
    after = 0
    while page := await entries.read(conversation_id, after=after, limit=PAGE):
        await activity.handle([Event.of(entry) for entry in page])
        await search.show(conversation_id, {entry.sequence: 0 for entry in page if isinstance(entry, MessageSent)})
        after = page[-1].sequence


class Rebuild:
    """Rebuilds projections."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._fsck = Fsck(database, pause_seconds=0)
        self.written = 0  # documents

    async def all(self) -> list[Violation]:
        """Rebuild everything; return what only people can mend.

        Raises:
            PyMongoError: MongoDB did not answer; doing it again goes over it again.
        """
        left: list[Violation] = []
        async for conversation_id in self._fsck.conversation_ids():
            left += await self.conversation(conversation_id)
        async for violation in self._fsck.strays():
            assert violation.repair is not None
            await self._write(violation.repair)
        if self.written:
            # What Redis remembers may come from what was wrong: nobody believes it any more.
            await self._database["meta"].find_one_and_update({"_id": "cache"}, {"$inc": {"counter": 1}}, upsert=True)
        return left

    async def conversation(self, conversation_id: str) -> list[Violation]:
        """Rebuild all that follows from one log; return what only people can mend, or what did not hold still.

        Raises:
            PyMongoError: MongoDB did not answer.
        """
        found: dict[tuple[str, str], Violation] = {}
        for _ in range(ROUNDS):
            before, found = found, await self._fsck.look(conversation_id, strictly=True)
            repairs = [violation for violation in found.values() if violation.repair is not None]
            if not repairs:
                break
            still = [
                violation.repair
                for key, violation in found.items()
                if violation.repair is not None and (not violation.moving or violation.is_still(before.get(key)))
            ]
            for repair in sorted(still, key=lambda repair: _ORDER.index(repair.collection)):
                await self._write(repair)
        # What Kafka lacks is the relay's to send.
        return [violation for violation in found.values() if violation.repair is None and not violation.behind]

    async def _write(self, repair: Repair) -> None:
        self.written += 1
        if repair.collection == "entries":
            await self._write_message(repair)
            return
        collection, stored, expected = self._database[repair.collection], repair.stored, repair.expected
        if stored is None:
            assert expected is not None
            try:
                await collection.insert_one(expected)
            except DuplicateKeyError:
                return  # its writer came
            return
        seen = {"_id": stored["_id"]}
        if repair.collection == "activity":
            seen["sequences"] = {"$size": len(stored["sequences"])}
        elif "applied" in stored:
            seen["applied"] = stored["applied"]
        if expected is None:
            await collection.delete_one(seen)
        else:
            await collection.replace_one(seen, expected)

    async def _write_message(self, repair: Repair) -> None:
        stored, expected = repair.stored, repair.expected
        assert stored is not None
        if expected is None:
            await self._database["entries"].update_one({"_id": stored["_id"]}, {"$set": {"body": None, "mentions": []}})
            return
        seen = {"_id": stored["_id"], "state.applied": stored["applied"] or {"$exists": False}}
        change = {"state": expected["state"]}
        if expected["deleted"]:
            change |= {"body": None, "mentions": [], "attachments": []}
        await self._database["entries"].update_one(seen, {"$set": change})


async def refill_kafka(database: Database) -> None:
    """Have the relay of a worker send all events of their retention time again.

    Raises:
        PyMongoError: MongoDB did not answer.
    """
    # Without this note nobody knows of any Kafka, and whatever is found in its place has to be filled.
    await database["meta"].delete_one({"_id": "kafka"})
