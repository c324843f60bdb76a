"""The nodes of a Redis Cluster: which of them has which keys, and a line to each that has any.

Keys lie in slots by what stands between their first braces, and a node has ranges of slots. Which has which is asked of
nodes that are known, again when a line was lost or a node sends a command elsewhere, and now and then. What nodes say
that are cut off from most of the others is not believed, and neither is what is older than what is known.
"""

import asyncio
import hashlib
import random
from binascii import crc_hqx
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import structlog
from redis.exceptions import AskError, ClusterDownError, MovedError, RedisError

from services.failures import described
from services.redis_line import (
    COMMAND_SECONDS,
    FAILURES,
    RECONNECT_SECONDS,
    Address,
    Argument,
    Command,
    Line,
    RedisFailedError,
    Servers,
    refuse_if_down,
)
from services.tasks import Tasks, patience

SLOTS: Final = 16_384
LOOK_SECONDS: Final = 10.0  # between two looks at who has what, while all is well
ASKED: Final = 3  # nodes in one look
HOPS: Final = 3  # how often a command may be sent elsewhere
SCRIPT_COMMANDS: Final = frozenset({"EVALSHA", "EVAL"})

_logger = structlog.get_logger()


@dataclass(slots=True, eq=False)
class _Redirected(Command):
    hops: int


@dataclass(frozen=True, slots=True)
class SlotMap:
    """Who has which slots, as one node says."""

    epoch: int  # grows whenever another node takes over
    ranges: tuple[tuple[int, int, Address], ...]  # first and last slot, and who has them


def slot_of(key: Argument) -> int:
    """Return the slot that a key or a sharded channel lies in (CRC16 of its tag, or of the whole where it has none)."""
    name = key if isinstance(key, bytes) else str(key).encode()
    start = name.find(b"{") + 1
    if start and (end := name.find(b"}", start)) > start:
        name = name[start:end]
    return crc_hqx(name, 0) % SLOTS


def slot_of_command(arguments: Sequence[Argument]) -> int:
    """Return the slot of a command: its first argument is its key, or it is a script with keys, all in one slot.

    Commands without arguments are for slot 0: so TIME is everywhere that of the same node.
    """
    if arguments[0] in SCRIPT_COMMANDS:
        return slot_of(arguments[3]) if arguments[2] else 0
    return slot_of(arguments[1]) if len(arguments) > 1 else 0


