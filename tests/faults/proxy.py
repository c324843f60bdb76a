"""A plain TCP proxy whose two ends can be cut, or kept from hearing each other."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Self


class Proxy:
    """Passes on what comes to its port, while it is open."""

    def __init__(self, host: str, port: int) -> None:
        self.port = 0  # its own, once it runs
        self._target = host, port
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._open = True
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Serve until this ends."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
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
        for writer in self._writers:
            writer.transport.abort()

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Reset all connections, and every new one."""
        self._open = False
        self.cut()
        try:
            yield
        finally:
            self._open = True

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Pass nothing on, without a word; what was held back goes on afterwards."""
        self._flowing.clear()
        try:
            yield
        finally:
            self._flowing.set()

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
        ends = {writer, far_writer}
        self._writers |= ends
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pass_on(reader, far_writer))
                tasks.create_task(self._pass_on(far_reader, writer))
        finally:
            self._writers -= ends
            far_writer.transport.abort()
            with suppress(OSError):
                await far_writer.wait_closed()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
        writer.transport.abort()  # whichever way ends first ends the other
