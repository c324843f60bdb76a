"""The network between the parts: a proxy on each link, in a process of its own, so that clients' work delays nothing.

The process is told what to do by lines of JSON on its standard input, and answers each when it is done.
"""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Self

import uvloop

from parley.stack.supervisor import die_with_us
from tests.faults.proxy import Proxy

HOST = "127.0.0.1"

type Ports = tuple[int, int]  # where a link listens, and where it leads to


class Network:
    """The links, as their user sees them."""

    def __init__(self, links: Mapping[str, Ports]) -> None:
        self._links = links
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._process: Process

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Pass everything on until this ends."""
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.chaos.network", json.dumps(self._links)),
            stdin=PIPE,
            stdout=PIPE,
            preexec_fn=die_with_us(),
            start_new_session=True,
        )
        assert self._process.stdout is not None
        await self._process.stdout.readline()  # it listens
        hearing = asyncio.create_task(self._hear(self._process.stdout))
        try:
            yield self
        finally:
            assert self._process.stdin is not None
            self._process.stdin.close()
            await self._process.wait()
            await hearing

    async def tell(self, link: str, verb: str, *arguments: float) -> Any:
        """Have something done to a link; return what came of it."""
        number = len(self._waiting)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([number, link, verb, arguments]).encode() + b"\n")
        return await answer

    async def _hear(self, answers: asyncio.StreamReader) -> None:
        while line := await answers.readline():
            number, result = json.loads(line)
            self._waiting[number].set_result(result)


async def _do(proxy: Proxy, verb: str, arguments: list[Any]) -> object:
    match verb:
        case "delay":
            (proxy.delay_seconds,) = arguments
        case "cut answers":
            (proxy.cuts_answers,) = arguments
        case "swallow":
            return await proxy.swallow(*arguments)
        case "throttle":
            return proxy.throttle(*arguments)
        case _:
            {"cut": proxy.cut, "close": proxy.close, "open": proxy.open, "hold": proxy.hold, "flow": proxy.flow}[verb]()
    return None


async def _serve(links: Mapping[str, Ports]) -> None:
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    async with AsyncExitStack() as stack:
        proxies = {
            name: await stack.enter_async_context(Proxy(HOST, target).running(port))
            for name, (port, target) in links.items()
        }
        print("listening", flush=True)

        async def obey(number: int, link: str, verb: str, arguments: list[Any]) -> None:
            print(json.dumps([number, await _do(proxies[link], verb, arguments)]), flush=True)

        async with asyncio.TaskGroup() as tasks:
            while line := await orders.readline():
                tasks.create_task(obey(*json.loads(line)))


if __name__ == "__main__":
    uvloop.run(_serve(json.loads(sys.argv[1])))
