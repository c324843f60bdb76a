"""Conversations and who is in them: making, changing, joining and leaving; who may is in `services/membership.py`."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

from services import ids
from services.append import Decide
from services.blocks import Blocks
from services.entries import ConversationCreated, ConversationKind, Draft, MemberRole
from services.errors import BadUserInput, InvalidInput, NotFound
from services.inputs import ConversationChange, NewConversation, NewMembers
from services.log import Log, Logs
from services.membership import (
    ConversationChanges,
    Unneeded,
    addition,
    conversation_change,
    departure,
    removal,
    require_adder,
    require_room,
    role_change,
)
from services.mongo import Collection, Database, Document, parsed
from services.paging import Page, Window, cursor_of, key_of, read_page
from services.positions import Position
from services.state import Member, inbox_id, member_id
from services.tasks import gather_some
from services.users import Users

BEGINNING = datetime.fromtimestamp(0, UTC)  # of a joining whose time was not kept

_CONVERSATION = ("input", "conversationId")
_KEY = re.compile(r"\d{13}\.cnv_[0-9a-z]{26}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A conversation as it was when its log had just reached `last_sequence`."""

    id: str
    kind: ConversationKind
    title: str | None
    created_at: datetime
    archived_at: datetime | None
    member_count: int
    last_sequence: int


