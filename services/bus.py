"""Messages between processes over Redis pub/sub: at most once, so whoever listens compares with the log.

One connection listens for the whole process, and one task owns it: a connection that breaks, or that stays silent
although this process speaks on it, is replaced, its channels are subscribed again, and the listeners are told, because
they may have missed something. Decision 2 says why this is not broadcaster.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

import structlog
from pymongo.errors import PyMongoError

from services.failures import described
from services.redis import COMMAND_SECONDS, FAILURES, RECONNECT_SECONDS, Redis, connection_to
from services.tasks import Tasks, patience

_LOST = "parley:lost:"  # what somebody says whose messages may not have come

SILENCE_SECONDS = 1.0  # without a message for so long, the process sends one to itself; twice, and the line is dead

_logger = structlog.get_logger()


class Bus:
    """This process's ear on Redis."""

    def __init__(self, redis: Redis, redis_url: str, instance: str) -> None:
        self._redis = redis
        self._url = redis_url
        self._own_channel = f"parley:probe:{instance}"
        self._listening: Any = None  # the connection while it is up; None while Redis is away
        self._channels: dict[str, asyncio.Event] = {self._own_channel: asyncio.Event(), _LOST: asyncio.Event()}
        self._unconfirmed: dict[str, deque[asyncio.Event]] = {}  # by channel, in the order of the commands
        self._on_message: dict[str, Callable[[str, bytes], None]] = {}  # by what channels begin with
        self._on_changed: list[Callable[[], None]] = []
        self.up = asyncio.Event()  # set while every channel is subscribed and confirmed
        self._tasks = Tasks()
        redis.on_lost.append(self._voice_lost)
        redis.on_up.append(lambda: self.publish(_LOST, b""))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Listen until this ends."""
        self._tasks.spawn(self._keep_listening())
        try:
            yield self
        finally:
            await self._tasks.close()

    def publish(self, channel: str, data: bytes) -> None:
        """Send to every process that listens, soon, and in the order of the calls."""
        self._redis.send("PUBLISH", channel, data)

    def _voice_lost(self) -> None:
        """Begin anew: what takes no messages brings none either."""
        if self._listening is not None:
            self._tasks.spawn(self._listening.disconnect(nowait=True))

    def listen(self, prefix: str, on_message: Callable[[str, bytes], None], on_changed: Callable[[], None]) -> None:
        """Hand on what comes on channels that are a prefix and a name without colons.

        Args:
            prefix: How the channels begin, up to and including the last colon.
            on_message: Called with each message and its channel.
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

    async def subscribe(self, channel: str) -> bool:
        """Listen to a channel; return whether Redis has confirmed it.

        False means that Redis is away: the channel is subscribed as soon as it is back, and the listeners
        are told then.
        """
        return await self.subscribe_all([channel])

    async def subscribe_all(self, channels: Sequence[str]) -> bool:
        """Listen to some channels by one command, as `subscribe` does; return whether Redis has confirmed all."""
        fresh = {channel: asyncio.Event() for channel in channels if channel not in self._channels}
        self._channels |= fresh
        confirmed = [self._channels[channel] for channel in channels]
        if fresh and self._listening is not None:
            await self._command("SUBSCRIBE", *fresh)
        try:
            async with patience(COMMAND_SECONDS):
                for event in confirmed:
                    await event.wait()
        except TimeoutError:
            return False
        return True

    async def unsubscribe(self, channel: str) -> None:
        """Listen no longer."""
        if self._channels.pop(channel, None) is not None and self._listening is not None:
            await self._command("UNSUBSCRIBE", channel)

    async def _command(self, verb: str, *channels: str) -> None:
        if verb == "SUBSCRIBE":
            for channel in channels:
                self._unconfirmed.setdefault(channel, deque()).append(self._channels[channel])
        with contextlib.suppress(*FAILURES):  # the listening task sees the same failure and starts anew
            await self._listening.send_command(verb, *channels)

    async def _keep_listening(self) -> None:
        pause, longest = RECONNECT_SECONDS
        while True:
            try:
                await self._listen()
            except FAILURES as error:
                _logger.warning("bus.lost", error=described(error), was_up=self.up.is_set())
            except Exception:  # whatever it was, a process must not stay deaf
                _logger.exception("bus.failed")
            finally:
                pause = RECONNECT_SECONDS[0] if self.up.is_set() else min(pause * 2, longest)
                self._listening = None
                self.up.clear()
                self._tell_changed()
            await asyncio.sleep(pause)

    async def _listen(self) -> None:
        connection = connection_to(self._url)
        try:
            async with patience(COMMAND_SECONDS * 2):
                await connection.connect()
            self._unconfirmed.clear()
            for confirmed in self._channels.values():
                confirmed.clear()
            self._listening = connection
            await self._command("SUBSCRIBE", *self._channels)
            probed = False
            while True:
                message = await connection.read_response(timeout=SILENCE_SECONDS, disconnect_on_error=False)
                if message is not None:
                    self._take(message)
                elif probed:
                    raise TimeoutError("nothing is heard any more")
                else:
                    self.publish(self._own_channel, b"")
                probed = message is None
        finally:
            await connection.disconnect(nowait=True)

    def _take(self, message: list[Any]) -> None:
        kind, channel = message[0], message[1].decode()
        if kind == b"message":
            if channel == _LOST:
                self._tell_changed()
            elif channel != self._own_channel:
                self._on_message[channel[: channel.rindex(":") + 1]](channel, message[2])
        elif kind == b"subscribe":
            waiting = self._unconfirmed.get(channel)
            if waiting:
                waiting.popleft().set()
                if not waiting:
                    del self._unconfirmed[channel]
            if not self.up.is_set() and not self._unconfirmed:
                self.up.set()
                self._tell_changed()
