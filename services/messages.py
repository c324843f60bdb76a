"""Messages: what users do with them, and what of a conversation's a viewer may read."""

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple

import orjson
from pymongo.errors import PyMongoError

from services import ids
from services.append import Decide
from services.content import names_in
from services.entries import MessageEdited, MessageSent, entry_id, from_document
from services.entry_store import is_sent
from services.errors import CommitUnknown, Conflict, Forbidden, NotFound, RateLimited, UserError
from services.inputs import MessageEdit, NewMessage, NewReaction
from services.log import Log, Logs
from services.membership import Unneeded
from services.message_rules import (
    Names,
    deleting,
    editing,
    pinning,
    reacting,
    require_deleter,
    require_editor,
    sending,
    unpinning,
    unreacting,
)
from services.message_state import Attachment, Reaction
from services.mongo import Collection, Database, Document
from services.paging import Page, Window, read_page
from services.positions import Position, sequence_in
from services.senders import Senders
from services.sends import SendRecord, Sends
from services.state import Conversation, Member
from services.users import Users

type Place = tuple[str, int]  # a conversation's id and a sequence


class Message(NamedTuple):
    """A message as it is shown: a tuple, as a page makes fifty, and a frozen dataclass takes three times as long."""

    id: str
    conversation_id: str
    sequence: int
    sender_id: str
    body: str | None  # None once deleted
    client_message_id: str
    reply_to: int | None  # sequence of the quoted message; None where nothing is quoted
    attachments: tuple[Attachment, ...]
    mentions: tuple[str, ...]  # ids of users
    reactions: tuple[Reaction, ...]
    version: int
    created_at: datetime
    edited_at: datetime | None
    deleted_at: datetime | None
    pinned_at: datetime | None  # None while it is not pinned


def message_of(sent: MessageSent) -> Message:
    """Return the message as it is now."""
    return Message(
        id=sent.message_id,
        conversation_id=sent.conversation_id,
        sequence=sent.sequence,
        sender_id=sent.actor_id,
        body=sent.current_body,
        client_message_id=sent.client_message_id,
        reply_to=sent.reply_to,
        attachments=sent.attachments,
        mentions=sent.current_mentions,
        reactions=sent.state.reactions,
        version=sent.state.version,
        created_at=sent.at,
        edited_at=sent.state.edited_at,
        deleted_at=sent.state.deleted_at,
        pinned_at=sent.state.pinned_at,
    )


def message_as_sent(sent: MessageSent) -> Message:
    """Return the message with the words that it was sent with, unless it is deleted; the rest is of now."""
    return message_of(sent)._replace(body=sent.body, mentions=sent.mentions, version=1, edited_at=None)


def message_as_edited(message: Message, edit: MessageEdited) -> Message:
    """Return the message with the words of one edit, unless it is deleted; the rest is of now."""
    if message.deleted_at is not None:
        return message._replace(version=edit.version, edited_at=edit.at)
    return message._replace(body=edit.body, mentions=edit.mentions, version=edit.version, edited_at=edit.at)


