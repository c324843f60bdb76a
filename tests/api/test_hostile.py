"""Hostile requests are refused with a code, before they cost much; what honest clients ask for passes."""

import asyncio
import gc
import time
from collections.abc import Iterator

import pytest
from graphql import get_introspection_query

from parley import execution
from parley.execution import Engine, RequestRefused
from resolvers.context import Context
from schema.api import graphql_schema
from tests.clients import SEND, Api, Json, Person
from tests.hostile import CORPUS, Hostile
from tests.local_api import local_api
from tests.stack_process import StackProcess

ANSWER_BYTES = 20_000

by_name = pytest.mark.parametrize("hostile", CORPUS, ids=lambda hostile: hostile.name)


@by_name
async def test_it_is_refused_over_http(api: Api, hostile: Hostile) -> None:
    response = await api.http.post(f"{api.url}/graphql", json={"query": hostile.query, "variables": hostile.variables})

    errors = response.json()["errors"]
    assert {error["extensions"]["code"] for error in errors} == {hostile.code}
    assert errors[0]["extensions"]["retryable"] is False
    assert "data" not in response.json()
    assert len(response.content) < ANSWER_BYTES


async def test_it_is_refused_on_a_socket_and_the_socket_stays(api: Api) -> None:
    ann = await api.register()
    async with ann.socket() as socket:
        for hostile in CORPUS:
            message = await (await socket.start(hostile.query, hostile.variables)).message()

            assert message["type"] == "error", hostile.name
            assert message["payload"][0]["extensions"]["code"] == hostile.code, hostile.name
        last = await (await socket.start("{ viewer { roles } }")).message()

    assert last["type"] == "next"


@pytest.fixture
def frozen() -> Iterator[None]:
    """Leave what there is out of garbage collections, as a server does with its schema."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def refuse(engine: Engine, hostile: Hostile) -> None:
    context: Context = None  # type: ignore[assignment]  # nothing comes to that
    engine.executor(engine.operation(hostile.query, None), hostile.variables, context)


@pytest.mark.usefixtures("frozen")
def test_refusing_it_costs_little() -> None:
    """Print what each costs; how long anything takes is no test's to assert."""
    engine = Engine(graphql_schema())
    figures: list[tuple[float, str]] = []
    for hostile in CORPUS:
        started = time.process_time()
        with pytest.raises(RequestRefused) as refused:
            refuse(engine, hostile)
        figures.append(((time.process_time() - started) * 1_000, hostile.name))

        assert refused.value.errors[0]["extensions"]["code"] == hostile.code

    print("\n".join(f"{milliseconds:6.1f} ms CPU  {name}" for milliseconds, name in sorted(figures, reverse=True)))


async def test_the_message_says_what_and_how_much(api: Api) -> None:
    response = await api.post(
        "{ viewer { conversations(first: 100) { nodes { members(first: 100) { nodes { role } } } } } }"
    )

    assert response["errors"][0]["message"] == (
        "The operation has 10,100 items of lists to read; at most 5,000 are allowed."
    )


async def test_what_clients_ask_for_passes(api: Api) -> None:
    ann = await api.register()
    await ann.talk()
    chat = """query { viewer { user { ...who } unreadCount conversations(first: 20) { pageInfo { hasNextPage }
      edges { cursor node { id title kind viewerUnreadCount viewerCanSend { allowed reason }
        lastMessage { id body sender { ...who } }
        members(first: 50) { nodes { role deliveredSequence readSequence user { ...who } } } } } } } }
      fragment who on User { id handle displayName avatarUrl }"""

    for query in (chat, get_introspection_query(input_value_deprecation=True)):
        assert "errors" not in await ann.post(query)


async def test_a_batch_is_refused(api: Api) -> None:
    response = await api.http.post(f"{api.url}/graphql", json=[{"query": "{ health { status } }"}] * 10_000)

    assert response.status_code in {400, 413}
    assert len(response.json()["errors"]) == 1


async def test_the_schema_can_be_kept_from_clients(stack: StackProcess) -> None:
    async with local_api(stack, introspection=False) as served, Api(served.url) as api:
        whole = await api.post(get_introspection_query())
        one = await api.post('{ __type(name: "User") { name } }')
        misspelt = await api.post("{ healt { status } }")
        named = await api.post("{ health { __typename } }")

    assert {error["extensions"]["code"] for error in whole["errors"] + one["errors"]} == {"GRAPHQL_VALIDATION_FAILED"}
    assert "Did you mean" not in misspelt["errors"][0]["message"]
    assert named == {"data": {"health": {"__typename": "Health"}}}


async def first_messages(person: Person, conversation_id: str) -> list[Json]:
    """Return a conversation's messages as soon as there are some."""
    query = "query ($id: ID!) { conversation(id: $id) { messages { nodes { id body } } } }"
    async with asyncio.timeout(20):
        while True:
            found = (await person.post(query, {"id": conversation_id})).get("data") or {}
            nodes: list[Json] = ((found.get("conversation") or {}).get("messages") or {}).get("nodes", [])
            if nodes:
                return nodes
            await asyncio.sleep(0.05)


async def test_what_takes_too_long_is_answered_and_a_mutation_goes_on(
    stack: StackProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with local_api(stack) as served, Api(served.url) as api:
        ann = await api.register()
        conversation = await ann.talk()
        send = {"input": {"conversationId": conversation["id"], "body": "hello", "clientMessageId": "the-id"}}
        with stack.stopped("mongo"), monkeypatch.context() as patch:
            patch.setattr(execution, "EXECUTION_SECONDS", 0.5)
            read = await ann.post('{ users(search: "xx") { nodes { id } } }')
            sent = await ann.post(SEND, send)
        nodes = await first_messages(ann, conversation["id"])
        again = await ann.post(SEND, send)

    assert [error["extensions"]["code"] for error in read["errors"]] == ["TIMEOUT"]
    assert [error["extensions"]["code"] for error in sent["errors"]] == ["COMMIT_UNKNOWN"]
    assert all(answer["errors"][0]["extensions"]["retryable"] for answer in (read, sent))
    assert [node["body"] for node in nodes] == ["hello"], "it was under way, and was not taken back"
    assert again["data"]["sendMessage"]["message"]["id"] == nodes[0]["id"]
