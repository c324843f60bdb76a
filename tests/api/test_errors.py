"""What goes wrong inside: masked for clients, told once in the log, and named alike in both; no secret is in a log."""

import asyncio
import json
import re
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import orjson
import pytest
from pymongo import MongoClient

from tests.clients import PASSWORD, SEND, Api, Json, Person
from tests.local_api import local_api
from tests.raw_socket import RawSocket, request
from tests.stack_process import StackProcess, running_stack

PERSON = "query Look($handle: String!) { userByHandle(handle: $handle) { id displayName } }"
ADDRESS = "203.0.113.77"


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    """A Parley that is not disturbed by other tests, behind a proxy that is believed."""
    environment = {"PARLEY_TRUSTED_PROXIES": "127.0.0.1"}
    with running_stack(tmp_path_factory.mktemp("logged"), replicas=1, environment=environment) as stack:
        yield stack


@pytest.fixture
async def api(logged: StackProcess) -> AsyncIterator[Api]:
    async with Api(logged.urls[0]) as api:
        api.http.headers["x-forwarded-for"] = ADDRESS
        yield api


def damage(stack: StackProcess, person: Person, value: str) -> None:
    """Make a stored account unreadable, with a value that nobody should see."""
    with MongoClient[dict[str, Any]](stack.url("mongo")) as client:
        client["parley"]["users"].update_one({"_id": person.id}, {"$set": {"createdAt": value}})


def lines(stack: StackProcess, request_id: str) -> list[Json]:
    """Return what the log says of a request."""
    return [line for line in log(stack) if line.get("request_id") == request_id]


def log(stack: StackProcess) -> list[Json]:
    (file,) = (stack.directory / "logs").glob("api-*.log")
    return [json.loads(line) for line in file.read_text().splitlines()]


async def test_an_unexpected_error_is_masked_and_logged_once(api: Api, logged: StackProcess) -> None:
    ann, bob = await api.register(), await api.register()
    damage(logged, bob, "planted")

    response = await api.http.post(
        f"{api.url}/graphql",
        json={"query": PERSON, "variables": {"handle": bob.handle}},
        headers={"authorization": f"Bearer {ann.token}"},
    )

    (error,) = response.json()["errors"]
    request_id = response.headers["x-request-id"]
    assert (error["message"], error["extensions"]) == (
        "Something went wrong.",
        {"code": "INTERNAL", "retryable": False, "requestId": request_id},
    )
    (line,) = lines(logged, request_id)
    assert (line["level"], line["operation"], line["viewer"]) == ("error", "Look", ann.id)
    assert "services/users.py" in line["exception"]
    assert "ValidationError" in line["exception"]
    assert "planted" not in json.dumps(line)
    assert "users.py" not in response.text


async def test_on_a_socket_it_is_the_same(api: Api, logged: StackProcess) -> None:
    ann, bob = await api.register(), await api.register()
    damage(logged, bob, "planted")

    async with ann.socket() as socket:
        message = await (await socket.start(PERSON, {"handle": bob.handle})).message()

    (error,) = message["payload"]["errors"]
    assert error["message"] == "Something went wrong."
    (line,) = lines(logged, error["extensions"]["requestId"])
    assert (line["operation"], line["viewer"]) == ("Look", ann.id)


async def test_no_secret_and_no_address_is_in_the_log(api: Api, logged: StackProcess) -> None:
    mark = uuid.uuid4().hex
    ann = await api.register()
    conversation = await ann.talk()
    bob, eve = await api.register(), await api.register()
    damage(logged, bob, f"{mark}stored")
    json_type = {"content-type": "application/json"}

    await ann.send(conversation["id"], f"{mark}body", f"{mark}id"[:60])
    await ann.send(conversation["id"], f"{mark}conflict", f"{mark}id"[:60])
    await ann.send(conversation["id"], mark + "\x00", "null")
    await api.post(
        "mutation ($i: LoginInput!) { login(input: $i) { accessToken } }",
        {"i": {"handle": ann.handle, "password": mark}},
    )
    await api.post(
        "mutation ($i: LoginInput!) { login(input: $i) { accessToken } }", {"i": {"handle": mark, "password": mark}}
    )
    await api.post(f'{{ userByHandle(handle: "{mark}") {{ {mark} }} }}', token=ann.token)
    await api.post("{ viewer { roles } }", token=mark)
    await api.post(
        "mutation ($i: RefreshSessionInput!) { refreshSession(input: $i) { accessToken } }",
        {"i": {"refreshToken": f"{eve.refresh_token}{mark}"}},
    )
    await ann.post(PERSON, {"handle": bob.handle})
    await ann.post(SEND, {"input": {"conversationId": mark, "body": 5}})
    await api.http.post(f"{api.url}/graphql", content=f'{{"{mark}'.encode(), headers=json_type)
    await api.http.get(f"{api.url}/{mark}?{mark}")
    async with RawSocket.open(api) as socket:
        socket.tell({"type": "connection_init", "payload": {"Authorization": f"Bearer {mark}"}})
        assert await socket.close_code() == 4403
    async with ann.socket() as told:
        await told.tell({"type": mark})

    whole = "\n".join(json.dumps(line) for line in log(logged))
    for secret in (mark, PASSWORD, ann.token, ann.refresh_token, eve.refresh_token, ADDRESS, "127.0.0.1:5"):
        assert secret not in whole
    assert "ValidationError" in whole, "what was logged was looked at"


