"""Messages: sending one, once, and reading a conversation's."""

import hashlib
import unicodedata
from dataclasses import dataclass
from datetime import datetime

from pymongo.errors import DuplicateKeyError

from services import ids
from services.conversations import valid_client_id
from services.entries import Draft, Entry, MessageSent, entry_id, from_document
from services.errors import Conflict, InvalidInput, NotFound, UserError
from services.log import Decide, Log, Logs
from services.membership import require_sender
from services.mongo import Collection, Database, Document
from services.paging import Page, Window, read_page
from services.positions import Position, sequence_in
from services.senders import Senders
from services.state import State

BODY_CHARACTERS = 10_000
BODY_BYTES = 32_768

_BODY = ("input", "body")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message as it is shown."""

    id: str
    conversation_id: str
    sequence: int
    sender_id: str
    body: str | None  # None once deleted
    client_message_id: str
    version: int
    created_at: datetime


def message_of(entry: Entry) -> Message:
    """Return the message that a log entry sent."""
    assert isinstance(entry, MessageSent)
    return Message(
        id=entry.message_id,
        conversation_id=entry.conversation_id,
        sequence=entry.sequence,
        sender_id=entry.actor_id,
        body=entry.body,
        client_message_id=entry.client_message_id,
        version=1,
        created_at=entry.at,
    )


class Messages:
    """What users say, and what of it a viewer may read: history is visible from the joining entry on."""

    def __init__(self, database: Database, logs: Logs, senders: Senders, epoch: int) -> None:
        self._entries: Collection = database["entries"]
        self._sends: Collection = database["sends"]
        self._logs = logs
        self._senders = senders
        self._epoch = epoch

    async def send(self, sender_id: str, conversation_id: str, *, body: str, client_message_id: str) -> Message:
        """Store a message; the same client id returns the message already stored, whatever happened since.

        Raises:
            InvalidInput: the body or the client id is not acceptable.
            NotFound: the sender is not in such a conversation.
            Forbidden: the sender is in it but may not write.
            Conflict: the client id was used for another message.
        """
        body = valid_body(body)
        valid_client_id(client_message_id, ("input", "clientMessageId"))
        if ids.kind(conversation_id) != "cnv":
            raise NotFound("There is no such conversation.", ("input", "conversationId"))
        key = f"{sender_id}:{client_message_id}"
        fingerprint = hashlib.sha256(body.encode()).digest()
        log = await self._logs.get(conversation_id)
        await log.load_members([sender_id])
        barred = await self._senders.barred(sender_id, log.state)
        decide = _sending(sender_id, body, client_message_id, barred)
        try:
            decide(log.state)
        except UserError:
            # Refused as of what this process has seen; but what was stored before stays stored, and news may allow it.
            await log.catch_up()
            stored = await self._sends.find_one({"_id": f"{conversation_id}:{key}"})
            if stored is None:
                decide(log.state)
        base = await self._base(log, key, fingerprint)
        return message_of(await log.append(key, decide, base=base, concerns=(sender_id,)))

    async def visible(self, viewer_id: str, message_id: str) -> Message | None:
        """Return a message if the viewer may read it, else None."""
        conversation_id, sequence = ids.message_place(message_id)
        log = await self._logs.get(conversation_id)
        await log.catch_up()
        member = await log.member(viewer_id)
        if member is None or sequence < member.joined_sequence:
            return None
        document = await self._entries.find_one({"_id": entry_id(conversation_id, sequence)})
        if document is None or document["kind"] != MessageSent.kind:
            return None
        return message_of(from_document(document))

    async def page(self, viewer_id: str, conversation_id: str, window: Window) -> Page[Message]:
        """Return a page of the messages that the viewer may read, in the order of the log; none for an outsider."""
        log = await self._logs.get(conversation_id)
        member = await log.member(viewer_id)
        if member is None:
            return Page([], has_previous=False, has_next=False)

        def key(cursor: str, argument: str) -> str:
            return entry_id(conversation_id, sequence_in(cursor, conversation_id, argument))

        def item(document: Document) -> tuple[str, Message]:
            message = message_of(from_document(document))
            return Position(conversation_id, self._epoch, message.sequence).cursor(), message

        return await read_page(
            self._entries,
            (entry_id(conversation_id, member.joined_sequence - 1), f"{conversation_id}:~"),
            window,
            key=key,
            item=item,
            where={"kind": MessageSent.kind},
        )

    async def last(self, viewer_id: str, conversation_id: str) -> Message | None:
        """Return the newest message that the viewer may read."""
        page = await self.page(viewer_id, conversation_id, Window(1, from_end=True, after=None, before=None))
        return page.items[0][1] if page.items else None

    async def _base(self, log: Log, key: str, fingerprint: bytes) -> int:
        """Return the sequence above which this key may stand, fixed at its first attempt and never raised.

        Raises:
            Conflict: the key was first used for another message.
        """
        record_id = f"{log.conversation_id}:{key}"
        base = log.sequence  # before the insert: another process may use this record as soon as it stands
        try:
            await self._sends.insert_one({"_id": record_id, "base": base, "fingerprint": fingerprint})
        except DuplicateKeyError:
            record = await self._sends.find_one({"_id": record_id})
            assert record is not None  # records are never removed
            if record["fingerprint"] != fingerprint:
                raise Conflict("This id was used for another message.", ("input", "clientMessageId")) from None
            if record["base"] > log.sequence:
                await log.catch_up()
            return int(record["base"])
        return base


def _sending(sender_id: str, body: str, client_message_id: str, barred: str | None) -> Decide:
    def decide(state: State) -> Draft:
        require_sender(state, sender_id, barred)
        return Draft(MessageSent, sender_id, {"body": body, "client_message_id": client_message_id})

    return decide


def valid_body(body: str) -> str:
    """Return the body as it is stored: NFC, 1 to 10 000 code points, at most 32 768 bytes, not only white space.

    Raises:
        InvalidInput: it is anything else.
    """
    try:
        text = unicodedata.normalize("NFC", body)
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidInput("A message is Unicode text without lone surrogates.", _BODY) from None
    if not text.strip():
        raise InvalidInput("A message cannot be empty.", _BODY)
    if "\x00" in text:
        raise InvalidInput("A message cannot hold the null character.", _BODY)
    if len(text) > BODY_CHARACTERS or size > BODY_BYTES:
        raise InvalidInput(f"A message has at most {BODY_CHARACTERS} characters and {BODY_BYTES} bytes.", _BODY)
    return text