class Cluster:
    """The lines to all nodes that have slots."""

    def __init__(
        self, servers: Servers, new_line: Callable[[Address], Line], *, on_changed: Callable[[], None]
    ) -> None:
        """Prepare.

        Args:
            servers: Where to ask first.
            new_line: Makes a line to a node.
            on_changed: Called when other nodes have slots, or they have others than before.
        """
        self.lines: dict[Address, Line] = {}
        self._servers = servers
        self._new_line = new_line
        self._on_changed = on_changed
        self._owners: list[Line | None] = [None] * SLOTS
        self._keepers: dict[Address, asyncio.Task[None]] = {}
        self._epoch = -1  # of the newest map that was taken
        self._look_now = asyncio.Event()
        self._tasks = Tasks()

    async def keep_connected(self) -> None:
        """Follow the cluster for ever."""
        pause, longest = RECONNECT_SECONDS
        try:
            while True:
                self._look_now.clear()
                try:
                    found = await self._ask()
                    if found is not None:
                        self._take(found)
                except Exception:  # whatever it was, a process must not lose its way
                    _logger.exception("redis.map_failed")
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS if self.is_whole else pause):
                        await self._look_now.wait()
                # Where somebody else has to take over, asking all the time does not hurry them.
                pause = RECONNECT_SECONDS[0] if self.is_whole else min(pause * 2, longest)
                await asyncio.sleep(RECONNECT_SECONDS[0])
        finally:
            await self._tasks.close()

    @property
    def is_whole(self) -> bool:
        """Whether all slots are somebody's, to whom there is a connection."""
        return bool(self.lines) and None not in self._owners and all(line.up.is_set() for line in self.lines.values())

    @property
    def run_id(self) -> str | None:
        """What stands for all nodes as they run now; None where one is away."""
        if not self.is_whole:
            return None
        runs = sorted(line.run_id or "" for line in self.lines.values())
        return hashlib.sha1("".join(runs).encode()).hexdigest()  # noqa: S324  # to be short

    def line_of(self, slot: int) -> Line | None:
        """Return the line to the node that has a slot; None where nobody is known to."""
        return self._owners[slot]

    def look_again(self) -> None:
        """Ask soon who has what."""
        self._look_now.set()

    def move(self, moved: MovedError, line: Line) -> Line:
        """Take note that a slot is another node's, as the one of this line says; return the line to the other."""
        owner = self._line_to(self._address(moved, line))
        self.look_again()
        if self._owners[moved.slot_id] is not owner:
            self._owners[moved.slot_id] = owner
            self._on_changed()
        return owner

    def redirect(self, line: Line, redirected: Sequence[tuple[Command, AskError]]) -> None:
        """Send commands where they belong that the node of this line did not run, before all that come after them."""
        again: list[Command] = []
        for command, elsewhere in redirected:
            hops = command.hops + 1 if isinstance(command, _Redirected) else 1
            follower = _Redirected(command.arguments, command.reply, hops)
            if hops > HOPS:
                command.fail(repr(elsewhere))
            elif isinstance(elsewhere, MovedError):
                self.move(elsewhere, line)
                again.append(follower)
            else:  # a slot that is being moved: the key is there already, and all others are still here
                target = self._line_to(self._address(elsewhere, line))
                target.give(Command(("ASKING",), None))
                _give(target, follower)
        if again:
            self._give_again([*again, *line.take_back()])

    def _give_again(self, commands: Sequence[Command]) -> None:
        for command in commands:
            _give(self.line_of(slot_of_command(command.arguments)), command)

    def _address(self, elsewhere: AskError, line: Line) -> Address:
        assert line.node is not None  # nodes have addresses
        return Address(elsewhere.host or line.node.host, elsewhere.port)

    def _line_to(self, address: Address) -> Line:
        line = self.lines.get(address)
        if line is None:
            line = self.lines[address] = self._new_line(address)
            self._keepers[address] = self._tasks.spawn(line.keep_connected())
        return line

    # ------------------------------------------------------------ who has what

    def _take(self, found: SlotMap) -> None:
        has_line = any(line.up.is_set() for line in self.lines.values())
        if found.epoch < self._epoch and has_line:
            return
        self._epoch = found.epoch
        owners: list[Line | None] = [None] * SLOTS
        for first, last, address in found.ranges:
            owners[first : last + 1] = [self._line_to(address)] * (last + 1 - first)
        gone = self.lines.keys() - {address for _, _, address in found.ranges}
        if owners == self._owners and not gone:
            return
        _logger.info("redis.map", nodes=len(self.lines) - len(gone), gone=sorted(map(str, gone)))
        self._owners = owners
        unsent: list[Command] = []
        for address in gone:
            unsent += self.lines.pop(address).take_back()
            self._keepers.pop(address).cancel()
        self._give_again(unsent)
        self._on_changed()

    async def _ask(self) -> SlotMap | None:
        """Return who has what, as the nodes say that are asked and know most; None where none does."""
        lines = [line for line in self.lines.values() if line.up.is_set()]
        answers = await asyncio.gather(*map(_map_by, random.sample(lines, min(ASKED, len(lines)))))
        found = [answer for answer in answers if answer is not None]
        if not found:
            known = [*self._servers.addresses, *self.lines]
            random.shuffle(known)
            for address in known[:ASKED]:
                answer = await self._ask_anew(address)
                if answer is not None:
                    return answer
        return max(found, key=lambda each: each.epoch, default=None)

    async def _ask_anew(self, address: Address) -> SlotMap | None:
        connection = self._servers.connection(address)
        try:
            async with patience(COMMAND_SECONDS * 2):
                await connection.connect()
                await connection.send_command("CLUSTER", "INFO")
                info = await connection.read_response()
                await connection.send_command("CLUSTER", "SLOTS")
                return _map_of(info, await connection.read_response(), address)
        except FAILURES as error:
            _logger.warning("redis.not_asked", node=str(address), error=described(error))
            return None
        finally:
            await connection.disconnect(nowait=True)


def _give(line: Line | None, command: Command) -> None:
    if line is None or not line.give(command):
        command.fail("there is no connection")


async def _map_by(line: Line) -> SlotMap | None:
    assert line.node is not None  # nodes have addresses
    try:
        info, ranges = await asyncio.gather(line.call("CLUSTER", "INFO"), line.call("CLUSTER", "SLOTS"))
        return _map_of(info, ranges, line.node)
    except (RedisFailedError, RedisError):
        return None


def _map_of(info: bytes, ranges: list[Any], node: Address) -> SlotMap:
    """Return what a node has said.

    Raises:
        ClusterDownError: it has no say.
    """
    text = info.decode()
    refuse_if_down(text)
    if not ranges:
        raise ClusterDownError("no node has slots")
    epoch = next(line for line in text.splitlines() if line.startswith("cluster_current_epoch:"))
    return SlotMap(
        int(epoch.partition(":")[2]),
        tuple((first, last, _endpoint(owner, node)) for first, last, owner, *_ in ranges),
    )


def _endpoint(owner: list[Any], node: Address) -> Address:
    """Return where a node is; one that does not name its host is where the one is that was asked."""
    host = owner[0].decode() if owner[0] else ""
    return Address(host if host not in {"", "?"} else node.host, owner[1])
