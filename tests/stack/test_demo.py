"""`parley demo`: people to try Parley with."""

import asyncio
import sys
from pathlib import Path

from parley.demo import PASSWORD, SUFFIX, Api, fill, run, through
from parley.demo_script import PEOPLE, TALKS
from parley.stack.stack import free_port
from tests import clients
from tests.stack_process import StackProcess, running_stack

LOGIN = "mutation ($input: LoginInput!) { login(input: $input) { user { id } accessToken refreshToken } }"
READ = """{ viewer { unreadCount conversations(first: 20) { nodes { id kind title lastSequence memberCount
  messages(last: 50) { nodes {
    body version pinnedAt sender { handle } replyTo { body } reactions { emoji count } } } } } } }"""


async def _sign_in(api: clients.Api, key: str) -> clients.Person:
    fields = {"handle": key + SUFFIX, "password": PASSWORD}
    payload = (await api.post(LOGIN, {"input": fields}))["data"]["login"]
    return clients.Person(api, key, payload["user"]["id"], payload["accessToken"], payload["refreshToken"])


async def test_the_demo_fills_parley_with_talk_and_changes_nothing_the_second_time(
    stack: StackProcess, api: clients.Api
) -> None:
    said: list[str] = []
    await fill(Api(stack.urls[0]), said.append, through(Api(stack.urls[0])))
    maya = await _sign_in(api, "maya")
    first = (await maya.post(READ))["data"]["viewer"]
    await fill(Api(stack.urls[1]), said.append, through(Api(stack.urls[1])))
    second = (await maya.post(READ))["data"]["viewer"]

    assert second == first
    assert all(f"@{key}{SUFFIX}" in said[0] for key in PEOPLE)
    assert PASSWORD in said[0]
    rooms = {room["title"]: room for room in first["conversations"]["nodes"]}
    trip = rooms["Mountain weekend 🏔️"]["messages"]["nodes"]
    assert [message["body"] for message in trip] == [line.becomes or line.text for line in TALKS[0].lines]
    assert trip[0]["pinnedAt"] is not None
    assert trip[2]["replyTo"] == {"body": trip[1]["body"]}
    assert trip[2]["reactions"] == [{"emoji": "😂", "count": 3}, {"emoji": "❤️", "count": 1}]
    assert trip[4]["version"] == 2
    assert rooms["House news"]["kind"] == "CHANNEL"
    assert rooms["House news"]["memberCount"] == len(PEOPLE)
    assert first["unreadCount"] > 0


async def test_live_people_go_on_talking_until_they_are_stopped(stack: StackProcess, api: clients.Api) -> None:
    ready: asyncio.Queue[str] = asyncio.Queue()
    running = asyncio.create_task(run(stack.urls[0], live=True, say=ready.put_nowait))
    try:
        async with asyncio.timeout(120):
            while "Ctrl-C" not in await ready.get():
                pass
            async with (await _sign_in(api, "maya")).socket() as socket:
                updates = await socket.start(clients.INBOX)
                while "body" not in (await updates.update()).get("message", {}):
                    pass
    finally:
        running.cancel()
        await asyncio.wait([running])

    assert running.cancelled()


async def test_on_the_own_stack_its_limits_do_not_keep_the_people_out(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    with running_stack(directory, replicas=1, environment={"PARLEY_RATE_LIMITS": ""}):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "parley", "demo", "--data", str(directory)), stdout=asyncio.subprocess.PIPE
        )
        said, _ = await process.communicate()

    assert process.returncode == 0
    assert f"@maya{SUFFIX}" in said.decode()


async def test_where_no_parley_answers_the_command_says_so(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "parley", "demo", "--url", url, "--data", str(tmp_path)),
        stderr=asyncio.subprocess.PIPE,
    )
    _, error = await process.communicate()

    assert process.returncode == 1
    assert error.decode() == f"parley: No Parley answers at {url}.\n"
