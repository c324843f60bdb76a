"""Redis as Parley uses it: one server, or a Redis Cluster; one connection to each for all commands of the process.

Which of both it is the server says. Nothing is sent twice and nothing waits for Redis to come back: that is seen to on
each connection, by `services/redis_line.py`. A cluster is there when all of its nodes are: what hangs on all keys hangs
on all nodes, what hangs on one key hangs on the node that has it. Decision 26 has the reasons.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

import structlog
from redis.exceptions import AskError, MovedError

from services.redis_cluster import Cluster, slot_of, slot_of_command
from services.redis_line import (
    Address,
    Argument,
    ClusterFoundError,
    Command,
    Line,
    RedisFailedError,
    Script,
    Servers,
)
from services.tasks import Tasks

__all__ = ["Redis", "RedisFailedError", "Script", "channel_of"]

_logger = structlog.get_logger()


def channel_of(prefix: str, name: str) -> str:
    """Return a channel: it is at the server that has the keys with this name as their tag."""
    return f"{prefix}{{{name}}}"


class Redis:
    """This process's voice to Redis."""

    def __init__(self, redis_url: str, scripts: Sequence[Script] = ()) -> None:
        self.up = asyncio.Event()  # set while there is a connection to every node
        # Which run of which servers the connections are to; None while one is missing. A server that was started again,
        # or took over from another, may have forgotten the newest that was told.
        self.run_id: str | None = None
        self.on_lost: list[Callable[[], None]] = []  # called whenever a connection was lost, or leads to another server
        self.on_up: list[Callable[[], None]] = []  # called whenever there is one again
        self.on_moved: list[Callable[[], None]] = []  # called whenever other nodes have keys than before
        self._scripts = scripts
        self._servers = Servers.of(redis_url)
        self._cluster = Cluster(self._servers, self._new_line, on_changed=self._map_changed)
        # The line to a server that is alone; None in a cluster, as several addresses are.
        self._only = self._new_line(None) if len(self._servers.addresses) <= 1 else None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Keep the connections until this ends."""
        async with Tasks() as tasks:
            tasks.spawn(self._keep_connected())
            try:
                yield self
            finally:
                self.on_lost.clear()  # this is no loss

    async def _keep_connected(self) -> None:
        if self._only is not None:
            try:
                await self._only.keep_connected()
            except ClusterFoundError:
                _logger.info("redis.cluster")
                self._only = None
        await self._cluster.keep_connected()

    @property
    def lines(self) -> list[Line]:
        """The lines to all servers that have keys."""
        return list(self._cluster.lines.values()) if self._only is None else [self._only]

    def line_of(self, key: str) -> Line | None:
        """Return the line to the server that has a key or a channel; None where that is not known."""
        return self._cluster.line_of(slot_of(key)) if self._only is None else self._only

    def run_id_of(self, key: str) -> str | None:
        """Return which run of which server has a key; None while there is no connection to it."""
        if self._only is not None:
            return self.run_id
        line = self.line_of(key)
        return None if line is None else line.run_id

    # ------------------------------------------------------------ commands

    async def ping(self) -> None:
        """Ask every server for a sign of life.

        Raises:
            RedisFailedError: there was none in time.
        """
        if self._only is None and not self._cluster.is_whole:
            raise RedisFailedError("a node is missing")
        await asyncio.gather(*(line.call("PING") for line in self.lines))

    async def call(self, *arguments: Argument) -> Any:
        """Run a command whose first argument is its key or, with no argument, one for any server; return its reply.

        That is None, bytes, a number, or a list of such. All keys of a command have the same tag in braces.

        Raises:
            RedisFailedError: it did not succeed, or nobody knows.
        """
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if not self._give(Command(arguments, reply)):
            raise RedisFailedError("there is no connection")
        return await reply

    async def run(self, script: Script, keys: Sequence[str], *arguments: Argument) -> Any:
        """Run one of the scripts that this was made with; raises as `call`."""
        return await self.call("EVALSHA", script.sha, len(keys), *keys, *arguments)

    def send(self, *arguments: Argument) -> None:
        """Run a command soon, in the order of the calls; nobody hears whether it came to that."""
        self._give(Command(arguments, None))

    def publish(self, channel: str, data: bytes) -> None:
        """Send to everybody who listens, soon, and in the order of the calls."""
        self._give(Command(("SPUBLISH", channel, data), None))

    def _give(self, command: Command) -> bool:
        line = self._only
        if line is None:
            line = self._cluster.line_of(slot_of_command(command.arguments))
            if line is None:
                return False
        return line.give(command)

    # ------------------------------------------------------------ what becomes of servers

    def _new_line(self, node: Address | None) -> Line:
        return Line(
            self._servers,
            self._scripts,
            node=node,
            on_up=self._line_up,
            on_lost=self._line_lost,
            on_redirected=self._redirected,
        )

    def moved(self, moved: MovedError, line: Line) -> None:
        """Take note of what the node of a line has said of another one."""
        self._cluster.move(moved, line)

    def _redirected(self, line: Line, redirected: list[tuple[Command, AskError]]) -> None:
        self._cluster.redirect(line, redirected)

    def _line_up(self) -> None:
        self._look()
        for on_up in self.on_up:
            on_up()

    def _line_lost(self) -> None:
        self._look()
        self._cluster.look_again()
        for on_lost in self.on_lost:
            on_lost()

    def _map_changed(self) -> None:
        before = self.run_id
        self._look()
        if before is not None and self.run_id != before:
            for on_lost in self.on_lost:
                on_lost()
        for on_moved in self.on_moved:
            on_moved()

    def _look(self) -> None:
        """See whether every server is there, and which they are."""
        self.run_id = self._cluster.run_id if self._only is None else self._only.run_id
        if self.run_id is None:
            self.up.clear()
        else:
            self.up.set()
