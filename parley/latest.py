"""Streams of which only the newest value counts, each kind in a lane: presence, and who is typing."""

from functools import partial
from typing import TYPE_CHECKING, Any

from graphql.execution import Executor

from parley.execution import Engine, Operation
from parley.lanes import Lane, Reader
from resolvers.context import Context, SharedContext
from services.services import Services
from services.streams import PresenceStream, TypingStream
from services.tasks import Tasks

if TYPE_CHECKING:
    from parley.fanout import Subscriber


class Latest:
    """The lanes of this process."""

    def __init__(self, engine: Engine, services: Services, tasks: Tasks) -> None:
        watch, typing = services.presence_watch, services.typing
        self.presence = Lane(engine, watch, tasks, tick=0.1, longest_tick=1.0, is_droppable=False)
        self.typing = Lane(engine, typing, tasks, tick=0.05, longest_tick=0.5, is_droppable=True)
        self._services = services
        watch.on_changed = self.presence.changed
        typing.on_changed = self.typing.changed
        typing.on_members_changed = self._members_changed

    async def follow(
        self,
        stream: PresenceStream | TypingStream,
        subscriber: "Subscriber",
        *,
        operation: Operation,
        variables: dict[str, Any] | None,
        context: Context,
        executor: Executor[Any],
    ) -> Reader | None:
        """Bring a subscription to where it is live; None when it has ended already.

        Raises:
            ChatError: the stream may not begin.
            PyMongoError: MongoDB did not answer.
        """
        share, viewer_id = operation.sharing, context.viewer_id
        assert share is not None  # it is a subscription
        lane = self.presence if isinstance(stream, PresenceStream) else self.typing
        key = share.key(operation.query, operation.name, variables, viewer_id)
        shared = context if share.viewer else SharedContext(context.services, None)
        group = lane.group(key, executor, shared)
        if isinstance(stream, PresenceStream):
            return await lane.follow(Reader(lane, group, subscriber, viewer_id, stream.user_ids))
        reader = Reader(lane, group, subscriber, viewer_id, [stream.conversation_id])
        return await lane.follow(reader, partial(self._services.typing.admit, viewer_id, stream.conversation_id))

    def _members_changed(self, conversation_id: str) -> None:
        self.typing.end(conversation_id, partial(self._services.typing.may_see, conversation_id))
