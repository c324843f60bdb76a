"""Measures queries: `parley bench queries [--requests 3000] [--at-once 8] [--runs 3]`.

The same two queries over HTTP to one API process and to graphql-http on Node.js, which has this part of the schema and
no storage, no limits and no tokens to verify; and sends to Parley alone. What is asked for is cached: Parley has people
in Redis, and messages in memory, of which it asks Redis each time whether they are the newest; the peer has all in
Redis, and in another row all in its memory. What counts is the CPU of the server's process.
"""

import asyncio
import itertools
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson

from tests.bench import machine, results, servers
from tests.bench.targets import Target, verdicts
from tests.clients import SEND

PEER = "graphql-http"
IN_MEMORY = "graphql-http in memory"
PEER_AUTHORIZATION = "Bearer 0123456789abcdef"
MESSAGES = 60  # in the conversation
WARM_UP = 400
BUSY = "busy send"
SENDS_AT_ONCE = 64  # as many as wait in a process that has all it can do
VIEWER = "query Viewer { viewer { user { id handle displayName avatarUrl } roles } }"
PAGE = """query Page($id: ID!) { conversation(id: $id) { id title lastSequence messages(last: 50) {
  nodes { id sequence body status createdAt editedAt sender { id handle displayName } reactions { emoji count } }
  pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }"""


@dataclass(frozen=True, slots=True)
class Run:
    """The figures of one kind of request to one server."""

    server: str
    kind: str  # `viewer`, `page`, `send`, or sends of a process that has all it can do
    requests: int
    cpu_us: float
    p50_ms: float
    p99_ms: float
    bytes: int  # of an answer


def main(requests: int, at_once: int, runs: int) -> bool:
    """Measure and print the figures; return whether all targets are met."""
    every: dict[tuple[str, str], list[Run]] = {}
    for _ in range(runs):
        for server in ("parley", PEER, IN_MEMORY):
            for run in measured(server, requests, at_once):
                every.setdefault((run.server, run.kind), []).append(run)
    medians = [results.medians(found) for found in every.values()]
    asked = targets(medians)
    print(verdicts(asked), table(medians), sep="\n\n")
    results.keep("queries", {"at_once": at_once, "runs": runs, "medians": [asdict(run) for run in medians]})
    return all(target.verdict != "missed" for target in asked)


def targets(runs: Iterable[Run]) -> Sequence[Target]:
    """Return what is asked of the figures."""
    cost = {(run.server, run.kind): run.cpu_us for run in runs}

    def against(kind: str) -> float:
        return round(cost[PEER, kind] / cost["parley", kind], 2)

    return [
        Target(f"`viewer` in a CPU second, of {PEER}'s", 1.0, 1.6, against("viewer"), " x", least=True),
        Target(f"a page of 50 messages in a CPU second, of {PEER}'s", 1.0, 1.5, against("page"), " x", least=True),
        Target(f"CPU of a send in the API process, {SENDS_AT_ONCE} at once", 1_500, 800, cost["parley", BUSY], " µs"),
    ]


def table(runs: Iterable[Run]) -> str:
    """Return the figures as a table."""
    found = {(run.server, run.kind): run for run in runs}

    def peers(kind: str) -> list[Run]:
        return [found[name, kind] for name in (PEER, IN_MEMORY) if (name, kind) in found]

    def row(run: Run) -> Sequence[str]:
        ratios = [f"{peer.cpu_us / run.cpu_us:.2f} x" if peer is not run else "" for peer in peers(run.kind)]
        return (
            run.server,
            run.kind,
            f"{run.cpu_us:,.0f}",
            f"{1e6 / run.cpu_us:,.0f}",
            *([*ratios, "", ""] if run.server == "parley" else ("", ""))[:2],
            f"{run.p50_ms:.1f}",
            f"{run.p99_ms:.1f}",
            f"{run.bytes:,}",
        )

    head = (
        "server",
        "request",
        "CPU µs",
        "in a CPU second",
        f"of {PEER}'s",
        "of that in memory",
        "p50 ms",
        "p99 ms",
        "bytes",
    )
    return results.table(head, map(row, found.values()))


