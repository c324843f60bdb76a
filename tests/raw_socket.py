"""A WebSocket client that sends any bytes, and reads or not, as it likes."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

import orjson

from tests.clients import ANSWER_SECONDS, UPDATES, Api, Json, Person

TEXT, BINARY, CLOSE, PING, PONG, CONTINUATION = 0x1, 0x2, 0x8, 0x9, 0xA, 0x0
MASK = b"\x37\xfa\x21\x3d"


def frame(opcode: int, payload: bytes = b"", *, final: bool = True, first: int = 0, mask: bytes = MASK) -> bytes:
    """Return a client's frame; `first` are further bits of its first byte."""
    length = len(payload)
    head = bytes([opcode | final << 7 | first])
    if length < 126:
        head += bytes([0x80 | length])
    elif length < 0x10000:
        head += b"\xfe" + length.to_bytes(2)
    else:
        head += b"\xff" + length.to_bytes(8)
    return head + mask + bytes(byte ^ key for byte, key in zip(payload, itertools.cycle(mask), strict=False))


def request(path: str = "/graphql", method: str = "GET", **changes: str | None) -> bytes:
    """Return a good request for a WebSocket, but for the changes; None leaves a header out."""
    headers = {
        "host": "localhost",
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        "sec-websocket-version": "13",
        "sec-websocket-protocol": "graphql-transport-ws",
        **{name.replace("_", "-"): value for name, value in changes.items()},
    }
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items() if value is not None)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@dataclass(slots=True)
class RawSocket:
    """A connection that asked for a WebSocket."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    status: int  # of the answer to the request

    @classmethod
    @asynccontextmanager
    async def open(cls, api: Api, data: bytes | None = None) -> AsyncIterator["RawSocket"]:
        """Connect and send the request, a good one unless another is given."""
        address = urlsplit(api.url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        try:
            writer.write(data or request())
            async with asyncio.timeout(ANSWER_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
            yield cls(reader, writer, int(head.split(b" ")[1]))
        finally:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()

    @property
    def name(self) -> Any:
        """The client's address, which tells its connection from others at the server."""
        return self.writer.get_extra_info("sockname")

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def tell(self, message: Json) -> None:
        self.send(frame(TEXT, orjson.dumps(message)))

    def pause(self) -> None:
        """Read nothing more from the kernel."""
        cast("asyncio.Transport", self.writer.transport).pause_reading()

    def go_on(self) -> None:
        """Read again."""
        cast("asyncio.Transport", self.writer.transport).resume_reading()

    async def enter(self, token: str | None = None) -> None:
        """Be let in."""
        payload = None if token is None else {"Authorization": f"Bearer {token}"}
        self.tell({"type": "connection_init", "payload": payload})
        assert await self.message() == {"type": "connection_ack"}

    async def frame(self) -> tuple[int, bytes]:
        """Return the opcode and the payload of the next frame."""
        async with asyncio.timeout(ANSWER_SECONDS):
            first, length = await self.reader.readexactly(2)
            assert first & 0x80
            if length >= 126:
                length = int.from_bytes(await self.reader.readexactly(2 if length == 126 else 8))
            return first & 0xF, await self.reader.readexactly(length)

    async def message(self) -> Any:
        """Return the next message."""
        opcode, payload = await self.frame()
        assert opcode == TEXT, (opcode, payload)
        return orjson.loads(payload)

    async def close_code(self) -> int:
        """Read until the close frame and the end of the connection; return the code."""
        while True:
            opcode, payload = await self.frame()
            if opcode == CLOSE:
                async with asyncio.timeout(ANSWER_SECONDS):
                    assert await self.reader.read() == b""
                return int.from_bytes(payload[:2])


async def follow(socket: RawSocket, person: Person, conversation_id: str, after: str | None = None) -> int:
    """Be let in and follow a conversation; return how many entries came before `CaughtUp`."""
    await socket.enter(person.token)
    variables = {"id": conversation_id, "after": after}
    socket.tell({"id": "updates", "type": "subscribe", "payload": {"query": UPDATES, "variables": variables}})
    entries = 0
    while True:
        match (await socket.message())["payload"]["data"]["conversationUpdates"]["__typename"]:
            case "CaughtUp":
                return entries
            case "ReceiptMoved":
                continue
        entries += 1
