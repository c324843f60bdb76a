"""Who is typing: leases of a few seconds in Redis, which end there and, by their own clocks, wherever they are shown.

Nothing of it is stored. While Redis is away nobody types, and nobody is refused for it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self

from pymongo.errors import PyMongoError

from services import ids
from services.bus import Bus
from services.clock import now
from services.entries import Entry, MemberRemoved, MessageSent
from services.errors import Forbidden, Missing, NotFound
from services.feeds import Feeds
from services.last_seen import time_of
from services.log import Log, Logs
from services.membership import active_member, require_writer
from services.redis import Redis, RedisFailedError, Script, channel_of
from services.senders import Senders
from services.tasks import Tasks

LIFE_SECONDS: Final = 6.0
GAP_SECONDS: Final = 2.0  # between two times that somebody is heard to type in a conversation
MOST_MEMBERS: Final = 100  # of a conversation in which typing is told of
CHANNEL: Final = "parley:typing:"  # and a conversation: its newest set

_CONVERSATION = ("input", "conversationId")

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function text(number) return string.format('%.0f', number) end
local function typing()
  local set = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. text(now), '+inf', 'WITHSCORES')
  return table.concat({text(time[1] * 1000000 + time[2]), text(now), unpack(set)}, ' ')
end
"""
_BEGIN = Script(
    _NOW
    + """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', text(now))
local last = redis.call('ZSCORE', KEYS[2], ARGV[2])
if last and now - tonumber(last) < tonumber(ARGV[4]) then return redis.call('ZSCORE', KEYS[1], ARGV[2]) end
local ends = text(now + tonumber(ARGV[3]))
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', text(now - tonumber(ARGV[4])))
redis.call('ZADD', KEYS[2], text(now), ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
redis.call('ZADD', KEYS[1], ends, ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('SPUBLISH', ARGV[1], typing())
return ends
"""
)
_END = Script(
    _NOW
    + """
if redis.call('ZREM', KEYS[1], unpack(ARGV, 2)) > 0 then redis.call('SPUBLISH', ARGV[1], typing()) end
"""
)
_READ = Script(_NOW + "return typing()")
SCRIPTS: Final = (_BEGIN, _END, _READ)


@dataclass(frozen=True, slots=True)
class TypingState:
    """Who is typing in a conversation."""

    conversation_id: str
    user_ids: tuple[str, ...]
    expires_at: datetime  # the latest end, or when it was found that nobody is typing


@dataclass(frozen=True, slots=True)
class _Told:
    """What Redis says of a conversation: leases' ends by user, as of a time."""

    version: int
    now_ms: int
    ends_ms: dict[str, int]

    @classmethod
    def parsed(cls, data: bytes) -> "_Told":
        version, now_ms, *rest = data.decode().split(" ")
        pairs = zip(rest[::2], rest[1::2], strict=True)
        return cls(int(version), int(now_ms), {user_id: int(float(end)) for user_id, end in pairs})

    def state(self, conversation_id: str) -> TypingState:
        expires_at = time_of(max(self.ends_ms.values())) if self.ends_ms else now()
        return TypingState(conversation_id, tuple(self.ends_ms), expires_at)


class _Room:
    """A conversation of which somebody in this process wants to know who is typing."""

    def __init__(self, log: Log, watcher: Callable[[], None]) -> None:
        self.log = log
        self.watcher = watcher
        self.control = log.state.control  # the newest control entry that was looked at
        self.told = _Told(0, 0, {})
        self.state = self.told.state(log.conversation_id)
        self.timer: asyncio.TimerHandle | None = None  # until the next lease ends; None while nobody types