def measured(name: str, requests: int, at_once: int) -> list[Run]:
    """Run one server and ask it for each kind of thing."""
    with servers.running(name) as server:
        return asyncio.run(_runs(name, server, requests, at_once))


async def _runs(name: str, server: servers.Server, requests: int, at_once: int) -> list[Run]:
    authorization = server.speech.get("authorization", PEER_AUTHORIZATION)
    room = server.speech["variables"]["id"]

    def send(number: int) -> dict[str, Any]:
        body = f"message {number} of about a hundred characters {'.' * 60}"
        return {"conversationId": room, "body": body, "clientMessageId": uuid.uuid4().hex}

    viewer = request(server.speech["url"], authorization, VIEWER, None)
    page = request(server.speech["url"], authorization, PAGE, {"id": room})
    sends = (
        request(server.speech["url"], authorization, SEND, {"input": send(number)}) for number in itertools.count()
    )
    kinds: dict[str, Iterator[bytes]] = {"viewer": itertools.repeat(viewer), "page": itertools.repeat(page)}
    if name == servers.OURS:
        await ask(server.speech["url"], sends, MESSAGES, 1)
        kinds |= {"send": sends, BUSY: sends}
    found = []
    for kind, messages in kinds.items():
        under_way = SENDS_AT_ONCE if kind == BUSY else at_once
        await ask(server.speech["url"], messages, WARM_UP, under_way)
        count = requests if kind == "viewer" else requests // 2
        before = machine.cpu_seconds(server.pid)
        times, answer = await ask(server.speech["url"], messages, count, under_way)
        seconds = machine.cpu_seconds(server.pid) - before
        times.sort()
        found.append(
            Run(
                server=name,
                kind=kind,
                requests=count,
                cpu_us=round(seconds / count * 1e6, 1),
                p50_ms=round(times[len(times) // 2] * 1e3, 2),
                p99_ms=round(times[len(times) * 99 // 100] * 1e3, 2),
                bytes=len(answer),
            )
        )
        _check(kind, answer)
    return found


def _check(kind: str, answer: bytes) -> None:
    """See that an answer has what was asked for."""
    response = orjson.loads(answer)
    assert "errors" not in response, response
    data = response["data"]
    match kind:
        case "viewer":
            assert data["viewer"]["roles"] == ["USER"], data
        case "page":
            nodes = data["conversation"]["messages"]["nodes"]
            assert len(nodes) == 50, data
            assert all(node["sender"]["handle"] and node["status"] == "SENT" for node in nodes), data
        case _:
            assert data["sendMessage"]["userErrors"] == [], data


async def ask(address: str, messages: Iterable[bytes], count: int, at_once: int) -> tuple[list[float], bytes]:
    """Send so many requests, so many at once; return how long each took, in seconds, and the last answer."""
    url = urlsplit(address)
    left, times, last = itertools.islice(messages, count), list[float](), b""
    clock = asyncio.get_running_loop().time

    async def ask_in_turn() -> None:
        nonlocal last
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        for message in left:
            started = clock()
            writer.write(message)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            last = await _body(reader, head.lower())
            times.append(clock() - started)
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(ask_in_turn() for _ in range(at_once)))
    return times, last


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    """Read an answer's body: as long as it says, or chunk by chunk."""
    if b"\r\ntransfer-encoding: chunked" not in head:
        return await reader.readexactly(int(head.partition(b"\r\ncontent-length:")[2].split(b"\r\n")[0]))
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
    return body


def request(
    url: str, authorization: str, query: str, variables: dict[str, Any] | None, *, client: str | None = None
) -> bytes:
    """Return a request as front ends send it, through a proxy if there is a client's address."""
    body = orjson.dumps({"query": query, "variables": variables})
    parts = urlsplit(url)
    return (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
        f"Accept: application/graphql-response+json, application/json\r\nAuthorization: {authorization}\r\n"
        f"{'' if client is None else f'X-Forwarded-For: {client}\r\n'}Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body
