"""Erasing a person: what they said becomes tombstones, their account "Deleted user", all else of them goes.

First the account is closed, and what has to be done is written down in `erasures/<user>`; then, conversation by
conversation, the person leaves and each message of theirs is deleted, by entries of the log as any other, so that every
process, cache and subscriber hears of it. After the leaving no entry of theirs can be committed: a send that is under
way either comes before it, and is found, or is refused. Each step may be done again: whoever dies is followed by the
next call. What a request that was under way writes beside the log is removed a minute later, by the cleaning.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import batched
from typing import Final

from pymongo.errors import DuplicateKeyError

from services import attempts, ids
from services.append import Decide
from services.audit import COLLECTION as AUDIT
from services.audit import Audit, AuditEventKind
from services.entries import Entry, MemberRemoved, MemberRole, MessageSent, ReactionAdded
from services.errors import Conflict
from services.log import Log, Logs
from services.membership import Unneeded, leaving_for_good
from services.message_rules import erasing, unreacting_for_good
from services.mongo import Collection, Database, Document
from services.profiles import Profiles
from services.revocations import Revocations
from services.search import SearchJob
from services.sessions import end_sessions, sessions_of
from services.state import inbox_id, member_id
from services.tasks import gather_some
from services.users import Users

COLLECTION: Final = "erasures"
LATE: Final = timedelta(seconds=60)  # no request that began before the account was closed is still under way then
PAGE: Final = 800  # entries in one read
AT_ONCE: Final = 50  # entries that are appended together


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """What was done."""

    user_id: str
    conversations: int
    messages: int  # that became tombstones by this call
    reactions: int  # that were taken away by this call


class Erasures:
    """Erases people; needs all that an API process has."""

    def __init__(
        self, database: Database, *, users: Users, profiles: Profiles, revocations: Revocations, logs: Logs
    ) -> None:
        self._database = database
        self._erasures: Collection = database[COLLECTION]
        self._users = users
        self._profiles = profiles
        self._revocations = revocations
        self._logs = logs
        self._audit = Audit(database)
        self._search = SearchJob(database)

    async def find(self, name: str) -> str | None:
        """Return whose handle or id this is, also of somebody half erased; "" for an erased one, None for nobody's."""
        if ids.kind(name) == "usr":
            return name if await self._users.get(name) is not None else None
        return await self._users.claimed(name)

    async def erase(self, user_id: str, now: datetime) -> Erased:
        """Erase a person, or what is left of one; doing it again changes nothing.

        Raises:
            ChatError, PyMongoError: a part did not answer; another call goes on.
        """
        erasure = await self._begin(user_id, now)
        await self._users.erase(user_id, now)
        await self._profiles.forget(user_id)
        await end_sessions(self._database["sessions"], self._revocations.end, user_id, now)
        messages = reactions = 0
        for conversation_id in erasure["conversations"]:
            log = await self._logs.get(conversation_id)
            if log.sequence == 0:
                continue
            await self._leave(log, user_id)
            said, reacted = await self._entries_of(log, user_id)
            messages += await self._append_all(log, user_id, [(m, erasing(user_id, m)) for m in said])
            reactions += await self._append_all(
                log, user_id, [(m, unreacting_for_good(user_id, m, emoji)) for m, emoji in reacted]
            )
            await log.settle()
            # The job would do so as well, as soon as Kafka tells it.
            await self._search.show(conversation_id, dict.fromkeys(said, 0))
        await forget_documents(self._database, erasure)
        if erasure["doneAt"] is None:
            await self._audit.record(AuditEventKind.ACCOUNT_ERASED, subject_id=user_id)
        # Last, because it is by these that the next call would find what is left to do.
        if erasure["handle"] is not None:
            await self._users.let_go(erasure["handle"], user_id)
        done = {"doneAt": erasure["doneAt"] or now, "handle": None, "identity": None}
        await self._erasures.update_one({"_id": user_id}, {"$set": done})
        return Erased(
            user_id=user_id, conversations=len(erasure["conversations"]), messages=messages, reactions=reactions
        )

    async def _begin(self, user_id: str, now: datetime) -> Document:
        """Return what is to be done, written down before anything is."""
        user = await self._users.get(user_id)
        assert user is not None  # it was found
        inbox = await self._database["inbox"].find(_range(f"{user_id}:"))
        conversations = [item["conversation"] for item in inbox]
        if user.erased_at is None:
            erasure = {
                "_id": user_id,
                "at": now,
                "doneAt": None,
                "handle": user.handle,
                "identity": user.identity,
                "conversations": conversations,
            }
            with suppress(DuplicateKeyError):
                await self._erasures.insert_one(erasure)
        stored = await self._erasures.find_one({"_id": user_id})
        if stored is None:  # it was done long ago
            return {
                "_id": user_id,
                "at": now,
                "doneAt": user.erased_at,
                "handle": None,
                "identity": None,
                "conversations": conversations,
            }
        # Somebody may have been added to a conversation until the account was closed.
        stored["conversations"] = list(dict.fromkeys([*stored["conversations"], *conversations]))
        await self._erasures.update_one({"_id": user_id}, {"$set": {"conversations": stored["conversations"]}})
        return stored

    async def _leave(self, log: Log, user_id: str) -> None:
        """Take the person out of a conversation; where they are the last owner another member becomes one first."""
        heir_id: str | None = None
        while True:
            await log.catch_up()
            concerns = {user_id} if heir_id is None else {user_id, heir_id}
            try:
                entry = await log.append(
                    _key(user_id), leaving_for_good(user_id, heir_id), base=log.sequence, concerns=concerns
                )
            except Unneeded:
                return
            except Conflict:
                await log.settle()
                heir_id = await self._heir(log.conversation_id, user_id)
                continue
            if isinstance(entry, MemberRemoved):
                return

    async def _heir(self, conversation_id: str, user_id: str) -> str | None:
        """Return who has been there for longest, of the moderators if there are any."""
        found: list[Document] = []
        bounds = {"$gt": f"{conversation_id}:", "$lt": f"{conversation_id}:~"}
        while page := await self._database["members"].find({"_id": bounds}, limit=PAGE):
            others = [member for member in page if member["active"] and member["user"] != user_id]
            found = sorted([*found, *others], key=_seniority)[:1]
            bounds = {**bounds, "$gt": page[-1]["_id"]}
        return str(found[0]["user"]) if found else None

    async def _entries_of(self, log: Log, user_id: str) -> tuple[list[int], list[tuple[int, str]]]:
        """Return what the person has said, and with what they have reacted to which messages; also what is gone."""
        said: list[int] = []
        reacted: dict[tuple[int, str], None] = {}
        after = 0
        while True:
            page = await self._logs.entries.read(log.conversation_id, after=after, limit=PAGE)
            for entry in _of(page, user_id):
                if isinstance(entry, MessageSent):
                    said.append(entry.sequence)
                elif isinstance(entry, ReactionAdded):
                    reacted[entry.message, entry.emoji] = None
            if len(page) < PAGE:
                return said, list(reacted)
            after = page[-1].sequence

    async def _append_all(self, log: Log, user_id: str, rules: Sequence[tuple[int, Decide]]) -> int:
        """Append what these rules make of messages; return for how many it was anything."""

        async def append(message: int, decide: Decide) -> int:
            try:
                await log.append(_key(user_id), decide, base=log.sequence, concerns=(), messages=[message])
            except Unneeded:
                return 0
            return 1

        count = 0
        for batch in batched(rules, AT_ONCE, strict=False):
            count += sum(await gather_some((append(*each) for each in batch), at_once=AT_ONCE))
        return count