class TypingEnds:
    """Hears of log entries, and ends the typing of those who have said what they typed, or are no longer in."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def publish(self, conversation_id: str, entries: Sequence[Entry]) -> None:
        """Take note of new entries."""
        done = {entry.actor_id for entry in entries if isinstance(entry, MessageSent)}
        done |= {entry.user_id for entry in entries if isinstance(entry, MemberRemoved)}
        if done:
            keys, channel = _keys(conversation_id), channel_of(CHANNEL, conversation_id)
            self._redis.send("EVALSHA", _END.sha, len(keys), *keys, channel, *done)


class Typing:
    """Takes who is typing, and keeps the sets that are watched in this process."""

    def __init__(
        self,
        redis: Redis,
        bus: Bus,
        logs: Logs,
        feeds: Feeds,
        senders: Senders,
        *,
        life: float = LIFE_SECONDS,
        gap: float = GAP_SECONDS,
    ) -> None:
        self.on_changed: Callable[[str], None] = lambda _: None  # called with a conversation
        self.on_members_changed: Callable[[str], None] = lambda _: None  # likewise: somebody may have been removed
        self._redis = redis
        self._logs = logs
        self._bus = bus
        self._feeds = feeds
        self._senders = senders
        self._life_ms = int(life * 1_000)
        self._gap_ms = int(gap * 1_000)
        self._rooms: dict[str, _Room] = {}
        self._ahead_ms = 0.0  # by how much Redis's clock is before the event loop's
        self._is_other_clock = True  # whether that has to be found out anew
        self._missed = asyncio.Event()
        self._tasks = Tasks()
        bus.listen(CHANNEL, self._heard, self._missed.set)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Keep what is watched true until this ends."""
        self._tasks.spawn(self._keep_reading())
        try:
            yield self
        finally:
            await self._tasks.close()
            for room in self._rooms.values():
                if room.timer is not None:
                    room.timer.cancel()

    # ------------------------------------------------------------ who types

    async def set(self, user_id: str, conversation_id: str, *, typing: bool) -> datetime | None:
        """Say that somebody types, or no longer; return until when they are shown, None where they are not.

        Raises:
            NotFound: the user is not in such a conversation.
            Forbidden: the user is in it but may not write.
            PyMongoError: MongoDB did not answer, and this process knows nothing of the user in the conversation.
        """
        log = await self._logs.get(conversation_id) if ids.kind(conversation_id) == "cnv" else None
        if log is None:
            raise NotFound("There is no such conversation.", _CONVERSATION)
        try:
            if log.sequence:
                await log.refresh()
            await log.load_members([user_id])
        except PyMongoError:
            # What somebody types is no reason to wait for MongoDB, where this process knows whether they are in.
            if user_id not in log.state.members:
                raise
        conversation, member = active_member(log.state, user_id)
        if typing:
            require_writer(conversation, member, _CONVERSATION)
            if await self._is_blocked(user_id, conversation_id):
                raise Forbidden("You cannot write to this person.", _CONVERSATION)
        if conversation.member_count > MOST_MEMBERS:
            return None
        keys, channel = _keys(conversation_id), channel_of(CHANNEL, conversation_id)
        try:
            if not typing:
                await self._redis.run(_END, keys, channel, user_id)
                return None
            ends = await self._redis.run(
                _BEGIN,
                _keys(conversation_id),
                channel_of(CHANNEL, conversation_id),
                user_id,
                self._life_ms,
                self._gap_ms,
            )
        except RedisFailedError:
            return None
        return None if ends is None else time_of(int(float(ends)))

    async def _is_blocked(self, user_id: str, conversation_id: str) -> bool:
        try:
            (is_blocked,) = await self._senders.blocked(user_id, [conversation_id])
        except PyMongoError:
            return False  # what somebody types is no reason to wait for MongoDB
        return is_blocked

    async def now(self, conversation_id: str) -> TypingState:
        """Return who is typing."""
        try:
            told = await self._read(conversation_id)
        except RedisFailedError:
            told = _Told(0, 0, {})
        return told.state(conversation_id)

    # ------------------------------------------------------------ who wants to know

    async def watch(self, conversation_ids: Sequence[str]) -> None:
        """Begin to watch conversations that are not watched yet. Not to be cancelled, as `Feeds.watch`.

        Raises:
            PyMongoError: MongoDB did not answer; nothing is watched.
        """
        for conversation_id in conversation_ids:

            def look(conversation_id: str = conversation_id) -> None:
                self._look_at_members(conversation_id)

            log = await self._feeds.watch(conversation_id, look)
            self._rooms[conversation_id] = _Room(log, look)
        await self._bus.subscribe(CHANNEL, *conversation_ids)
        await self._read_again(conversation_ids)

    def unwatch(self, conversation_ids: Sequence[str]) -> None:
        """Watch these conversations no longer."""
        for conversation_id in conversation_ids:
            room = self._rooms.pop(conversation_id, None)
            if room is None:
                continue
            if room.timer is not None:
                room.timer.cancel()
            self._feeds.unwatch(room.log, room.watcher)
            self._tasks.spawn(self._unsubscribe(conversation_id))

    async def admit(self, viewer_id: str, conversation_id: str) -> None:
        """See that somebody may know it, in a conversation that is watched.

        Raises:
            Missing: there is no such conversation for this viewer.
            PyMongoError: MongoDB did not answer.
        """
        log = self._rooms[conversation_id].log
        if await log.member(viewer_id) is None:
            await log.catch_up()
        if await log.member(viewer_id) is None:
            raise Missing("There is no such conversation.")

    def may_see(self, conversation_id: str, viewer_id: str) -> bool:
        """Whether somebody who was admitted has not been removed."""
        return self._rooms[conversation_id].log.state.members.get(viewer_id) is not None

    def newest(self, conversation_id: str) -> TypingState:
        """Return who is typing in a conversation that is watched."""
        return self._rooms[conversation_id].state

    def present(self, conversation_id: str) -> TypingState | None:
        """Return the same for whoever comes; None while nobody types."""
        state = self.newest(conversation_id)
        return state if state.user_ids else None

    async def _unsubscribe(self, conversation_id: str) -> None:
        if conversation_id not in self._rooms:  # unless somebody came back before this ran
            await self._bus.unsubscribe(CHANNEL, conversation_id)

    def _look_at_members(self, conversation_id: str) -> None:
        room = self._rooms.get(conversation_id)
        if room is not None and room.control != room.log.state.control:
            room.control = room.log.state.control
            self.on_members_changed(conversation_id)

    # ------------------------------------------------------------ what is known

    def _heard(self, conversation_id: str, data: bytes) -> None:
        self._take(conversation_id, _Told.parsed(data))

    async def _read(self, conversation_id: str) -> _Told:
        return _Told.parsed(await self._redis.run(_READ, _keys(conversation_id)))

    async def _read_again(self, conversation_ids: Sequence[str]) -> None:
        try:
            found = await asyncio.gather(*(self._read(conversation_id) for conversation_id in conversation_ids))
        except RedisFailedError:
            return  # what is shown ends by itself
        for conversation_id, told in zip(conversation_ids, found, strict=True):
            self._take(conversation_id, told)

    async def _keep_reading(self) -> None:
        """Read everything again whenever messages may have been missed."""
        while True:
            await self._missed.wait()
            self._missed.clear()
            self._is_other_clock = True  # perhaps
            await self._read_again(tuple(self._rooms))

    def _take(self, conversation_id: str, told: _Told) -> None:
        """Take a newer set; what is told late does not last longer for it."""
        ahead_ms = told.now_ms - _time() * 1_000
        if self._is_other_clock or ahead_ms > self._ahead_ms:
            self._ahead_ms, self._is_other_clock = ahead_ms, False
        room = self._rooms.get(conversation_id)
        if room is not None and told.version > room.told.version:
            room.told = told
            self._show(room)

    def _show(self, room: _Room) -> None:
        """Show whose lease has not ended, and look again when the next one ends."""
        if room.timer is not None:
            room.timer.cancel()
            room.timer = None
        now_ms = _time() * 1_000 + self._ahead_ms
        left = {user_id: end for user_id, end in room.told.ends_ms.items() if end > now_ms}
        room.told = _Told(room.told.version, room.told.now_ms, left)
        if left:
            seconds = (min(left.values()) - now_ms) / 1_000
            room.timer = asyncio.get_running_loop().call_later(seconds + 0.001, self._show, room)
        state = room.told.state(room.log.conversation_id)
        if state != room.state and (state.user_ids or room.state.user_ids):
            room.state = state
            self.on_changed(room.log.conversation_id)


def _keys(conversation_id: str) -> list[str]:
    return [f"parley:typing:now:{{{conversation_id}}}", f"parley:typing:heard:{{{conversation_id}}}"]


def _time() -> float:
    return asyncio.get_running_loop().time()
