"""Subscriptions as server-sent events: the same as over sockets, and nothing is left when they end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import orjson
import pytest

from tests.clients import ANSWER_SECONDS, UPDATES, Api, Json, Person
from tests.faults.harness import until
from tests.local_api import local_api
from tests.stack_process import StackProcess

type Event = tuple[str, Any]


class Stream:
    """A client that reads events."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    async def event(self) -> Event | None:
        """Return the next event; None at the end of the stream."""
        name = ""
        async with asyncio.timeout(ANSWER_SECONDS):
            async for line in self._lines:
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data:"):
                    data = line.removeprefix("data:").strip()
                    return name, orjson.loads(data) if data else None
        return None

    async def update(self) -> Json:
        """Return the next update of a conversation but receipts."""
        while True:
            found = await self.event()
            assert found is not None
            name, result = found
            assert name == "next", found
            assert "errors" not in result, result
            (update,) = result["data"].values()
            if update["__typename"] != "ReceiptMoved":
                content: Json = update
                return content


@asynccontextmanager
async def opened(
    api: Api, query: str, variables: Json | None = None, token: str | None = None, **headers: str
) -> AsyncIterator[Stream]:
    sent = {"accept": "text/event-stream", **headers}
    if token is not None:
        sent["authorization"] = f"Bearer {token}"
    content = {"query": query, "variables": variables}
    async with api.http.stream("POST", f"{api.url}/graphql/stream", json=content, headers=sent) as response:
        yield Stream(response)


def updates(person: Person, conversation_id: str, after: str | None = None) -> Any:
    return opened(person.api, UPDATES, {"id": conversation_id, "after": after}, person.token)


async def test_a_conversation_is_followed_from_a_cursor_and_then_live(api: Api, other_api: Api) -> None:
    ann, bob = await api.register(), await api.register()
    conversation = await ann.talk(bob)
    sent = [await ann.send(conversation["id"], f"{number}") for number in range(3)]

    async with updates(bob, conversation["id"], conversation["cursor"]) as stream:
        replayed = [await stream.update() for _ in sent]
        caught_up = await stream.update()
        live = await ann.at(other_api).send(conversation["id"], "live")
        update = await stream.update()

    assert stream.response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert stream.response.headers["cache-control"] == "no-store"
    assert [update["message"]["body"] for update in replayed] == ["0", "1", "2"]
    assert caught_up["__typename"] == "CaughtUp"
    assert update["sequence"] == live["message"]["sequence"]


async def test_a_query_and_a_mutation_have_one_result(api: Api) -> None:
    ann = await api.register()

    for query in ("{ viewer { roles } }", "mutation { logout { sessionId } }"):
        async with opened(api, query, token=ann.token) as stream:
            found = [await stream.event(), await stream.event(), await stream.event()]

        assert found[0] is not None
        assert found[0][0] == "next"
        assert "errors" not in found[0][1]
        assert found[1:] == [("complete", None), None]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("subscription { nothing }", "GRAPHQL_VALIDATION_FAILED"),
        (
            'subscription { typing(conversationId: "cnv_00000000000000000000000000") { users { id } } }',
            "UNAUTHENTICATED",
        ),
    ],
)
async def test_what_is_wrong_is_the_only_result(api: Api, query: str, code: str) -> None:
    async with opened(api, query) as stream:
        found, end = await stream.event(), await stream.event()

    assert stream.response.status_code == 200
    assert found is not None
    assert [error["extensions"]["code"] for error in found[1]["errors"]] == [code]
    assert end == ("complete", None)


async def test_requests_that_cannot_have_a_stream_have_a_plain_answer(api: Api) -> None:
    ann = await api.register()
    url = f"{api.url}/graphql/stream"

    async with opened(api, "{ __typename }", token="none") as refused:
        await refused.response.aread()
    plain = await api.http.post(url, json={"query": "{ __typename }"}, headers={"accept": "application/json"})
    method = await api.http.delete(url, headers={"accept": "text/event-stream"})
    mutation = await api.http.get(
        url,
        params={"query": "mutation { logout { sessionId } }"},
        headers={"accept": "text/event-stream", "authorization": f"Bearer {ann.token}"},
    )

    statuses = [answer.status_code for answer in (refused.response, plain, method, mutation)]
    assert statuses == [401, 406, 405, 405]
    for answer in (refused.response, plain, method, mutation):
        assert answer.headers["content-type"] == "application/json; charset=utf-8"
        assert answer.json()["errors"][0]["extensions"]["code"]


async def test_nothing_is_left_of_a_stream_whose_client_has_gone(stack: StackProcess) -> None:
    async with local_api(stack) as local, Api(local.url) as api:
        ann = await api.register()
        conversation = await ann.talk()
        async with updates(ann, conversation["id"]) as stream:
            await stream.update()
            assert len(local.sockets.streams) == 1
            assert local.fanout._rooms
        await until(lambda: not local.sockets.streams and not local.fanout._rooms, "the end of the stream")


async def test_an_ended_session_ends_its_streams_after_it_was_told(api: Api) -> None:
    ann = await api.register()
    conversation = await ann.talk()

    async with (
        updates(ann, conversation["id"]) as stream,
        opened(api, "subscription { session { kind } }", token=ann.token) as session,
    ):
        await stream.update()
        await ann.post("mutation { logout { sessionId } }")
        told = [await session.event(), await session.event(), await session.event()]
        end = await stream.event()

    assert told == [("next", {"data": {"session": {"kind": "REVOKED"}}}), ("complete", None), None]
    assert end is None, "without `complete`: the client asks again, and is refused"


async def test_a_stopping_process_ends_its_streams_without_completing_them(stack: StackProcess) -> None:
    async with local_api(stack) as local, Api(local.url) as api:
        ann = await api.register()
        conversation = await ann.talk()
        async with updates(ann, conversation["id"]) as stream:
            await stream.update()
            local.stop()
            end = await stream.event()

    assert end is None


async def test_a_session_has_at_most_50_streams_at_once(api: Api) -> None:
    ann = await api.register()
    query = "subscription { session { kind } }"
    async with AsyncExitStack() as streams:
        for _ in range(50):
            await streams.enter_async_context(opened(api, query, token=ann.token))
        async with opened(api, query, token=ann.token) as one_more:
            found = await one_more.event()

    assert found is not None
    assert found[1]["errors"][0]["extensions"] == {"code": "RATE_LIMITED", "retryable": True}
