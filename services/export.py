"""All that is held of a person, one thing after the other; no secrets, and nobody else's words."""

from collections.abc import AsyncIterator
from typing import Any, Final

from services.audit import COLLECTION as AUDIT
from services.audit import Audit, AuditEventKind
from services.entries import Entry, MessageEdited, MessageSent, ReactionAdded
from services.entry_store import EntryStore
from services.messages import message_of
from services.mongo import Database, Document
from services.sessions import sessions_of
from services.state import member_id
from services.users import User

PAGE: Final = 800  # entries in one read
_SECRETS: Final = frozenset({"family", "current", "previous", "passwordHash", "p256dh", "auth", "secret"})

type Item = dict[str, Any]


class Export:
    """Reads everything; the one write is that of the audit log."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._entries = EntryStore(database)

    async def of(self, user: User) -> AsyncIterator[Item]:
        """Give each thing with its kind, first the profile.

        Raises:
            PyMongoError: MongoDB did not answer.
        """
        user_id = user.id
        yield _item("profile", user.model_dump_doc())
        for session in await self._find("sessions", {"_id": sessions_of(user_id)}):
            yield _item("session", session)
        if (seen := await self._database["seen"].find_one({"_id": user_id})) is not None:
            yield _item("lastSeen", seen)
        endpoints = await self._database["push_endpoints"].find_one({"_id": user_id})
        for endpoint in (endpoints or {}).get("endpoints", ()):
            fields = {name: value for name, value in endpoint.items() if name not in _SECRETS}
            yield {**fields, "kind": "pushEndpoint", "type": endpoint["kind"]}
        if user.identity and (found := await self._database["identities"].find_one({"_id": user.identity})):
            yield _item("identity", found)
        for name, kind in (("blocks", "block"), ("mutes", "mute"), ("activity", "activity")):
            for document in await self._find(name, _range(f"{user_id}:")):
                yield _item(kind, document)
        for report in await self._find("reports", {"reporter": user_id}):
            yield _item("report", report)
        for inbox in await self._find("inbox", _range(f"{user_id}:")):
            async for item in self._of_conversation(user_id, inbox["conversation"]):
                yield item
        for event in await self._find(AUDIT, {"$or": [{"actor": user_id}, {"subject": user_id}]}):
            yield _item("auditEvent", event)
        await Audit(self._database).record(AuditEventKind.ACCOUNT_EXPORTED, subject_id=user_id)

    async def _of_conversation(self, user_id: str, conversation_id: str) -> AsyncIterator[Item]:
        membership_id = member_id(conversation_id, user_id)
        if (member := await self._database["members"].find_one({"_id": membership_id})) is not None:
            yield _item("membership", member)
        if (receipts := await self._database["receipts"].find_one({"_id": membership_id})) is not None:
            yield _item("receipt", receipts)
        after = 0
        while page := await self._entries.read(conversation_id, after=after, limit=PAGE):
            for entry in page:
                if entry.actor_id == user_id and (item := _said(entry)) is not None:
                    yield item
            after = page[-1].sequence

    async def _find(self, name: str, query: Document) -> list[Document]:
        return await self._database[name].find(query)


def _said(entry: Entry) -> Item | None:
    """Return what somebody said or reacted with, None for what has no words of theirs."""
    place: Item = {"conversation": entry.conversation_id, "sequence": entry.sequence, "at": entry.at}
    match entry:
        case MessageSent():
            message = message_of(entry)
            return {
                "kind": "message",
                **place,
                "id": message.id,
                "clientMessageId": message.client_message_id,
                "body": message.body,
                "version": message.version,
                "attachments": [
                    {"name": file.name, "url": file.url, "mediaType": file.media_type, "sizeBytes": file.size_bytes}
                    for file in message.attachments
                ],
                "editedAt": message.edited_at,
                "deletedAt": message.deleted_at,
            }
        case MessageEdited():
            return {"kind": "edit", **place, "message": entry.message_id, "body": entry.body, "version": entry.version}
        case ReactionAdded():
            return {"kind": "reaction", **place, "message": entry.message_id, "emoji": entry.emoji}
    return None


def _item(kind: str, document: Document) -> Item:
    fields = {name: value for name, value in document.items() if name not in {"_id", *_SECRETS}}
    return {"kind": kind, "id": document["_id"], **{_NAMES.get(name, name): value for name, value in fields.items()}}


_NAMES: Final = {"kind": "event"}  # of an event of the audit log


def _range(prefix: str) -> Document:
    return {"_id": {"$gt": prefix, "$lt": f"{prefix}~"}}
