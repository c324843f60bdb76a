"""Relay's rules for connections, on every connection that the schema has."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from string import Template
from typing import Any

import pytest
from graphql import GraphQLObjectType, get_named_type
from pymongo import MongoClient

from schema.api import graphql_schema
from services.alert_rules import AlertSeverity
from services.alerts import COLLECTION, Alert, AlertState, new_id
from services.clock import now
from tests.api.test_operators import REPORT, signed_in, with_role
from tests.api.test_search import until_found
from tests.clients import BLOCK, Api, Json, Person
from tests.stack_process import StackProcess

ITEMS = 7  # of each connection


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a query a connection stands, and what tells its nodes apart."""

    parents: tuple[str, ...] = ()
    arguments: str = ""
    node: str = "id"


# Whoever adds a connection to the schema says here how to come to it, and has `Scene` fill it.
PLACES = {
    "Conversation.members": Place(("conversation(id: $conversation)",), node="user { id }"),
    "Conversation.messages": Place(("conversation(id: $conversation)",)),
    "Message.receipts": Place(("node(id: $message)", "... on Message"), node="user { id }"),
    "Query.alerts": Place(arguments="state: RESOLVED"),
    "Query.auditEvents": Place(arguments="userId: $somebody"),
    "Query.reports": Place(),
    "Query.searchMessages": Place(arguments="query: $word"),
    "Query.users": Place(arguments="search: $prefix"),
    "Viewer.blockedUsers": Place(("viewer",)),
    "Viewer.conversations": Place(("viewer",)),
}
PAGE = """edges { cursor node { %s } } nodes { %s }
  pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"""
WINDOW = {"first": "Int", "after": "String", "last": "Int", "before": "String"}
DECLARED = ", ".join(f"${name}: {type_}" for name, type_ in WINDOW.items())
GIVEN = ", ".join(f"{name}: ${name}" for name in WINDOW)


def connections() -> dict[str, Any]:
    """Return the fields of the schema that are connections, by coordinate."""
    return {
        f"{type_.name}.{name}": field
        for type_ in graphql_schema().type_map.values()
        if isinstance(type_, GraphQLObjectType)
        for name, field in type_.fields.items()
        if get_named_type(field.type).name.endswith("Connection")
        or "pageInfo" in getattr(get_named_type(field.type), "fields", {})
    }


@dataclass(frozen=True, slots=True)
class Scene:
    """Somebody who sees as many items of each connection as there should be."""

    person: Person
    values: dict[str, str]

    async def ask(self, coordinate: str, **window: object) -> Json:
        """Return the response for one page."""
        place = PLACES[coordinate]
        field = coordinate.partition(".")[2]
        query = f"{field}({place.arguments} {GIVEN}) {{ {PAGE % (place.node, place.node)} }}"
        for parent in reversed(place.parents):
            query = f"{parent} {{ {query} }}"
        query = Template(query).safe_substitute({name: json.dumps(value) for name, value in self.values.items()})
        return await self.person.post(f"query ({DECLARED}) {{ {query} }}", dict(window))

    async def page(self, coordinate: str, **window: object) -> Json:
        """Return one page, which agrees with itself."""
        response = await self.ask(coordinate, **window)
        assert "errors" not in response, response
        page: Json = response["data"]
        for parent in PLACES[coordinate].parents:
            if not parent.startswith("..."):
                page = page[parent.partition("(")[0]]
        page = page[coordinate.partition(".")[2]]
        edges, info = page["edges"], page["pageInfo"]
        assert page["nodes"] == [edge["node"] for edge in edges]
        ends = (edges[0]["cursor"], edges[-1]["cursor"]) if edges else (None, None)
        assert (info["startCursor"], info["endCursor"]) == ends
        return page


