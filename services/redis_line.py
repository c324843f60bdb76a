"""One connection to one server, on which commands that are given at once share a round trip.

Nothing is sent twice and nothing waits for the server to come back: what was given when the connection broke has
failed, and what is given while there is none fails at once.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit, urlunsplit

import structlog
from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AskError, ClusterDownError, NoScriptError, RedisError, ResponseError

from services.failures import described
from services.tasks import patience

COMMAND_SECONDS: Final = 0.25
OUTGOING: Final = 10_000  # commands that wait to be sent; what comes on top of them fails
RUN: Final = 200  # commands in one round trip
RECONNECT_SECONDS: Final = (0.05, 1.0)  # the first pause and the longest
FAILURES: Final = (RedisError, OSError, TimeoutError, asyncio.IncompleteReadError)
PORT: Final = 6379  # where an address names none

_logger = structlog.get_logger()

type Argument = str | bytes | int


class RedisFailedError(Exception):
    """Redis refused a command, or did not answer: then it may have run it or not."""


class ClusterFoundError(Exception):
    """The server is a node of a cluster, and was taken for one that is alone."""


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script, which Redis runs as one step."""

    source: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        sha = hashlib.sha1(self.source.encode()).hexdigest()  # noqa: S324  # how Redis names scripts
        object.__setattr__(self, "sha", sha)


