"""The end of each conversation's log, its metadata and memberships, as Redis remembers them.

For each conversation there are two keys: a hash, with the newest sequence that was answered and the conversation's
metadata there; and a sorted set of runs of entries, without a hole, up to that sequence. Who appends tells both, and
everybody who listens, in one step.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import bson

from services.cache import GRANTED, TOKEN_SECONDS, Cache, Grant, decoded, life
from services.entries import (
    ConversationCreated,
    Entry,
    MemberAdded,
    MemberRemoved,
    MemberRoleChanged,
    MessageDeleted,
    MessageSent,
    entries_in,
    to_bytes,
)
from services.mongo import parsed
from services.redis import Script, channel_of
from services.state import Conversation, Member, State

CHANNEL: Final = "parley:log:"
RECEIPT_KEYS: Final = ("receipts", "floor")  # the kinds of keys that have all members' receipts
TAIL: Final = 256  # entries that are remembered at least, where there are as many
FROM_NOTHING: Final = -1  # what a process that knows nothing of a log says that it has seen

_MEMBERSHIP = (ConversationCreated, MemberAdded, MemberRemoved, MemberRoleChanged)

# Replies with where the log is, then what the reader lacks: the runs above its own sequence, and before them, where it
# has nothing, the metadata. Or with a number: whether the reader was given a token.
_READ = Script(f"""
local found = redis.call('HMGET', KEYS[1], 'generation', 'last', 'first', 'control', 'conversation', 'token')
local after = tonumber(ARGV[3])
if found[1] == ARGV[1] then
  local last, first = tonumber(found[2]), tonumber(found[3])
  if after >= last then return {{last}} end
  local runs = redis.call('ZRANGEBYSCORE', KEYS[2], after + 1, '+inf')
  if after < 0 then return {{last, tonumber(found[4]), found[5], runs}} end
  if after >= first - 1 then return {{last, runs}} end
  return 0
end
if found[6] then return 0 end
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('HSET', KEYS[1], 'token', ARGV[2])
redis.call('EXPIRE', KEYS[1], {TOKEN_SECONDS})
return {GRANTED}
""")
_PUT = Script("""
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[2] then return end
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('HSET', KEYS[1], 'generation', ARGV[1], 'first', ARGV[3], 'last', ARGV[4],
  'control', ARGV[5], 'membership', ARGV[5], 'conversation', ARGV[6], 'said', ARGV[9])
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[7])
redis.call('EXPIRE', KEYS[1], ARGV[8])
redis.call('EXPIRE', KEYS[2], ARGV[8])
""")
# Replies with nothing, or with how far the remembered log is, where what is told leaves a hole after it. Members whose
# membership changed are named; then nobody's receipts are remembered either.
_TELL = Script(f"""
local channel, run, first, last = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local control, conversation, membership = tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7])
if channel ~= '' then redis.call('SPUBLISH', channel, run) end
if membership > 0 then redis.call('DEL', KEYS[3], KEYS[4]) end
local found = redis.call('HMGET', KEYS[1], 'last', 'first')
local stored = tonumber(found[1])
if not stored or ARGV[8] == '1' then
  redis.call('DEL', KEYS[1], KEYS[2])
  return
end
if stored >= last then return end
if stored < first - 1 then return stored end
redis.call('HSET', KEYS[1], 'last', last)
redis.call('ZADD', KEYS[2], last, run)
if control > 0 then redis.call('HSET', KEYS[1], 'control', control, 'conversation', conversation) end
if membership > 0 then
  redis.call('HSET', KEYS[1], 'membership', membership)
  redis.call('HDEL', KEYS[1], unpack(ARGV, 10))
end
if ARGV[9] ~= '' then redis.call('HSET', KEYS[1], 'said', ARGV[9]) end
if last - tonumber(found[2]) > {2 * TAIL} then
  local old = redis.call('ZREVRANGEBYSCORE', KEYS[2], last - {TAIL}, '-inf', 'WITHSCORES', 'LIMIT', 0, 1)
  if old[2] then
    redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', old[2])
    redis.call('HSET', KEYS[1], 'first', tonumber(old[2]) + 1)
  end
