"""What a conversation was after any of its entries: the same fold that makes what is stored, ended earlier.

Two things no log has: words that were deleted later, which are gone for good, and read markers, which stand beside it.
So a body may be null that was not then, and what somebody had not read is counted from the marker of now.
"""

from collections.abc import AsyncIterator
from dataclasses import replace

from services.entries import Entry, MessageChange, MessageSent
from services.entry_store import EntryStore
from services.fold import Fold, Part, as_sent
from services.mongo import Database, Document
from services.state import State, member_id

PAGE = 200


class Replay:
    """Replays one conversation up to a place."""

    def __init__(self, database: Database, conversation_id: str, until: int) -> None:
        self._database = database
        self._entries = EntryStore(database)
        self._conversation_id = conversation_id
        self._until = until

    async def conversation(self) -> Document | None:
        """Return the metadata; None where the log does not get so far, or there is none.

        Raises:
            PyMongoError: MongoDB did not answer.
        """
        if await self._entries.at(self._conversation_id, self._until) is None:
            return None
        state = State()
        async for entry in self._log():
            state = replace(state.after(entry), members={}, messages={})
        return None if state.conversation is None else state.conversation.model_dump_doc()

    async def members(self) -> AsyncIterator[Document]:
        """Yield the active memberships, by user; raises as `conversation`."""
        async for fold in self._folds():
            for member in fold.active():
                yield member.model_dump_doc()

    async def messages(self) -> AsyncIterator[Document]:
        """Yield the messages with what had become of them; raises as `conversation`."""
        async for message in self._messages():
            yield {
                "sequence": message.sequence,
                "id": message.message_id,
                "sender": message.actor_id,
                "at": message.at,
                "body": message.current_body,
                "mentions": list(message.current_mentions),
                "replyTo": message.reply_to,
                "state": message.state.to_document(),
            }

    async def unread(self, user_id: str) -> Document | None:
        """Return what a member had not read, None for whoever was not in; raises as `conversation`."""
        found = [member async for member in self.members() if member["user"] == user_id]
        if not found:
            return None
        receipts = await self._database["receipts"].find_one({"_id": member_id(self._conversation_id, user_id)})
        joined = found[0]["joinedSequence"]
        read = max(joined, receipts["read"] if receipts else 0)
        unread = 0
        async for message in self._messages():
            is_seen = message.sequence <= read or message.actor_id == user_id
            unread += not is_seen and message.state.deleted_at is None
        return {"user": user_id, "joinedSequence": joined, "readSequence": read, "unread": unread}

    async def _log(self, after: int = 0) -> AsyncIterator[Entry]:
        while entries := await self._entries.read(self._conversation_id, after=after, upto=self._until, limit=PAGE):
            for entry in entries:
                yield as_sent(entry) if isinstance(entry, MessageSent) else entry
            after = entries[-1].sequence

    async def _folds(self) -> AsyncIterator[Fold]:
        """Yield the folds of all parts of the conversation."""
        part: Part | None = Part()
        while part is not None:
            fold = Fold(part, 0)
            async for entry in self._log():
                if fold.lacks(entry):
                    assert isinstance(entry, MessageChange)
                    sent = await self._entries.messages(self._conversation_id, [entry.message])
                    if entry.message in sent:
                        fold.hold(sent[entry.message])
                fold.take(entry)
            yield fold
            part = fold.part.rest

    async def _messages(self) -> AsyncIterator[MessageSent]:
        after = 0
        async for fold in self._folds():
            upto = self._until if fold.part.last_message is None else fold.part.last_message
            if after >= upto:
                continue
            async for entry in self._log(after):
                if entry.sequence > upto:
                    break
                if isinstance(entry, MessageSent):
                    changed = fold.changed.get(entry.sequence)
                    yield entry if changed is None else changed.folded
            after = upto
