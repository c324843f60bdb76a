"""Measures sockets that follow one conversation: `python -m tests.bench.sockets [--sockets 5000] [--messages 10]`.

On an API process of its own: the memory that a subscribed socket costs while nothing happens, the CPU that delivering a
message to one of them takes, and how long it takes until all are caught up who come back at once with their cursors.
"""

import argparse
import asyncio
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

import psutil

from tests.clients import Api, Person
from tests.raw_socket import RawSocket, follow
from tests.stack_process import running_stack

AT_ONCE = 500  # connecting
SETTLE_SECONDS = 3.0  # what was needed for connecting is let go


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def crowd(
    api: Api, person: Person, conversation_id: str, size: int, exit_stack: AsyncExitStack, *, after: str | None = None
) -> list[RawSocket]:
    """Let a crowd follow a conversation for as long as the exit stack lasts."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def come() -> RawSocket:
        async with gate:
            socket = await exit_stack.enter_async_context(RawSocket.open(api))
            await follow(socket, person, conversation_id, after)
            return socket

    return await asyncio.gather(*(come() for _ in range(size)))


async def measure(api: Api, process: psutil.Process, size: int, messages: int) -> None:
    ann = await api.register()
    conversation = await ann.talk()
    async with AsyncExitStack() as exit_stack:
        await crowd(api, ann, conversation["id"], 100, exit_stack)  # what is made once
    before = process.memory_info().rss
    async with AsyncExitStack() as exit_stack:
        sockets = await crowd(api, ann, conversation["id"], size, exit_stack)
        await asyncio.sleep(SETTLE_SECONDS)
        print(f"{(process.memory_info().rss - before) / 1024 / size:.1f} KiB a subscribed socket")
        began = cpu_seconds(process)
        for number in range(messages):
            await ann.send(conversation["id"], f"{number}".ljust(100))
        for socket in sockets:
            for _ in range(messages):
                await socket.frame()
        cpu = (cpu_seconds(process) - began) / messages
        print(f"{cpu * 1e3:.1f} ms CPU for a message to all: {cpu / size * 1e6:.1f} µs a delivery, the send included")
    async with AsyncExitStack() as exit_stack:
        started, began = time.monotonic(), cpu_seconds(process)
        await crowd(api, ann, conversation["id"], size, exit_stack, after=conversation["cursor"])
        cpu = cpu_seconds(process) - began
        print(f"{time.monotonic() - started:.1f} s until all were back with their cursors, {cpu:.1f} s CPU")


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure sockets that follow one conversation.")
    parser.add_argument("--sockets", type=int, default=5_000)
    parser.add_argument("--messages", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, running_stack(Path(directory), replicas=1) as stack:

        async def run() -> None:
            async with Api(stack.urls[0]) as api:
                process = psutil.Process(stack.run()["api"][0]["pid"])
                await measure(api, process, options.sockets, options.messages)

        asyncio.run(run())


if __name__ == "__main__":
    main()