async def test_each_line_of_the_log_is_an_object_with_a_level_and_a_time(api: Api, logged: StackProcess) -> None:
    ann, bob = await api.register(), await api.register()
    damage(logged, bob, "planted")
    await ann.post(PERSON, {"handle": bob.handle})

    found = log(logged)

    assert found
    assert all({"event", "level", "timestamp"} <= line.keys() for line in found)


@pytest.mark.parametrize("path", ["/graphql?query={__typename}", "/health", "/.well-known/jwks.json", "/nowhere"])
async def test_every_answer_has_the_name_of_its_request(api: Api, path: str) -> None:
    own = await api.http.get(api.url + path, headers={"x-request-id": "from.the-proxy_1"})
    made = [
        await api.http.get(api.url + path, headers={"x-request-id": bad})
        for bad in ("short", "x" * 65, "a b c d e f", 'quo"ted-name')
    ]

    assert own.headers["x-request-id"] == "from.the-proxy_1"
    names = [answer.headers["x-request-id"] for answer in made]
    assert all(re.fullmatch("[0-9A-Z]{26}", name) for name in names)
    assert len(set(names)) == len(names)


async def test_a_socket_has_the_name_of_its_request_too(api: Api) -> None:
    async with RawSocket.open(api, request(x_request_id="from.the-proxy_2")) as socket:
        assert socket.status == 101
    reader, writer = await asyncio.open_connection(*api.url.removeprefix("http://").split(":"))
    writer.write(request(x_request_id="from.the-proxy_2"))
    head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()

    assert b"\r\nX-Request-ID: from.the-proxy_2\r\n" in head


async def test_only_a_trusted_proxy_names_requests(stack: StackProcess) -> None:
    async with local_api(stack) as served, Api(served.url) as api:
        response = await api.http.get(f"{api.url}/health", headers={"x-request-id": "from.the-proxy_3"})

    assert re.fullmatch("[0-9A-Z]{26}", response.headers["x-request-id"])


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "NOT_FOUND"),
        ("POST", "/nowhere", 404, "NOT_FOUND"),
        ("GET", "/docs", 404, "NOT_FOUND"),
        ("PUT", "/graphql", 405, "BAD_USER_INPUT"),
        ("DELETE", "/health", 405, "BAD_USER_INPUT"),
    ],
)
async def test_unknown_paths_and_methods_have_small_json_answers(
    api: Api, method: str, path: str, status: int, code: str
) -> None:
    response = await api.http.request(method, api.url + path)

    assert response.status_code == status
    (error,) = orjson.loads(response.content)["errors"]
    assert error["extensions"] == {"code": code, "retryable": False}
    assert len(response.content) < 200
    assert ("allow" in response.headers) == (status == 405)


async def test_what_validation_says_stays_readable(api: Api) -> None:
    unknown = await api.post("{ health { colour } }")
    syntax = await api.post("{ health {")
    unfit = await api.post("query ($id: ID!) { node(id: $id) { id } }", {"id": {}})

    messages = [response["errors"][0]["message"] for response in (unknown, syntax, unfit)]
    assert messages[0] == "Cannot query field 'colour' on type 'Health'."
    assert messages[1].startswith("Syntax Error: Expected Name")
    assert messages[2].startswith("Variable '$id' has invalid value")
    assert unknown["errors"][0]["locations"] == [{"line": 1, "column": 12}]
