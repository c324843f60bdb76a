"""Redis as Parley uses it: one connection for all commands of the process; those given at once share a round trip.

Nothing is sent twice and nothing waits for Redis to come back: what was given when the connection broke has failed, and
what is given while there is none fails at once.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Self

import structlog
from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError

from services.failures import described
from services.tasks import Tasks, patience

COMMAND_SECONDS: Final = 0.25
OUTGOING: Final = 10_000  # commands that wait to be sent; what comes on top of them fails
RUN: Final = 200  # commands in one round trip
RECONNECT_SECONDS: Final = (0.05, 1.0)  # the first pause and the longest
FAILURES: Final = (RedisError, OSError, TimeoutError, asyncio.IncompleteReadError)

_logger = structlog.get_logger()

type Argument = str | bytes | int


class RedisFailedError(Exception):
    """Redis refused a command, or did not answer: then it may have run it or not."""


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script, which Redis runs as one step."""

    source: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        sha = hashlib.sha1(self.source.encode()).hexdigest()  # noqa: S324  # how Redis names scripts
        object.__setattr__(self, "sha", sha)


def connection_to(redis_url: str) -> Any:
    """Return a connection that is not open yet, and never opens itself again."""
    pool = ConnectionPool.from_url(
        redis_url,
        protocol=2,
        socket_timeout=None,  # whoever uses it has the patience
        socket_connect_timeout=None,
        retry=Retry(NoBackoff(), 0),
    )
    return pool.make_connection()  # type: ignore[no-untyped-call]  # redis-py's own gap


@dataclass(frozen=True, slots=True, eq=False)
class _Command:
    arguments: tuple[Argument, ...]
    reply: asyncio.Future[Any] | None  # None where nobody waits for it


class Redis:
    """This process's voice to Redis."""

    def __init__(self, redis_url: str, scripts: Sequence[Script] = ()) -> None:
        self.up = asyncio.Event()  # set while there is a connection
        # Which run of which server the connection is to; None while there is none. A server that was started again may
        # have forgotten the newest that it was told.
        self.run_id: str | None = None
        self.on_lost: list[Callable[[], None]] = []  # called whenever the connection was lost
        self.on_up: list[Callable[[], None]] = []  # called whenever there is one
        self._url = redis_url
        self._scripts = scripts
        self._connection: Any = None
        self._outgoing: deque[_Command] = deque()
        self._speak = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Keep the connection until this ends."""
        tasks = Tasks()
        tasks.spawn(self._keep_connected())
        try:
            yield self
        finally:
            self.on_lost.clear()  # this is no loss
            await tasks.close()

    async def ping(self) -> None:
        """Ask Redis for a sign of life.

        Raises:
            RedisFailedError: there was none in time.
        """
        await self.call("PING")

    async def call(self, *arguments: Argument) -> Any:
        """Run a command, and return its reply: None, bytes, a number, or a list of such.

        Raises:
            RedisFailedError: it did not succeed, or nobody knows.
        """
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if not self._give(_Command(arguments, reply)):
            raise RedisFailedError("there is no connection")
        return await reply

    async def run(self, script: Script, keys: Sequence[str], *arguments: Argument) -> Any:
        """Run one of the scripts that this was made with; raises as `call`."""
        return await self.call("EVALSHA", script.sha, len(keys), *keys, *arguments)

    def send(self, *arguments: Argument) -> None:
        """Run a command soon, in the order of the calls; nobody hears whether it came to that."""
        self._give(_Command(arguments, None))

    def _give(self, command: _Command) -> bool:
        if self._connection is None or len(self._outgoing) >= OUTGOING:
            return False
        self._outgoing.append(command)
        self._speak.set()
        return True

    async def _keep_connected(self) -> None:
        pause, longest = RECONNECT_SECONDS
        while True:
            was_up = False
            try:
                await self._connect()
                was_up = True
                await self._keep_speaking()
            except FAILURES as error:
                _logger.warning("redis.lost", error=described(error), was_up=was_up)
            except Exception:  # whatever it was, a process must not fall silent
                _logger.exception("redis.failed")
            finally:
                await self._disconnect()
            pause = RECONNECT_SECONDS[0] if was_up else min(pause * 2, longest)
            await asyncio.sleep(pause)

    async def _connect(self) -> None:
        connection = connection_to(self._url)
        try:
            async with patience(COMMAND_SECONDS * 2):
                await connection.connect()
                await connection.send_command("INFO", "server")
                info = (await connection.read_response()).decode()
                for script in self._scripts:
                    await connection.send_command("SCRIPT", "LOAD", script.source)
                    await connection.read_response()
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        self.run_id = next(line for line in info.splitlines() if line.startswith("run_id:")).removeprefix("run_id:")
        self._connection = connection
        self.up.set()
        for on_up in self.on_up:
            on_up()

    async def _disconnect(self) -> None:
        connection, self._connection, self.run_id = self._connection, None, None
        if connection is None:
            return
        self.up.clear()
        for command in self._outgoing:
            _fail(command)
        self._outgoing.clear()
        for on_lost in self.on_lost:
            on_lost()
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
                        _fail(command)
                    raise

    async def _converse(self, run: list[_Command]) -> None:
        connection = self._connection
        await connection.send_packed_command(
            connection.pack_commands([command.arguments for command in run]), check_health=False
        )
        for command in run:
            try:
                reply = await connection.read_response()
            except NoScriptError:
                raise  # somebody took our scripts away: a new connection brings them back
            except ResponseError as refusal:
                _logger.warning("redis.refused", command=command.arguments[0], error=repr(refusal))
                _fail(command, repr(refusal))
                continue
            if command.reply is not None and not command.reply.done():
                command.reply.set_result(reply)


def _fail(command: _Command, reason: str = "the connection was lost") -> None:
    if command.reply is not None and not command.reply.done():
        command.reply.set_exception(RedisFailedError(reason))
