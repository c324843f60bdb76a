"""A plain TCP proxy that can cut, hold back, delay, throttle, swallow, and break off where an answer begins."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Self

CHUNK = 64 * 1024
SIP = 256  # what a throttled connection takes at a time


@dataclass(slots=True, eq=False)
class _Line:
    """One connection through the proxy."""

    near: asyncio.StreamWriter
    far: asyncio.StreamWriter
    is_socket: bool = False  # whether the client has asked for a WebSocket
    swallowed_at: float | None = None  # since when nothing is passed on any more, not even an end
    throttled: bool = False
    freed: asyncio.Event = field(default_factory=asyncio.Event)  # set when the server's end of it is closed


class Proxy:
    """Passes on what comes to its port, while it is open."""

    def __init__(self, host: str, port: int) -> None:
        self.port = 0  # its own, once it runs
        self.delay_seconds = 0.0  # that everything takes longer, each way
        self.bytes_per_second = 0  # of a throttled connection to its client
        self.cuts_answers = False  # whether plain HTTP connections are reset where an answer comes
        self._target = host, port
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._open = True
        self._lines: set[_Line] = set()
        self._serving: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self, port: int = 0) -> AsyncIterator[Self]:
        """Serve until this ends; on any free port unless one is given."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            self.cut()
            self._flowing.set()
            server.close()
            if self._serving:
                await asyncio.wait(self._serving)
            await server.wait_closed()

    def cut(self) -> None:
        """Reset all connections."""
        for line in self._lines:
            line.near.transport.abort()
            line.far.transport.abort()

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Reset all connections, and every new one."""
        self.close()
        try:
            yield
        finally:
            self.open()

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Pass nothing on, without a word; what was held back goes on afterwards."""
        self.hold()
        try:
            yield
        finally:
            self.flow()

    def close(self) -> None:
        """Reset all connections, and every new one until it is opened."""
        self._open = False
        self.cut()

    def open(self) -> None:
        """Take connections again."""
        self._open = True

    def hold(self) -> None:
        """Pass nothing on until it may flow."""
        self._flowing.clear()

    def flow(self) -> None:
        """Pass on what was held back."""
        self._flowing.set()

    def throttle(self, lines: int, bytes_per_second: int) -> int:
        """Let so many of the sockets bring no more than this to their clients; 0 bytes: as much as comes."""
        self.bytes_per_second = bytes_per_second
        for line in self._lines:
            line.throttled = False
        chosen = [line for line in self._lines if line.is_socket][:lines] if bytes_per_second else []
        for line in chosen:
            line.throttled = True
        return len(chosen)

    async def swallow(self, seconds: float) -> list[float | None]:
        """Make all connections half-open; return how long the server kept each, None: longer than this waits.

        Nothing passes any more in either direction, no end of one side is told to the other, and nothing is closed.
        """
        started = time.monotonic()
        lines = tuple(self._lines)
        for line in lines:
            line.swallowed_at = started

        async def freed(line: _Line) -> float | None:
            try:
                async with asyncio.timeout(seconds):
                    await line.freed.wait()
            except TimeoutError:
                return None
            return time.monotonic() - started

        return await asyncio.gather(*map(freed, lines))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            if self._open:
                await self._connect(reader, writer)
        except OSError:
            pass  # the other end is not there
        finally:
            writer.transport.abort()
            self._serving.discard(task)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        line = _Line(writer, far_writer)
        self._lines.add(line)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._ask(line, reader))
                tasks.create_task(self._answer(line, far_reader))
        finally:
            self._lines.discard(line)
            far_writer.transport.abort()
            with suppress(OSError):
                await far_writer.wait_closed()

    async def _ask(self, line: _Line, reader: asyncio.StreamReader) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                line.is_socket = line.is_socket or b"pgrade: websocket" in data
                await self._pass_on(line, data, line.far)
        await self._end(line, line.far)

    async def _answer(self, line: _Line, reader: asyncio.StreamReader) -> None:
        with suppress(OSError):
            while data := await reader.read(SIP if line.throttled else CHUNK):
                if self.cuts_answers and not line.is_socket:
                    break
                await self._pass_on(line, data, line.near)
                if line.throttled and self.bytes_per_second:
                    await asyncio.sleep(len(data) / self.bytes_per_second)
        line.freed.set()
        await self._end(line, line.near)

    async def _pass_on(self, line: _Line, data: bytes, writer: asyncio.StreamWriter) -> None:
        if self.delay_seconds:
            await asyncio.sleep(self.delay_seconds)
        await self._flowing.wait()
        if line.swallowed_at is None and not writer.is_closing():
            writer.write(data)
            await writer.drain()

    async def _end(self, line: _Line, writer: asyncio.StreamWriter) -> None:
        """End the other side as well: whichever way ends first ends both, but for a line that swallows all."""
        if line.swallowed_at is not None:
            await line.freed.wait()
        writer.transport.abort()
