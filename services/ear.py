"""One connection that listens at one server, and is replaced when it breaks, or is silent although somebody speaks."""

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Any, Final

import structlog
from redis.exceptions import MovedError

from services.failures import described
from services.redis_line import COMMAND_SECONDS, FAILURES, RECONNECT_SECONDS, Command, Line
from services.tasks import Tasks, patience

SILENCE_SECONDS: Final = 1.0  # without a message for so long, one is sent to this ear; twice, and the line is dead

# By a script, as most messages come: a node that is cut off from most of the others refuses it, as it does commands.
_PROBE: Final = "redis.call('SPUBLISH', KEYS[1], '')"

_logger = structlog.get_logger()


class Ear:
    """This process's ear on one server; `Bus` says which channels are there."""

    def __init__(
        self,
        line: Line,
        *,
        on_message: Callable[[str, bytes], None],
        on_changed: Callable[[], None],
        on_moved: Callable[[MovedError, Line], None],
    ) -> None:
        """Prepare.

        Args:
            line: How the same server is spoken to. There is no ear without a voice: what takes no messages brings none.
            on_message: Called with each message and its channel.
            on_changed: Called whenever `is_up` has become another.
            on_moved: Called when the server says that a channel is another one's.
        """
        self.line = line
        self.is_up = False  # whether every channel is subscribed and confirmed
        self.probe: str | None = None  # a channel that nobody else has; None while none is known to be at this server
        self._on_message = on_message
        self._on_changed = on_changed
        self._on_moved = on_moved
        self._listening: Any = None  # the connection while it is up
        self._channels: dict[str, asyncio.Event] = {}  # set when the server has confirmed it
        self._unconfirmed: dict[str, deque[asyncio.Event]] = {}  # by channel, in the order of the commands
        self._leaving = Counter[str]()  # channels of which a confirmation is to come that they are heard no more
        self._tasks = Tasks()

    async def keep_listening(self) -> None:
        """Listen for ever."""
        pause, longest = RECONNECT_SECONDS
        try:
            while True:
                await self.line.up.wait()
                was_up = False
                try:
                    await self._listen()
                except FAILURES as error:
                    was_up = self.is_up
                    _logger.warning("bus.lost", node=str(self.line.node or ""), error=described(error), was_up=was_up)
                except Exception:  # whatever it was, a process must not stay deaf
                    _logger.exception("bus.failed")
                finally:
                    self.line.give(Command(("PING",), None))  # does it take anything? a line that is idle does not see
                    self._listening = None
                    self._change(is_up=False)
                pause = RECONNECT_SECONDS[0] if was_up else min(pause * 2, longest)
                await asyncio.sleep(pause)
        finally:
            await self._tasks.close()

    def hang_up(self) -> None:
        """Begin anew."""
        if self._listening is not None:
            self._tasks.spawn(self._listening.disconnect(nowait=True))

    async def add(self, channels: dict[str, asyncio.Event]) -> None:
        """Listen to further channels; their events are set when that is confirmed."""
        self._channels |= channels
        if self._listening is not None:
            await self._subscribe(channels)

    async def drop(self, channel: str) -> None:
        """Listen to a channel no longer."""
        if self._channels.pop(channel, None) is not None and self._listening is not None:
            self._leaving[channel] += 1
            await self._send(("SUNSUBSCRIBE", channel))

    def give_up(self, channel: str) -> None:
        """Expect nothing more of a channel that is another server's: this one ends it by itself."""
        self._channels.pop(channel, None)
        if self._unconfirmed.pop(channel, None) is not None:
            self._settle()

    def renew(self) -> None:
        """Take note that channels have come from another server: something may have been missed until all are there."""
        self._change(is_up=False)

    async def _subscribe(self, channels: Iterable[str]) -> None:
        for channel in channels:
            self._unconfirmed.setdefault(channel, deque()).append(self._channels[channel])
        # A command for each: channels of one command would have to be in one slot of a cluster.
        await self._send(*(("SSUBSCRIBE", channel) for channel in channels))

    async def _send(self, *commands: tuple[str, str]) -> None:
        with contextlib.suppress(*FAILURES):  # the listening task sees the same failure and starts anew
            await self._listening.send_packed_command(self._listening.pack_commands(commands), check_health=False)

    async def _listen(self) -> None:
        connection = self.line.connection()
        try:
            async with patience(COMMAND_SECONDS * 2):
                await connection.connect()
            self._unconfirmed.clear()
            self._leaving.clear()
            for confirmed in self._channels.values():
                confirmed.clear()
            self._listening = connection
            await self._subscribe(tuple(self._channels))
            probed = False
            while True:
                try:
                    message = await connection.read_response(timeout=SILENCE_SECONDS, disconnect_on_error=False)
                except MovedError as moved:
                    self._on_moved(moved, self.line)
                    continue
                if message is not None:
                    self._take(message)
                elif probed:
                    raise TimeoutError("nothing is heard any more")
                elif self.probe is not None:
                    self.line.give(Command(("EVAL", _PROBE, 1, self.probe), None))
                probed = message is None
        finally:
            await connection.disconnect(nowait=True)

    def _take(self, message: list[Any]) -> None:
        kind, channel = message[0], message[1].decode()
        if kind == b"smessage":
            if channel != self.probe:
                self._on_message(channel, message[2])
        elif kind == b"ssubscribe":
            waiting = self._unconfirmed.get(channel)
            if waiting:
                waiting.popleft().set()
                if not waiting:
                    del self._unconfirmed[channel]
            self._settle()
        elif self._leaving[channel] > 0:
            self._leaving[channel] -= 1
        elif channel in self._channels:
            # Its slot has gone to another server: to ask for it again is to hear to which.
            self._channels[channel].clear()
            self._tasks.spawn(self._subscribe([channel]))

    def _settle(self) -> None:
        """See whether all is confirmed that was asked for."""
        if not self._unconfirmed:
            self._change(is_up=True)

    def _change(self, *, is_up: bool) -> None:
        if is_up is not self.is_up:
            self.is_up = is_up
            self._on_changed()
