"""What is to be done for pushes, and when: documents whose ids begin with the time, so that what is due is one range.

A task stays until it is done, so whoever dies in it is followed by somebody who does it again. Nothing about a task is
random: putting it again where it is, or was not yet taken away, changes nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from pymongo.errors import BulkWriteError

from services.mongo import DUPLICATE_KEY, Database

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Work(StrEnum):
    DECIDE = "decide"  # whom to tell of a message
    SEND = "send"  # to one of them


@dataclass(frozen=True, slots=True)
class Task:
    """Something to do, not before a time."""

    due: datetime
    work: Work
    subject: str  # id of an entry, or of a push

    @property
    def id(self) -> str:
        """Its `_id`."""
        return f"{_moment(self.due)}:{self.work}:{self.subject}"


class PushQueue:
    """The tasks; every method raises PyMongoError when MongoDB does not answer."""

    def __init__(self, database: Database) -> None:
        self._queue = database["push_queue"]

    async def put(self, tasks: Iterable[Task]) -> None:
        """Add those of these tasks that are not there."""
        documents = [{"_id": task.id} for task in tasks]
        if not documents:
            return
        try:
            await self._queue.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            if any(failure["code"] != DUPLICATE_KEY for failure in error.details["writeErrors"]):
                raise

    async def due(self, now: datetime, *, after: str, limit: int) -> list[Task]:
        """Return the tasks whose time has come, the oldest first, after the one with an id."""
        found = await self._queue.find({"_id": {"$gt": after, "$lt": _moment(now)}}, limit=limit)
        return [_task(document["_id"]) for document in found]

    async def remove(self, task: Task) -> None:
        """Take a task away that is done."""
        await self._queue.delete_one({"_id": task.id})


def _moment(time: datetime) -> str:
    return f"{(time - _EPOCH) // timedelta(milliseconds=1):013d}"


def _task(task_id: str) -> Task:
    moment, work, subject = task_id.split(":", 2)
    return Task(_EPOCH + timedelta(milliseconds=int(moment)), Work(work), subject)