end
""")
_HEAD = Script("""
local found = redis.call('HMGET', KEYS[1], 'generation', 'said', 'conversation')
if found[1] == ARGV[1] then return {found[2], found[3]} end
""")
_MEMBERS = Script("""
local found = redis.call('HMGET', KEYS[1], 'generation', 'control')
if found[1] ~= ARGV[1] or found[2] ~= ARGV[2] then return end
return redis.call('HMGET', KEYS[1], unpack(ARGV, 3))
""")
# A membership that was read at one place of the log still holds where none was changed since.
_PUT_MEMBERS = Script("""
local found = redis.call('HMGET', KEYS[1], 'generation', 'membership')
if found[1] == ARGV[1] and tonumber(ARGV[2]) >= tonumber(found[2]) then
  redis.call('HSET', KEYS[1], unpack(ARGV, 3))
end
""")
SCRIPTS: Final = (_READ, _PUT, _TELL, _HEAD, _MEMBERS, _PUT_MEMBERS)

_OUTSIDER = b""  # what is remembered of a user who is not in


@dataclass(frozen=True, slots=True)
class Tail:
    """The end of a log as it was answered: its newest entries, without a hole, and the state there."""

    state: State
    entries: list[Entry]


@dataclass(frozen=True, slots=True)
class Head:
    """What a list of conversations goes by."""

    said_at: datetime | None  # when the newest message was sent; None where nothing was said
    archived: bool


@dataclass(frozen=True, slots=True)
class News:
    """What a reader lacks of a log up to `last`."""

    last: int
    entries: list[Entry]


class LogCache:
    """Every method may be used while Redis is away: then nothing is found and nothing is kept."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    async def tail(self, conversation_id: str) -> Tail | Grant | None:
        """Return the end of a log, or the grant to put it, or None."""
        reply, grant = await self._read(conversation_id, FROM_NOTHING)
        if not isinstance(reply, list):
            return grant
        last, control, conversation, runs = reply
        entries = _entries(runs)
        if not entries or entries[-1].sequence < last:
            return None  # Redis has thrown a key away, to make room
        state = State(sequence=last, control=control, conversation=parsed(Conversation, decoded(conversation)))
        return Tail(state, entries)

    async def news(self, conversation_id: str, after: int) -> News | Grant | None:
        """Return how far a log was told of, and its entries above `after`; or the grant to put its end, or None."""
        reply, grant = await self._read(conversation_id, after)
        if not isinstance(reply, list):
            return grant
        last, *runs = reply
        entries = _entries(runs[0]) if runs else []
        if last > max(after, entries[-1].sequence if entries else 0):
            return None
        return News(last, entries)

    async def heads(self, conversation_ids: Sequence[str]) -> dict[str, Head]:
        """Return the heads of those of these conversations that are remembered."""
        replies = await asyncio.gather(*(self._head(key) for key in conversation_ids))
        return {
            key: Head(said_at=_time(reply[0]), archived=decoded(reply[1]).get("archivedAt") is not None)
            for key, reply in zip(conversation_ids, replies, strict=True)
            if reply is not None
        }

    def put(self, conversation_id: str, grant: Grant, tail: Tail, said_at: datetime | None) -> None:
        """Have the end of a log remembered that was read after the grant was given.

        `said_at` is when the newest message was sent, for where none is in the tail.
        """
        conversation = tail.state.conversation
        assert conversation is not None  # only existing logs are put
        self._cache.redis.send(
            "EVALSHA",
            _PUT.sha,
            2,
            *self._keys(conversation_id)[:2],
            grant.generation,
            grant.token,
            tail.entries[0].sequence,
            tail.state.sequence,
            tail.state.control,
            bson.encode(conversation.model_dump_doc()),
            to_bytes(tail.entries),
            life(),
            _said(tail.entries) or _milliseconds(said_at),
        )

    async def tell(self, conversation_id: str, entries: Sequence[Entry], state: State) -> int | None:
        """Tell of a run of entries: those who listen and those who will read; `state` is right after the last one.

        Returns where the remembered log ends if the run leaves a hole after that, to be told with `fill`.

        Raises:
            CommitUnknown: it is not sure that nobody will read less.
        """
        return await self._tell(channel_of(CHANNEL, conversation_id), conversation_id, entries, state)

    async def fill(self, conversation_id: str, entries: Sequence[Entry], state: State) -> int | None:
        """Tell those who will read, and not those who listen; all else as `tell`."""
        return await self._tell("", conversation_id, entries, state)

    async def forget(self, conversation_id: str) -> None:
        """Have nothing of a conversation remembered; raises as `tell`."""
        await self._cache.forget(*self._keys(conversation_id))

    async def members(self, conversation_id: str, user_ids: Sequence[str], *, control: int) -> dict[str, Member | None]:
        """Return those of these users' memberships that are known as of just this control entry."""
        key = self._keys(conversation_id)[0]
        generation = self._cache.trust.generation(key)
        if generation is None:
            return {}
        fields = [f"member:{user_id}" for user_id in user_ids]
        reply = await self._cache.asked(_MEMBERS, [key], generation, control, *fields)
        found = dict(zip(user_ids, reply or (), strict=False))
        return {
            user_id: parsed(Member, decoded(value)) if value else None
            for user_id, value in found.items()
            if value is not None
        }

    def put_members(self, conversation_id: str, members: dict[str, Member | None], *, control: int) -> None:
        """Have memberships remembered as of a control entry, which those after it have not changed yet."""
        key = self._keys(conversation_id)[0]
        generation = self._cache.trust.generation(key)
        if generation is None:
            return
        pairs: list[str | bytes] = []
        for user_id, member in members.items():
            pairs += (f"member:{user_id}", bson.encode(member.model_dump_doc()) if member else _OUTSIDER)
        self._cache.redis.send("EVALSHA", _PUT_MEMBERS.sha, 1, key, generation, control, *pairs)

    def counted(self, kind: str, *, hit: bool) -> None:
        """Count something that was asked for."""
        self._cache.counted(kind, hit=hit)

    async def _head(self, conversation_id: str) -> Any:
        key = self._keys(conversation_id)[0]
        generation = self._cache.trust.generation(key)
        return None if generation is None else await self._cache.asked(_HEAD, [key], generation)

    async def _read(self, conversation_id: str, after: int) -> tuple[Any, Grant | None]:
        keys = self._keys(conversation_id)[:2]
        generation = self._cache.trust.generation(keys[0])
        if generation is None:
            return None, None
        token = self._cache.token()
        reply = await self._cache.asked(_READ, keys, generation, token, after)
        return reply, Grant(generation, token) if reply == GRANTED else None

    async def _tell(self, channel: str, conversation_id: str, entries: Sequence[Entry], state: State) -> int | None:
        first, last = entries[0].sequence, entries[-1].sequence
        control = max((entry.sequence for entry in entries if entry.is_control), default=0)
        changed = {user_id for entry in entries for user_id in _users_in(entry)}
        membership = max((entry.sequence for entry in entries if isinstance(entry, _MEMBERSHIP)), default=0)
        assert state.conversation is not None  # there are entries
        # The words of a deleted message are in a run that was told before: all of it goes, and is read anew.
        drop = any(isinstance(entry, MessageDeleted) for entry in entries)
        reply = await self._cache.told(
            _TELL,
            self._keys(conversation_id),
            channel,
            to_bytes(entries),
            first,
            last,
            control,
            bson.encode(state.conversation.model_dump_doc()) if control else b"",
            membership,
            int(drop),
            _said(entries),
            *(f"member:{user_id}" for user_id in changed),
        )
        return None if reply is None else int(reply)

    def _keys(self, conversation_id: str) -> list[str]:
        return [self._cache.key(kind, conversation_id) for kind in ("log", "tail", *RECEIPT_KEYS)]


def _said(entries: Sequence[Entry]) -> str:
    """Return when the newest message of a run was sent; nothing where there is none."""
    return _milliseconds(next((entry.at for entry in reversed(entries) if isinstance(entry, MessageSent)), None))


def _milliseconds(at: datetime | None) -> str:
    return "" if at is None else f"{at.timestamp() * 1_000:.0f}"


def _time(milliseconds: bytes | None) -> datetime | None:
    return datetime.fromtimestamp(int(milliseconds) / 1_000, UTC) if milliseconds else None


def _users_in(entry: Entry) -> Iterable[str]:
    match entry:
        case ConversationCreated():
            return [user_id for user_id, _ in entry.roles]
        case MemberAdded() | MemberRemoved() | MemberRoleChanged():
            return [entry.user_id]
    return ()


def _entries(runs: Iterable[bytes]) -> list[Entry]:
    """Return the entries of runs that may overlap, each once, in order."""
    found: dict[int, Entry] = {}
    for run in runs:
        for entry in entries_in(decoded(run)):
            found.setdefault(entry.sequence, entry)
    return [found[sequence] for sequence in sorted(found)]