class Conversations:
    """What users do with conversations; every method takes who asks, and says NOT_FOUND to whoever is not in."""

    def __init__(self, database: Database, logs: Logs, users: Users, blocks: Blocks, epoch: int) -> None:
        self._members: Collection = database["members"]
        self._inbox: Collection = database["inbox"]
        self._logs = logs
        self._users = users
        self._blocks = blocks
        self._epoch = epoch

    # ------------------------------------------------------------ reading

    async def visible(self, viewer_id: str, conversation_id: str) -> Snapshot | None:
        """Return the conversation as it is now if the viewer is a member, else None."""
        log = await self._known(conversation_id)
        if log is None:
            return None
        await log.refresh()
        return _snapshot(log) if await log.member(viewer_id) is not None else None

    async def snapshot(self, conversation_id: str) -> Snapshot:
        """Return an existing conversation for somebody who was already found to be allowed to see it."""
        return _snapshot(await self._logs.get(conversation_id))

    async def membership(self, viewer_id: str, conversation_id: str) -> Member | None:
        """Return the viewer's active membership as far as this process has seen the log."""
        log = await self._logs.get(conversation_id)
        return await log.member(viewer_id)

    def cursor(self, conversation_id: str, sequence: int) -> str:
        """Return the cursor of a position."""
        return Position(conversation_id, self._epoch, sequence).cursor()

    async def of_user(self, viewer_id: str, window: Window, *, archived: bool | None) -> Page[Snapshot]:
        """Return the viewer's conversations, that one first in which something was said last, or that was joined last.

        Archived ones, the others, or (None) both.
        """
        keys = await self._by_activity(viewer_id, archived)
        after, before = (
            _place(cursor, argument) if cursor is not None else None
            for cursor, argument in ((window.after, "after"), (window.before, "before"))
        )
        left = [key for key in keys if (after is None or key < after) and (before is None or key > before)]
        has_previous = after is not None and bool(keys) and keys[0] >= after
        has_next = before is not None and bool(keys) and keys[-1] <= before
        shown: list[tuple[str, Snapshot]] = []
        while left and (wanted := window.limit - len(shown)):
            batch, left = (left[-wanted:], left[:-wanted]) if window.from_end else (left[:wanted], left[wanted:])
            snapshots = await gather_some(self.visible(viewer_id, _conversation_in(key)) for key in batch)
            found = [
                (cursor_of(key), snapshot)
                for key, snapshot in zip(batch, snapshots, strict=True)
                if snapshot is not None and archived in {None, snapshot.archived_at is not None}
            ]
            shown = found + shown if window.from_end else shown + found
        if window.from_end:
            return Page(shown, has_previous=has_previous or bool(left), has_next=has_next)
        return Page(shown, has_previous=has_previous, has_next=has_next or bool(left))

    async def _by_activity(self, viewer_id: str, archived: bool | None) -> list[str]:
        """Return the viewer's conversations as keys that compare by when something was said or joined, newest first."""
        items = await self._inbox.find({"_id": {"$gt": inbox_id(viewer_id, ""), "$lt": inbox_id(viewer_id, "~")}})
        joined = {item["conversation"]: item.get("at", BEGINNING) for item in items if item["active"]}
        heads = await self._logs.heads(joined)
        return sorted(
            (
                _key(max(joined[key], head.said_at or BEGINNING), key)
                for key, head in heads.items()
                if archived in {None, head.archived}
            ),
            reverse=True,
        )

    async def audience(self, conversation_id: str, window: Window, *, sequence: int, sender_id: str) -> Page[Member]:
        """Return the active members who were in before a message, but its sender."""
        where = {"joinedSequence": {"$lt": sequence}, "user": {"$ne": sender_id}}
        return await self.members(conversation_id, window, where)

    async def members(self, conversation_id: str, window: Window, where: Document | None = None) -> Page[Member]:
        """Return the active members of a conversation that the caller may see, or those of them that fulfil more."""

        def item(document: Document) -> tuple[str, Member]:
            member = parsed(Member, document)
            assert member is not None
            return cursor_of(member.user_id), member

        return await read_page(
            self._members,
            (member_id(conversation_id, ""), member_id(conversation_id, "~")),
            window,
            key=lambda cursor, argument: member_id(conversation_id, key_of(cursor, argument)),
            item=item,
            where={"active": True, **(where or {})},
        )

    # ------------------------------------------------------------ changing

    async def create(
        self,
        creator_id: str,
        kind: ConversationKind,
        *,
        title: str | None,
        member_ids: Sequence[str],
        client_id: str | None,
    ) -> Snapshot:
        """Make a conversation, or return the one that this creator's client id, or this pair, already has.

        Raises:
            InvalidInput: a part of the input is not acceptable.
            NotFound: one of the members is missing, or has blocked the creator; or the creator has left it since.
        """
        given = NewConversation.of(title=title, member_ids=member_ids, client_conversation_id=client_id)
        title = given.title
        others = [user_id for user_id in dict.fromkeys(given.member_ids) if user_id != creator_id]
        if kind is ConversationKind.DIRECT:
            if len(others) != 1:
                raise InvalidInput("A direct conversation has exactly one other member.", ("input", "memberIds"))
            if title is not None:
                raise InvalidInput("A direct conversation has no title.", ("input", "title"))
        await self._require_users(others, ("input", "memberIds"))
        if kind is ConversationKind.DIRECT:
            conversation_id = ids.derived_id("cnv", "direct", *sorted((creator_id, others[0])))
        elif client_id is not None:
            conversation_id = ids.derived_id("cnv", "client", creator_id, client_id)
        else:
            conversation_id = ids.new_id("cnv")
        log = await self._logs.get(conversation_id)
        if log.sequence == 0:
            await self._require_unblocked(creator_id, others, ("input", "memberIds"))
            role = MemberRole.OWNER if kind is ConversationKind.DIRECT else MemberRole.MEMBER
            roles = ((creator_id, MemberRole.OWNER), *((user_id, role) for user_id in others))
            draft = Draft(ConversationCreated, creator_id, {"conversation_kind": kind, "title": title, "roles": roles})
            # One key for all who make this conversation: whoever comes second gets the first one's.
            await log.append("create", lambda _: draft, base=0, concerns=())
        snapshot = await self.visible(creator_id, conversation_id)
        if snapshot is None:
            raise NotFound("You are no longer in that conversation.", ("input", "clientConversationId"))
        return snapshot

    async def update(self, actor_id: str, conversation_id: str, changes: ConversationChanges) -> Snapshot:
        """Change the title, or archive the conversation for all; what is so already stays as it is."""
        given = ConversationChange.of(**changes).model_dump(exclude_unset=True)
        log = await self._for_member(actor_id, conversation_id)
        await self._append(
            log, actor_id, conversation_change(actor_id, cast("ConversationChanges", given)), concerns=(actor_id,)
        )
        return _snapshot(log)

    async def add_members(self, actor_id: str, conversation_id: str, user_ids: Sequence[str]) -> Snapshot:
        """Add users, one entry each; whoever is in already stays as they are.

        Nobody is added where one of them is missing, has blocked the actor, or would be too many for a group.
        """
        log = await self._for_member(actor_id, conversation_id)
        require_adder(log.state, actor_id)
        wanted = list(dict.fromkeys(NewMembers.of(user_ids=user_ids).user_ids))
        await self._require_users(wanted, ("input", "userIds"))
        await self._require_unblocked(actor_id, wanted, ("input", "userIds"))
        await log.load_members(wanted)
        newcomers = [user_id for user_id in wanted if log.state.members[user_id] is None]
        require_room(require_adder(log.state, actor_id), len(newcomers))
        for user_id in newcomers:
            await self._append(log, actor_id, addition(actor_id, user_id), concerns=(actor_id, user_id))
        return _snapshot(log)

    async def remove_member(self, actor_id: str, conversation_id: str, user_id: str) -> Snapshot:
        """Remove another member."""
        log = await self._for_member(actor_id, conversation_id)
        if user_id == actor_id:
            raise InvalidInput("Use `leaveConversation` to leave.", ("input", "userId"))
        await self._append(log, actor_id, removal(actor_id, user_id), concerns=(actor_id, user_id))
        return _snapshot(log)

    async def leave(self, actor_id: str, conversation_id: str) -> Snapshot:
        """Leave; the last owner cannot while others remain."""
        log = await self._for_member(actor_id, conversation_id)
        await self._append(log, actor_id, departure(actor_id), concerns=(actor_id,))
        return _snapshot(log)

    async def set_role(self, actor_id: str, conversation_id: str, user_id: str, role: MemberRole) -> Snapshot:
        """Give a member another role; the last owner cannot step down."""
        log = await self._for_member(actor_id, conversation_id)
        await self._append(log, actor_id, role_change(actor_id, user_id, role), concerns=(actor_id, user_id))
        return _snapshot(log)

    async def _append(self, log: Log, actor_id: str, decide: Decide, *, concerns: Iterable[str]) -> None:
        key = f"{actor_id}:{ids.new_id('op')}"  # no client's id contains a colon's left side of ours
        try:
            await log.append(key, decide, base=log.sequence, concerns=concerns)
        except Unneeded:
            return

    async def _for_member(self, actor_id: str, conversation_id: str) -> Log:
        """Return the log of a conversation that the actor is in, caught up."""
        log = await self._known(conversation_id)
        if log is not None:
            await log.catch_up()
        if log is None or await log.member(actor_id) is None:
            raise NotFound("There is no such conversation.", _CONVERSATION)
        return log

    async def _known(self, conversation_id: str) -> Log | None:
        if ids.kind(conversation_id) != "cnv":
            return None
        log = await self._logs.get(conversation_id)
        return log if log.sequence else None

    async def _require_users(self, user_ids: Sequence[str], path: tuple[str, ...]) -> None:
        found = await self._users.get_many([user_id for user_id in user_ids if ids.kind(user_id) == "usr"])
        # Whose account was erased is nobody to begin anything with.
        if any(user_id not in found or found[user_id].erased_at is not None for user_id in user_ids):
            raise NotFound("There is no such user.", path)

    async def _require_unblocked(self, actor_id: str, user_ids: Sequence[str], path: tuple[str, ...]) -> None:
        """Refuse whoever was blocked by one of these users, in the words for a user that is missing."""
        if await self._blocks.blockers(actor_id, user_ids):
            raise NotFound("There is no such user.", path)


def _key(at: datetime, conversation_id: str) -> str:
    return f"{at.timestamp() * 1_000:013.0f}.{conversation_id}"


def _conversation_in(key: str) -> str:
    return key.partition(".")[2]


def _place(cursor: str, argument: str) -> str:
    """Return the key of a cursor."""
    key = key_of(cursor, argument)
    if not _KEY.fullmatch(key):
        raise BadUserInput(f"`{argument}` is not a cursor.")
    return key


def _snapshot(log: Log) -> Snapshot:
    conversation = log.state.conversation
    assert conversation is not None  # only existing logs are shown
    return Snapshot(
        id=conversation.id,
        kind=conversation.kind,
        title=conversation.title,
        created_at=conversation.created_at,
        archived_at=conversation.archived_at,
        member_count=conversation.member_count,
        last_sequence=log.sequence,
    )
