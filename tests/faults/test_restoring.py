"""A backup under load, everything killed, and the clients that come back to what was restored."""

import asyncio
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.clients import Api, Person
from tests.stack_process import START_SECONDS, StackProcess

PAGE = """query ($id: ID!) { conversation(id: $id) { cursor messages(last: 100) { edges { node { id } } } } }"""
COMMAND_SECONDS = 120.0


async def parley(*arguments: str) -> None:
    """Run a command to its end."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "parley", *arguments)
    async with asyncio.timeout(COMMAND_SECONDS):
        assert await process.wait() == 0, arguments


def kill_all(stack: StackProcess) -> None:
    """Kill every process of a stack at once."""
    run = stack.run()
    entries = [entry for part in run.values() for entry in (part if isinstance(part, list) else [part])]
    children = [psutil.Process(entry["pid"]) for entry in entries]
    stack.kill()
    for child in children:
        if child.is_running():
            child.kill()
    psutil.wait_procs(children, START_SECONDS)


@contextmanager
def servers_alone(directory: Path) -> Iterator[None]:
    """Run the embedded servers without an API for as long as the block lasts."""
    command = [sys.executable, "-m", "parley", "stack", "--data", str(directory)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + START_SECONDS
            while not (directory / "run.json").exists():
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield
        finally:
            process.terminate()


@pytest.mark.slow
async def test_a_restored_backup_has_all_that_was_acknowledged_and_sends_old_cursors_back(tmp_path: Path) -> None:
    lost, found, file = tmp_path / "lost", tmp_path / "found", tmp_path / "parley.backup"
    first = StackProcess(lost, 1)
    first.start()
    try:
        async with Api(first.urls[0]) as api:
            ann, bob = await api.register(), await api.register()
            conversation = await ann.talk(bob)
            told = [(await ann.send(conversation["id"], f"Before {number}"))["message"]["id"] for number in range(50)]
            is_over = asyncio.Event()

            async def talk() -> None:
                while not is_over.is_set():
                    await bob.send(conversation["id"], "Meanwhile")

            async with asyncio.TaskGroup() as group:
                group.create_task(talk())
                await parley("backup", str(file), "--data", str(lost))
                is_over.set()
            for number in range(5):
                await ann.send(conversation["id"], f"After {number}")
            page = await ann.post(PAGE, {"id": conversation["id"]})
            cursor = page["data"]["conversation"]["cursor"]
    finally:
        kill_all(first)

    found.mkdir()
    shutil.copytree(lost / "keys", found / "keys")
    with servers_alone(found):
        await parley("restore", str(file), "--data", str(found))

    second = StackProcess(found, 1)
    second.start()
    try:
        await parley("fsck", "--data", str(found))
        async with Api(second.urls[0]) as api:
            again = Person(api, ann.handle, ann.id, ann.token, ann.refresh_token)
            async with again.socket() as socket:
                update = await (await socket.updates(conversation["id"], after=cursor)).update()
                assert (update["__typename"], update["reason"]) == ("ResyncRequired", "EPOCH_CHANGED")
            page = await again.post(PAGE, {"id": conversation["id"]})
            messages = {edge["node"]["id"] for edge in page["data"]["conversation"]["messages"]["edges"]}
            assert messages
            fresh = await follow_from_the_start(again, conversation["id"])
            assert set(told) <= fresh
            sent = await again.send(conversation["id"], "Going on")
            assert sent["userErrors"] == []
    finally:
        second.stop()


async def follow_from_the_start(person: Person, conversation_id: str) -> set[str]:
    """Return all messages of a conversation, read page by page."""
    query = """query ($id: ID!, $before: String) { conversation(id: $id) { messages(last: 100, before: $before) {
      edges { node { id } } pageInfo { hasPreviousPage startCursor } } } }"""
    found: set[str] = set()
    before: str | None = None
    while True:
        response = await person.post(query, {"id": conversation_id, "before": before})
        messages = response["data"]["conversation"]["messages"]
        found |= {edge["node"]["id"] for edge in messages["edges"]}
        if not messages["pageInfo"]["hasPreviousPage"]:
            return found
        before = messages["pageInfo"]["startCursor"]