async def forget_documents(database: Database, erasure: Document) -> None:
    """Remove what is kept of a person beside the log.

    Raises:
        PyMongoError: MongoDB did not answer; it may be done again.
    """
    user_id = erasure["_id"]
    for conversation_id in erasure["conversations"]:
        await database["receipts"].delete_one({"_id": member_id(conversation_id, user_id)})
        # The records stay, so that no id of theirs is ever taken for a new one; of the words they had a hash.
        sends = _range(f"{conversation_id}:{user_id}:")
        await database["sends"].update_many(sends, {"$set": {"fingerprint": b""}})
    for name in ("blocks", "mutes", "activity"):
        await _delete(database[name], _range(f"{user_id}:"))
    for name, field in (("resets", "user"), ("reports", "reporter"), ("reported", "reporter")):
        await _delete(database[name], {field: user_id})
    await _delete(database["sessions"], {"_id": sessions_of(user_id)})
    for name in ("seen", "push_endpoints"):
        await database[name].delete_one({"_id": user_id})
    if erasure["identity"] is not None:
        await database["identities"].delete_one({"_id": erasure["identity"]})
    if erasure["handle"] is not None:
        await database[attempts.COLLECTION].delete_one({"_id": attempts.attempt_id(erasure["handle"])})
    theirs = {"$or": [{"actor": user_id}, {"actor": None, "subject": user_id}], "network": {"$ne": None}}
    await database[AUDIT].update_many(theirs, {"$set": {"network": None}})
    for conversation_id in erasure["conversations"]:
        await database["inbox"].delete_one({"_id": inbox_id(user_id, conversation_id)})


def is_late(erasure: Document, now: datetime) -> bool:
    """Whether nothing can come any more of what was under way when the account was closed."""
    done_at: datetime | None = erasure["doneAt"]
    return done_at is not None and done_at + LATE < now


async def _delete(collection: Collection, query: Document) -> None:
    while page := await collection.find(query, limit=PAGE):
        for document in page:
            await collection.delete_one({"_id": document["_id"]})


def _seniority(member: Document) -> tuple[bool, int]:
    return member["role"] != MemberRole.MODERATOR.value, member["joinedSequence"]


def _of(entries: Iterable[Entry], user_id: str) -> Iterable[Entry]:
    return (entry for entry in entries if entry.actor_id == user_id)


def _range(prefix: str) -> Document:
    return {"_id": {"$gt": prefix, "$lt": f"{prefix}~"}}


def _key(user_id: str) -> str:
    return f"{user_id}:{ids.new_id('op')}"
