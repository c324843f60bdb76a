"""Which conversations a user is in, and who in this process wants to hear when one is added.

Whoever adds somebody tells the user's channel. What that loses is found by comparing with MongoDB: now and then, while
Redis is away, and when it is back.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final, Self

import bson

from services.bus import Bus
from services.entries import ConversationCreated, Entry, MemberAdded
from services.mongo import Database
from services.state import inbox_id
from services.tasks import Tasks

COMPARE_SECONDS: Final = 60.0
POLL_SECONDS: Final = 2.0  # instead, while Redis is away

_CHANNEL = "parley:inbox:"

type Joined = Callable[[str, int], None]  # called with a conversation and the entry of joining


class Invitations:
    """Tells those who were added."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def publish(self, conversation_id: str, entries: Sequence[Entry]) -> None:
        """Tell everybody whom these entries add."""
        for entry in entries:
            match entry:
                case ConversationCreated():
                    user_ids = [user_id for user_id, _ in entry.roles]
                case MemberAdded():
                    user_ids = [entry.user_id]
                case _:
                    continue
            message = bson.encode({"conversation": conversation_id, "sequence": entry.sequence})
            for user_id in user_ids:
                self._bus.publish(_CHANNEL, user_id, message)


class Inboxes:
    """The inboxes that are watched in this process."""

    def __init__(self, database: Database, bus: Bus) -> None:
        self._inbox = database["inbox"]
        self._bus = bus
        self._watchers: defaultdict[str, set[Joined]] = defaultdict(set)  # by user
        self._compare_now = asyncio.Event()
        self._tasks = Tasks()
        bus.listen(_CHANNEL, self._heard, self._compare_now.set)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Compare the watched inboxes with MongoDB until this ends."""
        self._tasks.spawn(
            self._bus.keep_comparing(
                "inboxes",
                self._compare_all,
                self._compare_now,
                seconds=COMPARE_SECONDS,
                away_seconds=POLL_SECONDS,
            )
        )
        try:
            yield self
        finally:
            await self._tasks.close()

    async def watch(self, user_id: str, joined: Joined) -> dict[str, int]:
        """Return the conversations that a user is in, and from now on call `joined` for those that are added.

        Not to be cancelled, as `Feeds.watch`. What is returned may be told again.

        Raises:
            PyMongoError: MongoDB did not answer; nothing is watched.
        """
        self._watchers[user_id].add(joined)
        try:
            # Confirmed first and read after: what is added in between is heard.
            await self._bus.subscribe(_CHANNEL, user_id)
            return await self.of(user_id)
        except BaseException:
            self.unwatch(user_id, joined)
            raise

    def unwatch(self, user_id: str, joined: Joined) -> None:
        """Call no more."""
        self._watchers[user_id].discard(joined)
        if not self._watchers[user_id]:
            del self._watchers[user_id]
            self._tasks.spawn(self._unsubscribe(user_id))

    async def of(self, user_id: str) -> dict[str, int]:
        """Return the conversations that a user is in, each with the entry of joining.

        Raises:
            PyMongoError: MongoDB did not answer.
        """
        items = await self._inbox.find({"_id": {"$gt": inbox_id(user_id, ""), "$lt": inbox_id(user_id, "~")}})
        return {item["conversation"]: item["applied"] for item in items if item["active"]}

    async def _unsubscribe(self, user_id: str) -> None:
        if user_id not in self._watchers:  # unless somebody came back before this ran
            await self._bus.unsubscribe(_CHANNEL, user_id)

    def _heard(self, user_id: str, data: bytes) -> None:
        message = bson.decode(data)
        self._tell(user_id, message["conversation"], message["sequence"])

    def _tell(self, user_id: str, conversation_id: str, sequence: int) -> None:
        for joined in tuple(self._watchers.get(user_id, ())):
            joined(conversation_id, sequence)

    async def _compare_all(self) -> None:
        for user_id in tuple(self._watchers):
            for conversation_id, sequence in (await self.of(user_id)).items():
                self._tell(user_id, conversation_id, sequence)
