"""Who wrote how much on which day: counted by a job, from events.

What is stored is not a number but which messages were counted: their sequences, in one document for each user, day,
conversation and thousand places of its log. Adding one again changes nothing, in whatever order they come.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime

from services.entries import MessageSent
from services.events import Event
from services.mongo import Database

BLOCK = 1_000  # places of a log whose messages are in one document


class Activity:
    """The job, and what it knows."""

    name = "activity"

    def __init__(self, database: Database) -> None:
        self._activity = database["activity"]

    async def handle(self, events: Sequence[Event]) -> None:
        """Count the messages among these events.

        Raises:
            PyMongoError: MongoDB did not answer.
        """
        counted: defaultdict[str, list[int]] = defaultdict(list)
        for event in events:
            if event.kind == MessageSent.kind:
                document_id = activity_id(event.actor_id, event.at, event.conversation_id, event.sequence)
                counted[document_id].append(event.sequence)
        for document_id, sequences in counted.items():
            stored = await self._activity.find_one_and_update(
                {"_id": document_id}, {"$addToSet": {"sequences": {"$each": sorted(sequences)}}}, upsert=True
            )
            if stored is not None and stored["sequences"] != sorted(stored["sequences"]):
                # Events came in another order than that of the log: what is stored says nothing of it.
                await self._activity.update_one(
                    {"_id": document_id}, {"$push": {"sequences": {"$each": [], "$sort": 1}}}
                )

    async def messages(self, user_id: str, day: date) -> int:
        """Return how many messages a user sent on a day of UTC, as far as they were counted.

        Raises:
            PyMongoError: MongoDB did not answer.
        """
        prefix = _prefix(user_id, day)
        documents = await self._activity.find({"_id": {"$gt": prefix, "$lt": f"{prefix}~"}})
        return sum(len(document["sequences"]) for document in documents)


def activity_id(user_id: str, at: datetime, conversation_id: str, sequence: int) -> str:
    """Return the `_id` of the document that counts a message."""
    return f"{_prefix(user_id, at.astimezone(UTC).date())}{conversation_id}:{sequence // BLOCK:09d}"


def _prefix(user_id: str, day: date) -> str:
    return f"{user_id}:{day.isoformat()}:"
