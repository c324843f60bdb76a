"""Product events of front ends: on their way to Kafka, and what a job makes of them: who did what on which day.

Nothing waits for them and nothing rests on them. What Kafka did not take is not kept: its sender hears that.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, Self

import orjson

from services import ids
from services.errors import InvalidInput
from services.jobs import EventStream
from services.kafka import KafkaAwayError, Producer, Record
from services.meter import Meter
from services.mongo import Database
from services.origins import origin
from services.topics import TRACKING

PROPERTIES_BYTES: Final = 4_096  # as JSON
FARTHEST: Final = timedelta(hours=24)  # that an event may lie from the time at which it comes

_NAME: Final = re.compile("[a-z0-9_.]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedEvent:
    """Something that a user did in a front end."""

    id: str
    user_id: str
    name: str
    properties: Any
    at: datetime

    def to_bytes(self) -> bytes:
        """Return the value of its record: JSON with a version."""
        return orjson.dumps(
            {
                "version": 1,
                "id": self.id,
                "user": self.user_id,
                "name": self.name,
                "properties": self.properties,
                "at": self.at,
            },
            option=orjson.OPT_UTC_Z,
        )

    @classmethod
    def from_bytes(cls, value: bytes) -> Self:
        """Return the event of a record.

        Raises:
            ValueError: the record is none.
        """
        try:
            content = orjson.loads(value)
            return cls(
                id=content["id"],
                user_id=content["user"],
                name=content["name"],
                properties=content["properties"],
                at=datetime.fromisoformat(content["at"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a tracked event: {error!r}") from error


TRACKING_STREAM: Final = EventStream(TRACKING, TrackedEvent.from_bytes)


class Tracking:
    """Takes product events."""

    def __init__(self, producer: Producer, meter: Meter) -> None:
        self._producer = producer
        self._meter = meter

    async def track(self, user_id: str, *, name: str, properties: Any, at: datetime | None, now: datetime) -> bool:
        """Send an event to Kafka; return whether that has it.

        Raises:
            InvalidInput: the name, the properties or the time is not acceptable.
        """
        if not _NAME.fullmatch(name):
            raise InvalidInput("A name has 1 to 64 of a-z, 0-9, `_` and `.`.", ("input", "name"))
        try:
            size = len(orjson.dumps(properties))
        except orjson.JSONEncodeError:
            size = PROPERTIES_BYTES + 1  # numbers that JSON cannot hold, or nesting without end
        if size > PROPERTIES_BYTES:
            raise InvalidInput("The properties are at most 4 KiB of JSON.", ("input", "properties"))
        if at is not None and abs(at - now) > FARTHEST:
            raise InvalidInput("The time is within 24 hours of now.", ("input", "at"))
        event = TrackedEvent(id=ids.new_id("evt"), user_id=user_id, name=name, properties=properties, at=at or now)
        try:
            await self._producer.send([Record(TRACKING, user_id.encode(), event.to_bytes(), origin())])
        except KafkaAwayError:
            return False
        self._meter.count("tracked")
        return True


class TrackingJob:
    """Counts, each event once, by user, name and day."""

    name = "tracking"

    def __init__(self, database: Database) -> None:
        self._tracked = database["tracked"]

    async def handle(self, events: Sequence[TrackedEvent]) -> None:
        """Count these events.

        Raises:
            PyMongoError: MongoDB did not answer.
        """
        counted: defaultdict[str, list[str]] = defaultdict(list)
        for event in events:
            hour = event.at.astimezone(UTC).strftime("%H")
            counted[f"{_prefix(event.at.astimezone(UTC).date(), event.name)}{event.user_id}:{hour}"].append(event.id)
        for document_id, found in counted.items():
            await self._tracked.update_one(
                {"_id": document_id}, {"$addToSet": {"events": {"$each": found}}}, upsert=True
            )

    async def count(self, name: str, day: date) -> tuple[int, int]:
        """Return how many events of a name there were on a day of UTC, and of how many users.

        Raises:
            PyMongoError: MongoDB did not answer.
        """
        prefix = _prefix(day, name)
        documents = await self._tracked.find({"_id": {"$gt": prefix, "$lt": f"{prefix}~"}})
        users = {document["_id"].removeprefix(prefix).partition(":")[0] for document in documents}
        return sum(len(document["events"]) for document in documents), len(users)


def _prefix(day: date, name: str) -> str:
    return f"{day.isoformat()}:{name}:"
