"""Messages between processes over Redis pub/sub: at most once, so whoever listens compares with the log.

A channel is sharded: it is at the server that has the keys with the same tag in braces. At each server one connection
listens for the whole process (`services/ear.py`). Where that breaks, or is silent although this process speaks on it,
and where channels go to another server, they are subscribed again, and the listeners are told, because they may have
missed something. Decision 2 says why this is not broadcaster.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Final, Self

import structlog
from pymongo.errors import PyMongoError

from services.ear import Ear
from services.failures import described
from services.redis import Redis, channel_of
from services.redis_line import COMMAND_SECONDS, RECONNECT_SECONDS, Line
from services.tasks import Tasks, patience

PROBES: Final = 10_000  # names that are tried to find one at a server: of a hundred servers each has many of them

_LOST: Final = ("parley:lost:", "all")  # what somebody says to all whose messages may not have come

_logger = structlog.get_logger()


class Bus:
    """This process's ear on Redis."""

    def __init__(self, redis: Redis, instance: str) -> None:
        self._redis = redis
        self._instance = instance
        self._ears: dict[Line, tuple[Ear, asyncio.Task[None]]] = {}
        self._channels: dict[str, asyncio.Event] = {channel_of(*_LOST): asyncio.Event()}  # set when confirmed
        self._homes: dict[str, Ear] = {}  # where a channel is listened to; left out where nobody knows
        self._on_message: dict[str, Callable[[str, bytes], None]] = {}  # by what channels begin with
        self._on_changed: list[Callable[[], None]] = []
        self._moved = asyncio.Event()
        self.up = asyncio.Event()  # set while every channel is subscribed and confirmed
        self._tasks = Tasks()
        redis.on_lost.append(self._voice_lost)
        redis.on_moved.append(self._moved.set)
        redis.on_up.append(lambda: self.publish(*_LOST, b""))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Listen until this ends."""
        self._tasks.spawn(self._keep_homes())
        try:
            yield self
        finally:
            await self._tasks.close()

    def publish(self, prefix: str, name: str, data: bytes) -> None:
        """Send to every process that listens, soon, and in the order of the calls."""
        self._redis.publish(channel_of(prefix, name), data)

    def _voice_lost(self) -> None:
        """Begin anew: what takes no messages brings none either."""
        for line, (ear, _) in self._ears.items():
            if not line.up.is_set():
                ear.hang_up()

    def listen(self, prefix: str, on_message: Callable[[str, bytes], None], on_changed: Callable[[], None]) -> None:
        """Hand on what comes on channels that are a prefix and a name.

        Args:
            prefix: How the channels begin, up to and including the last colon.
            on_message: Called with the name of a channel and each message.
            on_changed: Called whenever `up` was set or cleared.
        """
        self._on_message[prefix] = on_message
        self._on_changed.append(on_changed)

    async def keep_comparing(
        self,
        name: str,
        compare: Callable[[], Awaitable[None]],
        asked: asyncio.Event,
        *,
        seconds: float,
        away_seconds: float,
    ) -> None:
        """Compare with MongoDB what messages may have missed, for ever: whenever it is asked for, and now and then.

        Args:
            name: What the log calls it.
            compare: Does it once; what fails is logged, and tried again the next time.
            asked: Set when it should be done at once.
            seconds: The longest time between two comparisons.
            away_seconds: The same while Redis is away.
        """
        while True:
            try:
                async with asyncio.timeout(seconds if self.up.is_set() else away_seconds):
                    await asked.wait()
            except TimeoutError:
                pass
            asked.clear()
            try:
                await compare()
            except PyMongoError as error:
                _logger.warning("bus.not_compared", what=name, error=described(error))
            except Exception:  # whatever it was, the next comparison may find what this one did not
                _logger.exception("bus.comparison_failed", what=name)

    def _tell_changed(self) -> None:
        for on_changed in self._on_changed:
            on_changed()

    async def subscribe(self, prefix: str, *names: str) -> bool:
        """Listen to channels; return whether Redis has confirmed all of them.

        False means that Redis, or a server that has one of them, is away: it is subscribed as soon as that is back, and
        the listeners are told then.
        """
        channels = [channel_of(prefix, name) for name in names]
        fresh = {channel: asyncio.Event() for channel in channels if channel not in self._channels}
        self._channels |= fresh
        confirmed = [self._channels[channel] for channel in channels]
        await self._settle_in(fresh)
        try:
            async with patience(COMMAND_SECONDS):
                for event in confirmed:
                    await event.wait()
        except TimeoutError:
            return False
        return True

    async def unsubscribe(self, prefix: str, name: str) -> None:
        """Listen no longer."""
        channel = channel_of(prefix, name)
        self._channels.pop(channel, None)
        home = self._homes.pop(channel, None)
        if home is not None:
            await home.drop(channel)

    # ------------------------------------------------------------ where channels are

    async def _keep_homes(self) -> None:
        """Listen to every channel at the server that has it, for ever."""
        while True:
            self._moved.clear()
            try:
                await self._find_homes()
            except Exception:  # whatever it was, a process must not stay deaf
                _logger.exception("bus.no_homes")
            await self._moved.wait()
            await asyncio.sleep(RECONNECT_SECONDS[0])  # servers that do not agree would send us to and fro

    async def _find_homes(self) -> None:
        lines = self._redis.lines
        for line in self._ears.keys() - set(lines):
            _, task = self._ears.pop(line)
            task.cancel()
        for line in lines:
            if line not in self._ears:
                ear = Ear(line, on_message=self._take, on_changed=self._look, on_moved=self._redis.moved)
                self._ears[line] = ear, self._tasks.spawn(ear.keep_listening())
        strays = {
            channel: event
            for channel, event in self._channels.items()
            if (home := self._homes.get(channel)) is None or home is not self._ear_of(channel)
        }
        for channel, event in strays.items():
            event.clear()
            if (home := self._homes.pop(channel, None)) is not None:
                home.give_up(channel)
            if (owner := self._ear_of(channel)) is not None:
                owner.renew()
        await self._settle_in(strays)
        for ear, _ in tuple(self._ears.values()):
            await self._have_probe(ear)
        self._look()

    async def _settle_in(self, channels: Iterable[str]) -> None:
        """Listen to channels that are at home nowhere yet, unless they have been given up meanwhile."""
        by_ear: dict[Ear, dict[str, asyncio.Event]] = {}
        for channel in channels:
            ear = self._ear_of(channel)
            if ear is not None and channel in self._channels and channel not in self._homes:
                self._homes[channel] = ear
                by_ear.setdefault(ear, {})[channel] = self._channels[channel]
        for ear, found in by_ear.items():
            await ear.add(found)

    async def _have_probe(self, ear: Ear) -> None:
        """See to it that there is a channel at a server on which this process can speak to its ear there."""
        if ear.probe is not None and self._redis.line_of(ear.probe) is ear.line:
            return
        if ear.probe is not None:
            ear.give_up(ear.probe)
        names = (channel_of("parley:probe:", f"{self._instance}.{number}") for number in range(PROBES))
        ear.probe = next((name for name in names if self._redis.line_of(name) is ear.line), None)
        if ear.probe is not None:
            await ear.add({ear.probe: asyncio.Event()})

    def _ear_of(self, channel: str) -> Ear | None:
        line = self._redis.line_of(channel)
        found = None if line is None else self._ears.get(line)
        return None if found is None else found[0]

    def _take(self, channel: str, data: bytes) -> None:
        prefix, _, name = channel.partition("{")
        if prefix == _LOST[0]:
            self._tell_changed()
        elif channel in self._channels:
            self._on_message[prefix](name[:-1], data)

    def _look(self) -> None:
        """See whether every server is listened to."""
        is_up = (
            len(self._homes) == len(self._channels)
            and bool(self._ears)
            and all(ear.is_up for ear, _ in self._ears.values())
        )
        if is_up is not self.up.is_set():
            if is_up:
                self.up.set()
            else:
                self.up.clear()
            self._tell_changed()
