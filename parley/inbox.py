"""All of a viewer's conversations in one subscription: a reader in the room of each, and of those joined later."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from services.errors import ChatError
from services.inboxes import Inboxes
from services.streams import ConversationStream, InboxStream
from services.tasks import Tasks

if TYPE_CHECKING:
    from parley.fanout import Reader, Subscriber
    from parley.frames import SharedText

AT_ONCE = 16  # conversations that are joined at a time

type Follow = Callable[[ConversationStream, "Subscriber"], Awaitable["Reader | None"]]


class Inbox:
    """One subscription to an inbox; its conversations come and go, it ends by a call only."""

    def __init__(
        self, stream: InboxStream, inboxes: Inboxes, follow: Follow, subscriber: "Subscriber", tasks: Tasks
    ) -> None:
        self._stream = stream
        self._inboxes = inboxes
        self._follow = follow
        self._subscriber = subscriber
        self._tasks = tasks
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._inside: dict[str, Reader | None] = {}  # by conversation; None while it is being joined
        self._ended = False

    async def open(self) -> None:
        """Join every conversation: those that the client names from its cursors, the others from now.

        Raises:
            PyMongoError: MongoDB did not answer.
        """
        # The watching goes on if the client leaves meanwhile, because it must not be cancelled; then it ends at once.
        watching = self._tasks.spawn(self._inboxes.watch(self._stream.viewer_id, self._joined))
        watching.add_done_callback(self._watched)
        conversation_ids = await asyncio.shield(watching)
        await asyncio.gather(*(self._join(self._stream.conversation(key)) for key in conversation_ids))

    def cancel(self) -> None:
        """Leave all conversations."""
        if not self._ended:
            self._ended = True
            self._inboxes.unwatch(self._stream.viewer_id, self._joined)
            for reader in tuple(self._inside.values()):
                if reader is not None:
                    reader.cancel()

    def _watched(self, watching: "asyncio.Task[dict[str, int]]") -> None:
        if self._ended and not watching.cancelled() and watching.exception() is None:
            self._inboxes.unwatch(self._stream.viewer_id, self._joined)

    def _joined(self, conversation_id: str, sequence: int) -> None:
        """Join a conversation to which the viewer was added, from the entry of joining."""
        if conversation_id not in self._inside and not self._ended:
            self._tasks.spawn(self._join(self._stream.conversation(conversation_id, joined=sequence)))

    async def _join(self, stream: ConversationStream) -> None:
        conversation_id = stream.conversation_id
        if conversation_id in self._inside or self._ended:
            return
        self._inside[conversation_id] = None
        try:
            async with self._gate:
                reader = await self._follow(stream, _Part(self, self._subscriber, conversation_id))
        except ChatError:  # the viewer is out again
            reader = None
        except BaseException:
            self._inside.pop(conversation_id, None)
            raise
        if reader is None:
            self._inside.pop(conversation_id, None)
        elif self._ended:
            reader.cancel()
        else:
            self._inside[conversation_id] = reader

    def left(self, conversation_id: str) -> None:
        """Fall silent about a conversation; the news that the viewer was added again may have come before this."""
        self._inside.pop(conversation_id, None)
        if not self._ended:
            self._tasks.spawn(self._join_again(conversation_id))

    async def _join_again(self, conversation_id: str) -> None:
        sequence = (await self._inboxes.of(self._stream.viewer_id)).get(conversation_id)
        if sequence is not None:
            self._joined(conversation_id, sequence)


class _Part:
    """Where the results of one conversation go: to the subscriber of all, which goes on when this one has ended."""

    def __init__(self, inbox: Inbox, subscriber: "Subscriber", conversation_id: str) -> None:
        self._inbox = inbox
        self._subscriber = subscriber
        self._conversation_id = conversation_id

    def next(self, results: "list[SharedText]") -> None:
        self._subscriber.next(results)

    def complete(self) -> None:
        self._inbox.left(self._conversation_id)

    def error(self, errors: list[dict[str, Any]]) -> None:
        """Say nothing: what goes wrong in one conversation is no end of the inbox."""

    def fail(self) -> None:
        self._subscriber.fail()

    async def drained(self) -> None:
        await self._subscriber.drained()

    @property
    def is_crowded(self) -> bool:
        return self._subscriber.is_crowded