class Address(NamedTuple):
    """Where a server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Servers:
    """What a URL says: `redis://user:password@host:port,host:port/0`. All but the addresses holds for each of them."""

    url: str = field(repr=False)  # with the first address alone
    addresses: tuple[Address, ...]  # empty where the URL names a Unix socket

    @classmethod
    def of(cls, url: str) -> "Servers":
        """Take a URL apart."""
        parts = urlsplit(url)
        user, at, hosts = parts.netloc.rpartition("@")
        first = hosts.partition(",")[0]
        named = [urlsplit(f"//{host}") for host in hosts.split(",") if host]
        return cls(
            urlunsplit(parts._replace(netloc=f"{user}{at}{first}")),
            tuple(Address(each.hostname or "localhost", each.port or PORT) for each in named),
        )

    def connection(self, address: Address | None = None) -> Any:
        """Return a connection that is not open yet, and never opens itself again; without an address to the first."""
        pool = ConnectionPool.from_url(
            self.url,
            protocol=2,
            socket_timeout=None,  # whoever uses it has the patience
            socket_connect_timeout=None,
            retry=Retry(NoBackoff(), 0),
        )
        if address is not None:
            pool.connection_kwargs |= address._asdict()
        return pool.make_connection()  # type: ignore[no-untyped-call]  # redis-py's own gap


@dataclass(slots=True, eq=False)
class Command:
    """Something that is asked of a server."""

    arguments: tuple[Argument, ...]
    reply: asyncio.Future[Any] | None  # None where nobody waits for it

    def fail(self, reason: str = "the connection was lost") -> None:
        """Say that it did not succeed, or that nobody knows."""
        if self.reply is not None and not self.reply.done():
            self.reply.set_exception(RedisFailedError(reason))


class Line:
    """The connection to one server, again and again."""

    def __init__(
        self,
        servers: Servers,
        scripts: Sequence[Script],
        *,
        node: Address | None,
        on_up: Callable[[], None],
        on_lost: Callable[[], None],
        on_redirected: Callable[["Line", list[tuple[Command, AskError]]], None],
    ) -> None:
        """Prepare.

        Args:
            servers: How servers are spoken to.
            scripts: What they have to know.
            node: Where the server is in a cluster; None where it is taken for one that is alone.
            on_up: Called whenever there is a connection.
            on_lost: Called whenever it was lost.
            on_redirected: Called with commands that a node of a cluster has sent elsewhere, in their order.
        """
        self.node = node
        self.up = asyncio.Event()  # set while there is a connection
        # Which run of which server the connection is to; None while there is none.
        self.run_id: str | None = None
        self._servers = servers
        self._scripts = scripts
        self._on_up = on_up
        self._on_lost = on_lost
        self._on_redirected = on_redirected
        self._connection: Any = None
        self._outgoing: deque[Command] = deque()
        self._speak = asyncio.Event()

    async def call(self, *arguments: Argument) -> Any:
        """Run a command, and return its reply: None, bytes, a number, or a list of such.

        Raises:
            RedisFailedError: it did not succeed, or nobody knows.
        """
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if not self.give(Command(arguments, reply)):
            raise RedisFailedError("there is no connection")
        return await reply

    def give(self, command: Command) -> bool:
        """Send a command soon, in the order of the calls; return whether there is a chance."""
        if self._connection is None or len(self._outgoing) >= OUTGOING:
            return False
        self._outgoing.append(command)
        self._speak.set()
        return True

    def take_back(self) -> list[Command]:
        """Return what was given and has not been sent."""
        unsent = list(self._outgoing)
        self._outgoing.clear()
        return unsent

    def connection(self) -> Any:
        """Return another connection to the same server, which is not open yet."""
        return self._servers.connection(self.node)

    async def keep_connected(self) -> None:
        """Keep the connection for ever.

        Raises:
            ClusterFoundError: the server is one of a cluster, which was not expected.
        """
        pause, longest = RECONNECT_SECONDS
        while True:
            was_up = False
            try:
                await self._connect()
                was_up = True
                await self._keep_speaking()
            except FAILURES as error:
                _logger.warning("redis.lost", node=str(self.node or ""), error=described(error), was_up=was_up)
            except ClusterFoundError:
                raise
            except Exception:  # whatever it was, a process must not fall silent
                _logger.exception("redis.failed")
            finally:
                await self._disconnect()
            pause = RECONNECT_SECONDS[0] if was_up else min(pause * 2, longest)
            await asyncio.sleep(pause)

    async def _connect(self) -> None:
        connection = self.connection()
        try:
            async with patience(COMMAND_SECONDS * 2):
                await connection.connect()
                info = await asked(connection, "INFO", "server")
                if self.node is None:
                    _refuse_cluster(info)
                else:
                    refuse_if_down(await asked(connection, "CLUSTER", "INFO"))
                for script in self._scripts:
                    await asked(connection, "SCRIPT", "LOAD", script.source)
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        self.run_id = next(line for line in info.splitlines() if line.startswith("run_id:")).removeprefix("run_id:")
        self._connection = connection
        self.up.set()
        self._on_up()

    async def _disconnect(self) -> None:
        connection, self._connection, self.run_id = self._connection, None, None
        if connection is None:
            return
        self.up.clear()
        for command in self.take_back():
            command.fail()
        self._on_lost()
        await connection.disconnect(nowait=True)

    async def _keep_speaking(self) -> None:
        while True:
            await self._speak.wait()
            self._speak.clear()
            while self._outgoing:
                run = [self._outgoing.popleft() for _ in range(min(RUN, len(self._outgoing)))]
                try:
                    async with patience(COMMAND_SECONDS):
                        await self._converse(run)
                except BaseException:
                    for command in run:
                        command.fail()
                    raise

    async def _converse(self, run: list[Command]) -> None:
        connection, redirected = self._connection, list[tuple[Command, AskError]]()
        await connection.send_packed_command(
            connection.pack_commands([command.arguments for command in run]), check_health=False
        )
        for command in run:
            try:
                reply = await connection.read_response()
            except (NoScriptError, ClusterDownError):
                # Somebody took our scripts away: a new connection brings them back. Or this node has no say any more.
                raise
            except AskError as elsewhere:  # or MovedError, which is one
                redirected.append((command, elsewhere))
                continue
            except ResponseError as refusal:
                _logger.warning("redis.refused", command=command.arguments[0], error=repr(refusal))
                command.fail(repr(refusal))
                continue
            if command.reply is not None and not command.reply.done():
                command.reply.set_result(reply)
        if redirected:
            self._on_redirected(self, redirected)


async def asked(connection: Any, *arguments: Argument) -> str:
    """Return the answer of a server that says it in text, over a connection that nobody else uses."""
    await connection.send_command(*arguments)
    answer: bytes = await connection.read_response()
    return answer.decode()


def _refuse_cluster(info: str) -> None:
    # The line is called `redis_mode` or, in newer Valkeys, `server_mode`.
    if "_mode:cluster" in info:
        raise ClusterFoundError


def refuse_if_down(info: str) -> None:
    """Look at what a node says in CLUSTER INFO.

    Raises:
        ClusterDownError: it is cut off from most of the others, or some have no say any more: it takes no commands.
    """
    if "cluster_state:ok" not in info:
        raise ClusterDownError("CLUSTERDOWN")