class Messages:
    """What users say and do about it. History is visible from the joining entry on."""

    def __init__(self, database: Database, logs: Logs, users: Users, senders: Senders, epoch: int) -> None:
        self._entries: Collection = database["entries"]
        self._sends = Sends(database, logs.spawn)
        self._logs = logs
        self._users = users
        self._senders = senders
        self._epoch = epoch

    # ------------------------------------------------------------ reading

    async def visible(self, viewer_id: str, message_id: str) -> Message | None:
        """Return a message if the viewer may read it, else None."""
        if ids.kind(message_id) != "msg":
            return None
        conversation_id, sequence = ids.message_place(message_id)
        log = await self._logs.get(conversation_id)
        await log.refresh()
        member = await log.member(viewer_id)
        if member is None or sequence < member.joined_sequence:
            return None
        return await self._shown(log, sequence)

    async def shown(self, message_id: str) -> Message | None:
        """Return a message as it is now, for somebody who was already found to be allowed to."""
        conversation_id, sequence = ids.message_place(message_id)
        log = await self._logs.get(conversation_id)
        await log.refresh()
        return await self._shown(log, sequence)

    async def get_many(self, places: Sequence[Place]) -> dict[Place, Message]:
        """Return those of these places that are messages, for somebody who was already found to be allowed to."""
        sequences: dict[str, list[int]] = {}
        for conversation_id, sequence in places:
            sequences.setdefault(conversation_id, []).append(sequence)
        found: dict[Place, Message] = {}
        for conversation_id, wanted in sequences.items():
            log = await self._logs.get(conversation_id)
            for sequence, sent in (await log.messages(wanted)).items():
                found[conversation_id, sequence] = message_of(sent)
        return found

    async def version_at(self, message: Message, sequence: int) -> int:
        """Return which version of a message was the newest at a place in the log."""
        log = await self._logs.get(message.conversation_id)
        sent = (await log.messages([message.sequence]))[message.sequence]
        version, edit = sent.state.version, sent.state.newest_edit
        while edit > sequence:
            entry = await self._logs.entries.at(message.conversation_id, edit)
            assert isinstance(entry, MessageEdited)  # a link names an entry that was committed before it
            version, edit = version - 1, entry.previous_edit
        return version

    async def page(self, viewer_id: str, conversation_id: str, window: Window) -> Page[Message]:
        """Return a page of the messages that the viewer may read, in the order of the log; none for an outsider."""
        log = await self._logs.get(conversation_id)
        member = await log.member(viewer_id)
        if member is None:
            return Page([], has_previous=False, has_next=False)
        page = await self._recent_page(log, member.joined_sequence - 1, window)
        if page is not None:
            return page
        await log.settle()

        def key(cursor: str, argument: str) -> str:
            return entry_id(conversation_id, sequence_in(cursor, conversation_id, argument))

        def item(document: Document) -> tuple[str, Message]:
            return self._item(_sent_in(document))

        return await read_page(
            self._entries,
            (entry_id(conversation_id, member.joined_sequence - 1), f"{conversation_id}:~"),
            window,
            key=key,
            item=item,
            is_item=is_sent,
        )

    async def _recent_page(self, log: Log, low: int, window: Window) -> Page[Message] | None:
        """Return a page of the messages above `low` from memory, None where that does not reach far enough."""
        after, before = (
            sequence_in(cursor, log.conversation_id, argument) if cursor is not None else None
            for cursor, argument in ((window.after, "after"), (window.before, "before"))
        )
        if window.from_end and before is None:
            await log.tail()
        start = max(low, log.remembered_after)
        messages = [entry for entry in log.remembered(start) or () if isinstance(entry, MessageSent)]
        lower, upper = max(low, after or low), log.sequence + 1 if before is None else before
        inside = [sent for sent in messages if lower < sent.sequence < upper]
        items = inside[max(0, len(inside) - window.limit) :] if window.from_end else inside[: window.limit]
        first, last = (items[0].sequence, items[-1].sequence) if items else (upper, lower)
        has_previous = bool(messages) and messages[0].sequence < first
        if start > low and not (items and has_previous and (window.from_end or lower >= start)):
            return None  # there may be more below
        if start > low and window.from_end and len(inside) < window.limit:
            return None
        has_next = bool(messages) and messages[-1].sequence > last
        return Page([self._item(sent) for sent in items], has_previous=has_previous, has_next=has_next)

    def _item(self, sent: MessageSent) -> tuple[str, Message]:
        return Position(sent.conversation_id, self._epoch, sent.sequence).cursor(), message_of(sent)

    async def last(self, viewer_id: str, conversation_id: str) -> Message | None:
        """Return the newest message that the viewer may read."""
        log = await self._logs.get(conversation_id)
        member = await log.member(viewer_id)
        if member is None:
            return None
        window = Window(1, from_end=True, after=None, before=None)
        page = await self._recent_page(log, member.joined_sequence - 1, window)
        if page is not None:
            return page.items[0][1] if page.items else None
        await log.settle()
        found = await self._logs.entries.newest_message(conversation_id, after=member.joined_sequence)
        return None if found is None else message_of(found)

    async def pinned(self, viewer_id: str, conversation_id: str) -> list[Message]:
        """Return the pinned messages that the viewer may read, the newest pin first; none for an outsider."""
        log = await self._logs.get(conversation_id)
        member = await log.member(viewer_id)
        if member is None or log.state.conversation is None:
            return []
        pinned = [sequence for sequence in log.state.conversation.pinned[::-1] if sequence >= member.joined_sequence]
        found = await log.messages(pinned)
        return [message_of(found[sequence]) for sequence in pinned]

    async def can_edit(self, viewer_id: str, message: Message) -> bool:
        """Whether the viewer may edit a message, as far as this process has seen the log."""
        return await self._allows(require_editor, viewer_id, message)

    async def can_delete(self, viewer_id: str, message: Message) -> bool:
        """Whether the viewer may delete a message that is not deleted, as far as this process has seen the log."""
        return await self._allows(require_deleter, viewer_id, message)

    # ------------------------------------------------------------ sending

    async def send(
        self,
        sender_id: str,
        conversation_id: str,
        *,
        body: str,
        client_message_id: str,
        reply_to_id: str | None = None,
        attachments: Sequence[Attachment] = (),
        admit: Callable[[], Awaitable[None]] | None = None,
    ) -> Message:
        """Store a message; the same client id returns the message already stored, whatever happened since.

        `admit` counts the send, and raises `RateLimited` where it is one too many; None: nobody counts.

        Raises:
            RateLimited: it is one too many, and was never admitted before.
            InvalidInput: the body, the client id or an attachment is not acceptable.
            NotFound: the sender is not in such a conversation, or there is no such message to reply to.
            Forbidden: the sender is in it but may not write.
            Conflict: the client id was used for another message.
        """
        given = NewMessage.of(body=body, client_message_id=client_message_id, attachments=attachments)
        body, attachments = given.body, tuple(Attachment(**dict(attachment)) for attachment in given.attachments)
        if ids.kind(conversation_id) != "cnv":
            raise NotFound("There is no such conversation.", ("input", "conversationId"))
        reply_to = None if reply_to_id is None else _quoted(reply_to_id, conversation_id)
        key = f"{sender_id}:{client_message_id}"
        if admit is not None:
            await self._admit(admit, conversation_id, key)
        names = await self._meant(body)
        log = await self._logs.get(conversation_id)
        decide = sending(
            sender_id,
            barred=await self._senders.barred(sender_id, log.state),
            body=body,
            client_message_id=client_message_id,
            reply_to=reply_to,
            names=names,
            attachments=attachments,
        )
        concerns, quoted = _concerned(sender_id, names), () if reply_to is None else (reply_to,)
        try:
            decide(await log.state_with(concerns, quoted))
        except UserError:
            # Refused as of what this process has seen; but what was stored before stays stored, and news may allow it.
            await log.catch_up()
            if not await self._sends.is_known(f"{conversation_id}:{key}"):
                decide(await log.state_with(concerns, quoted))
        base = await self._base(log, key, _fingerprint(body, reply_to_id, attachments))
        sent = await log.append(key, decide, base=base, concerns=concerns, messages=quoted)
        assert isinstance(sent, MessageSent)  # no other entry has the key of a send
        # One that was stored before may have been changed since.
        return message_of((await log.messages([sent.sequence])).get(sent.sequence, sent))

    async def _admit(self, admit: Callable[[], Awaitable[None]], conversation_id: str, key: str) -> None:
        """Count a send; one whose key was admitted before, and may be stored, is refused no more."""
        try:
            await admit()
        except RateLimited:
            if not await self._sends.is_known(f"{conversation_id}:{key}"):
                raise

    async def _base(self, log: Log, key: str, fingerprint: bytes) -> int:
        """Return the sequence above which this key may stand, fixed at its first attempt and never raised.

        Raises:
            Conflict: the key was first used for another message.
        """
        # The sequence as of now: another process may use this record as soon as it stands.
        record = SendRecord(f"{log.conversation_id}:{key}", log.sequence, fingerprint)
        settled = await self._sends.settled(record)
        if settled is not record:
            if settled.fingerprint != fingerprint:
                raise Conflict("This id was used for another message.", ("input", "clientMessageId"))
            await log.refresh()  # the message may be stored, and changed
            if settled.base > log.sequence:
                await log.catch_up()
        return settled.base

    # ------------------------------------------------------------ changing

    async def edit(self, actor_id: str, message_id: str, *, body: str, expected_version: int | None) -> Message:
        """Give a message another body; the one that it has already changes nothing.

        Raises:
            InvalidInput: the body is not acceptable.
            NotFound: there is no such message for the actor.
            Forbidden: it is somebody else's, or deleted.
            Conflict: its version is not the one expected.
        """
        body = MessageEdit.of(body=body).body
        names, barred = await self._meant(body), await self._barred(actor_id, message_id)

        def rule(sequence: int) -> Decide:
            return editing(actor_id, sequence, barred=barred, body=body, names=names, expected_version=expected_version)

        return await self._change(actor_id, message_id, rule, concerns=_concerned(actor_id, names))

    async def delete(self, actor_id: str, message_id: str) -> Message:
        """Leave a tombstone of a message; deleting it again changes nothing. Raises as `edit` does."""
        return await self._change(actor_id, message_id, lambda sequence: deleting(actor_id, sequence))

    async def react(self, actor_id: str, message_id: str, emoji: str) -> Message:
        """Add the actor's reaction; one that is there already changes nothing. Raises as `edit` does."""
        emoji = NewReaction.of(emoji=emoji).emoji
        return await self._change(actor_id, message_id, lambda sequence: reacting(actor_id, sequence, emoji))

    async def unreact(self, actor_id: str, message_id: str, emoji: str) -> Message:
        """Take the actor's reaction away; one that is not there changes nothing. Raises as `edit` does."""
        emoji = NewReaction.of(emoji=emoji).emoji
        return await self._change(actor_id, message_id, lambda sequence: unreacting(actor_id, sequence, emoji))

    async def pin(self, actor_id: str, message_id: str) -> Message:
        """Pin a message; one that is pinned stays where it is. Raises as `edit` does."""
        return await self._change(actor_id, message_id, lambda sequence: pinning(actor_id, sequence))

    async def unpin(self, actor_id: str, message_id: str) -> Message:
        """Unpin a message; one that is not pinned stays so. Raises as `edit` does."""
        return await self._change(actor_id, message_id, lambda sequence: unpinning(actor_id, sequence))

    async def _change(
        self, actor_id: str, message_id: str, rule: Callable[[int], Decide], *, concerns: Iterable[str] = ()
    ) -> Message:
        """Append what a rule makes of a message, and return the message after it."""
        if ids.kind(message_id) != "msg":
            raise _no_such_message()
        conversation_id, sequence = ids.message_place(message_id)
        log = await self._logs.get(conversation_id)
        await log.catch_up()
        key = f"{actor_id}:{ids.new_id('op')}"
        with suppress(Unneeded):
            await log.append(
                key, rule(sequence), base=log.sequence, concerns={actor_id, *concerns}, messages=[sequence]
            )
        try:
            message = await self._shown(log, sequence)
        except PyMongoError:
            raise CommitUnknown("This may have been stored, but cannot be shown now. Try again.") from None
        assert message is not None  # the rule has seen it
        return message

    # ------------------------------------------------------------ parts

    async def _shown(self, log: Log, sequence: int) -> Message | None:
        sent = (await log.messages([sequence])).get(sequence)
        return None if sent is None else message_of(sent)

    async def _allows(
        self, rule: Callable[[Conversation, Member, str], None], viewer_id: str, message: Message
    ) -> bool:
        log = await self._logs.get(message.conversation_id)
        member = await log.member(viewer_id)
        if log.state.conversation is None or member is None or message.deleted_at is not None:
            return False
        try:
            rule(log.state.conversation, member, message.sender_id)
        except Forbidden:
            return False
        return True

    async def _barred(self, actor_id: str, message_id: str) -> str | None:
        """Return why somebody may not change what a message says, whatever the log says of it."""
        if ids.kind(message_id) != "msg":
            return None
        conversation_id, _ = ids.message_place(message_id)
        log = await self._logs.get(conversation_id)
        return await self._senders.barred(actor_id, log.state)

    async def _meant(self, body: str) -> Names:
        """Return for each name in a body whom it may mean; who of them is a member, the log decides."""
        names = names_in(body)
        found = await self._users.ids_of({form for forms in names for form in forms})
        return [[found[form] for form in forms if form in found] for forms in names]


def _sent_in(document: Document) -> MessageSent:
    sent = from_document(document)
    assert isinstance(sent, MessageSent)
    return sent


def _concerned(actor_id: str, names: Names) -> frozenset[str]:
    return frozenset({actor_id, *(user_id for meant in names for user_id in meant)})


def _quoted(message_id: str, conversation_id: str) -> int:
    if ids.kind(message_id) == "msg":
        place = ids.message_place(message_id)
        if place[0] == conversation_id:
            return place[1]
    raise NotFound("There is no such message to reply to.", ("input", "replyToId"))


def _fingerprint(body: str, reply_to_id: str | None, attachments: Sequence[Attachment]) -> bytes:
    """Return what is equal for equal sends; a plain body's is the hash of it alone."""
    content = body.encode()
    if reply_to_id is not None or attachments:
        # No body holds a null character, so that none has the hash of anything but itself.
        content += b"\x00" + orjson.dumps([reply_to_id, [attachment.to_document() for attachment in attachments]])
    return hashlib.sha256(content).digest()


def _no_such_message() -> NotFound:
    return NotFound("There is no such message.", ("input", "messageId"))
