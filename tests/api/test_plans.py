"""Plans answer what graphql-core answers, and leave to it whatever goes wrong."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from parley.execution import Engine
from resolvers.context import Context
from schema.api import graphql_schema
from services.clock import now
from services.services import Services
from tests.clients import Api, Json, Person
from tests.local_api import local_api
from tests.stack_process import StackProcess

USER = "{ id handle displayName avatarUrl createdAt __typename }"
MESSAGE = f"""fragment Shown on Message {{
  id conversationId sequence sender {USER} body clientMessageId replyTo {{ id body sender {{ handle }} }}
  attachments {{ name url mediaType sizeBytes }} mentions {{ id }}
  reactions {{ emoji count users {{ id }} viewerHasReacted }}
  version createdAt editedAt deletedAt pinnedAt status viewerCanEdit viewerCanDelete
  receipts(first: 2) {{ nodes {{ user {{ handle }} status readVersion at }} }}
}}"""
DOCUMENTS = {
    "viewer": f"{{ viewer {{ user {USER} roles unreadCount sessions {{ id }} blockedUsers {{ nodes {{ id }} }} }} }}",
    "aliases, and one field asked for in two places": """{
      a: viewer { user { id } } b: viewer { roles } viewer { user { id } } viewer { user { handle } roles } }""",
    "a page": f"""query ($id: ID!, $last: Int = 7) {{ conversation(id: $id) {{
      id kind title memberCount lastSequence cursor viewerUnreadCount viewerMembership {{ role joinedAt }}
      viewerCanSend {{ allowed reason }} lastMessage {{ ...Shown }} pinnedMessages {{ id }}
      messages(last: $last) {{ edges {{ cursor node {{ ...Shown }} }} pageInfo {{ hasPreviousPage endCursor }} }}
      members(first: 3) {{ nodes {{ user {USER} role }} }} }} }} {MESSAGE}""",
    "nodes of several types": f"""query ($id: ID!, $user: ID!) {{
      nodes(ids: [$id, $user, "usr_{"0" * 26}"]) {{ __typename id
        ... on User {{ handle }} ... on Conversation {{ title members {{ nodes {{ user {{ id }} }} }} }}
        ... on Node {{ again: id }} }}
      node(id: $user) {{ ... on User {{ handle }} }} }}""",
    "nothing": '{ conversation(id: "cnv_00000000000000000000000000") { id } userByHandle(handle: "nobody") { id } }',
    "what is public": "{ __typename health { status version components { name status } } }",
}


@dataclass(frozen=True, slots=True)
class Room:
    """Two people in a conversation with some messages."""

    services: Services
    ann: Person
    bob: Person
    id: str

    async def both(self, query: str) -> tuple[Json, Json]:
        """Return what a plan answers, and what graphql-core does."""
        engine = Engine(graphql_schema())
        operation = engine.operation(query, None)
        assert operation.plan is not None
        defined = {node.variable.name.value for node in operation.definition.variable_definitions or ()}
        given: dict[str, Any] = {"id": self.id, "user": self.bob.id}
        variables = {name: value for name, value in given.items() if name in defined}
        claims = await self.services.sessions.authenticate(self.ann.token, now())
        values = engine._values(operation, variables)
        planned = await operation.plan.answer(Context(self.services, claims), values)
        core = await engine.execute(replace(operation, plan=None), variables, Context(self.services, claims), "a")
        return {"data": planned}, core


@pytest.fixture
async def room(stack: StackProcess) -> AsyncIterator[Room]:
    async with local_api(stack) as local, Api(local.url) as api:
        ann, bob = await api.register(), await api.register()
        conversation = await ann.talk(bob)
        for person in (ann, bob) * 5:
            await person.send(conversation["id"], f"a word for @{ann.handle}")
        yield Room(local.services, ann, bob, conversation["id"])


@pytest.mark.parametrize("name", DOCUMENTS)
async def test_a_plan_answers_as_graphql_core_does(room: Room, name: str) -> None:
    planned, core = await room.both(DOCUMENTS[name])

    assert planned == core
    assert "errors" not in core


def test_what_depends_on_directives_or_asks_for_the_schema_has_no_plan() -> None:
    engine = Engine(graphql_schema())

    for query in (
        "query ($b: Boolean!) { health { status @include(if: $b) } }",
        "{ __schema { queryType { name } } }",
        "subscription { session { kind } }",
    ):
        assert engine.operation(query, None).plan is None


async def test_an_error_is_told_as_graphql_core_tells_it(api: Api) -> None:
    whole = await api.post("{ a: health { status } b: viewer { roles } }")
    part = await api.post('{ a: health { status } c: userByHandle(handle: "a") { id } }')

    assert whole["data"] is None
    assert [(error["path"], error["locations"]) for error in whole["errors"]] == [(["b"], [{"line": 1, "column": 24}])]
    assert part["data"] == {"a": {"status": "HEALTHY"}, "c": None}
    assert [error["path"] for error in part["errors"]] == [["c"]]


async def test_a_mutation_that_fails_half_way_does_nothing_twice(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    document = """mutation {
      made: createConversation(input: {title: "one", memberIds: []}) { conversation { id } userErrors { code } }
      failed: logout { sessionId }
      never: createConversation(input: {title: "two", memberIds: []}) { conversation { id } } }"""
    calls: list[str] = []

    async def fail(*_: object) -> None:
        calls.append("logout")
        raise RuntimeError("planted")

    monkeypatch.setattr(type(room.services.sessions), "logout", fail)
    engine, claims = Engine(graphql_schema()), await room.services.sessions.authenticate(room.ann.token, now())
    operation = engine.operation(document, None)
    assert operation.plan is not None

    response = await engine.execute(operation, None, Context(room.services, claims), "a")
    titles = await room.ann.post("{ viewer { conversations { nodes { title } } } }")

    assert [(error["path"], error["extensions"]["code"]) for error in response["errors"]] == [(["failed"], "INTERNAL")]
    assert calls == ["logout"]
    assert [node["title"] for node in titles["data"]["viewer"]["conversations"]["nodes"]] == ["one", None]


async def test_variables_that_do_not_fit_are_refused_before_anything_runs(api: Api) -> None:
    ann = await api.register()

    response = await ann.post("query ($id: ID!) { conversation(id: $id) { id } }", {"id": {}})

    assert "data" not in response
    assert response["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
