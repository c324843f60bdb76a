"""How a process sees that a server on this machine serves, without a driver."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

HOST: Final = "127.0.0.1"
PROBE_SECONDS: Final = 1.0


def answers(port: int, request: bytes, expected: bytes) -> Callable[[], Awaitable[bool]]:
    """Return a probe that sends the request and looks for what is expected in the answer."""

    async def probe() -> bool:
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                reader, writer = await asyncio.open_connection(HOST, port)
                try:
                    writer.write(request)
                    return expected in await reader.read(4096)
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return False

    return probe