@pytest.fixture(scope="module")
async def scene(stack: StackProcess) -> AsyncIterator[Scene]:
    async with Api(stack.urls[0]) as api:
        prefix, word = f"c{uuid.uuid4().hex[:16]}", f"w{uuid.uuid4().hex}"
        ann = await with_role(api, stack, "OPERATOR")
        others = [await api.register(f"{prefix}.{number}") for number in range(ITEMS)]
        room = await ann.talk(*others)
        said = [(await ann.send(room["id"], f"{word} {number}"))["message"] for number in range(ITEMS)]
        for message in said:
            await others[0].mutate(REPORT, messageId=message["id"], reason="It is about this.")
            await signed_in(api, others[0].handle)
        for _ in range(ITEMS - 1):
            await ann.talk()
        for other in others:
            await ann.mutate(BLOCK, userId=other.id)
        with MongoClient[Json](stack.url("mongo")) as client:  # nothing is wrong with this stack
            for number in range(ITEMS):
                alert = past_alert(f"Past{number}")
                client["parley"][COLLECTION].insert_one(alert.model_dump_doc())
        await until_found(ann, word, [message["body"] for message in reversed(said)])
        values = {"conversation": room["id"], "message": said[0]["id"], "prefix": prefix, "word": word}
        yield Scene(ann, values | {"somebody": others[0].id})


def past_alert(name: str) -> Alert:
    time = now()
    return Alert(
        id=new_id(time),
        name=name,
        severity=AlertSeverity.WARNING,
        state=AlertState.RESOLVED,
        message="It is over.",
        value=2,
        threshold=1,
        started_at=time,
        ended_at=time,
        is_open=False,
    )


def test_every_connection_of_the_schema_is_tried_here() -> None:
    assert connections().keys() == PLACES.keys()


@pytest.mark.parametrize("coordinate", sorted(connections()))
def test_a_connection_has_the_types_that_relay_expects(coordinate: str) -> None:
    field = connections()[coordinate]
    connection = get_named_type(field.type)
    edge = get_named_type(connection.fields["edges"].type)

    assert {name: str(argument.type) for name, argument in field.args.items() if name in WINDOW} == WINDOW
    assert connection.name.endswith("Connection")
    assert str(connection.fields["pageInfo"].type) == "PageInfo!"
    assert str(connection.fields["edges"].type) == f"[{edge.name}!]!"
    assert str(edge.fields["cursor"].type) == "String!"
    assert get_named_type(edge.fields["node"].type) is get_named_type(connection.fields["nodes"].type)


@pytest.mark.parametrize("coordinate", sorted(PLACES))
async def test_every_window_is_that_part_of_the_whole_and_knows_what_lies_beyond(scene: Scene, coordinate: str) -> None:
    whole = (await scene.page(coordinate, first=100))["edges"]
    cursors: list[Any] = [edge["cursor"] for edge in whole]
    assert len(set(cursors)) == len(cursors) >= ITEMS
    assert (await scene.page(coordinate))["edges"] == whole
    last = len(whole) - 1

    async def compare(after: int | None, before: int | None, *, size: int, back: bool) -> None:
        window: dict[str, object] = {"last" if back else "first": size}
        window |= {} if after is None else {"after": cursors[after]}
        window |= {} if before is None else {"before": cursors[before]}
        low, high = 0 if after is None else after + 1, last + 1 if before is None else before
        low, high = (max(low, high - size), high) if back else (low, min(high, low + size))

        page = await scene.page(coordinate, **window)

        assert page["edges"] == whole[low:high], window
        info = page["pageInfo"]
        assert (info["hasPreviousPage"], info["hasNextPage"]) == (low > 0, high <= last), window

    await asyncio.gather(
        *(
            compare(after, before, size=size, back=back)
            for after in (None, 0, 2, last)
            for before in (None, 0, 4, last)
            if after is None or before is None or after < before
            for size in (1, 3, 100)
            for back in (False, True)
        )
    )


@pytest.mark.parametrize("coordinate", sorted(PLACES))
async def test_a_page_of_none_is_empty_and_knows_that_there_is_something(scene: Scene, coordinate: str) -> None:
    first, last = await scene.page(coordinate, first=0), await scene.page(coordinate, last=0)

    assert first["edges"] == last["edges"] == []
    assert first["pageInfo"]["hasNextPage"]
    assert last["pageInfo"]["hasPreviousPage"]


@pytest.mark.parametrize("coordinate", sorted(PLACES))
async def test_a_window_that_makes_no_sense_is_refused(scene: Scene, coordinate: str) -> None:
    windows: list[dict[str, object]] = [{"first": 1, "last": 1}]
    windows += [{name: count} for name in ("first", "last") for count in (-1, 101)]
    windows += [{name: cursor} for name in ("after", "before") for cursor in ("", "nonsense", "MTo", "\0", "MTphbm4=é")]
    for window in windows:
        response = await scene.ask(coordinate, **window)

        assert [error["extensions"]["code"] for error in response.get("errors", ())] == ["BAD_USER_INPUT"], window
