"""Executions are shared by those who would see the same, and by nobody else, whatever a document selects."""

import gc
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field

import pytest
from graphql import (
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLUnionType,
    get_named_type,
)
from graphql.execution.collect_fields import FieldDetails
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from parley import cost
from parley.fanout import _Asked, _Room
from parley.protocol import NEXT_TAIL
from resolvers.context import Context
from schema.api import graphql_schema
from services.clock import now
from services.entries import Entry
from services.log import Log
from services.receipts import WatchedReceipts
from services.streams import CaughtUp, Update
from services.tokens import Claims
from tests.api.test_messages import DELETE, EDIT, FILE, PIN, REACT, SEND, UNPIN, UNREACT
from tests.clients import ADD, MARK_READ, REMOVE, UPDATES, Api, Json, Person
from tests.local_api import LocalApi, local_api
from tests.stack_process import StackProcess

LEVELS = 6
MOMENTS = {"presence", "typing"}  # of when they are read: not even the same viewer sees them twice
SCHEMA = graphql_schema()
CHANGES: list[tuple[str, Json]] = [
    (EDIT, {"body": "hello"}),
    (PIN, {}),
    (UNPIN, {}),
    (PIN, {}),
    (REACT, {"emoji": "👍"}),
    (REACT, {"emoji": "🎉"}),
    (UNREACT, {"emoji": "👍"}),
]


@dataclass
class Scene:
    """A conversation with members who joined one after the other, and its log, in a server of the test's own."""

    local: LocalApi
    conversation: str
    people: list[Person]
    viewers: list[Claims]
    log: Log
    entries: list[Entry]
    groups: Counter[int] = field(default_factory=Counter)  # documents by how many groups their subscribers were


@pytest.fixture(scope="module", autouse=True)
def unbounded() -> Iterator[None]:
    """Let documents be as large as chance makes them."""
    with pytest.MonkeyPatch.context() as patch:
        for bound in ("ALIASES", "DEFINITIONS", "DIRECTIVES", "PAIRS", "COST"):
            patch.setattr(cost, bound, 1_000_000)
        yield


@pytest.fixture(scope="module")
async def scene(stack: StackProcess) -> AsyncIterator[Scene]:
    async with local_api(stack) as local, Api(local.url) as api:
        people = [await api.register() for _ in range(4)]
        ann, bob, cyd, dan = people
        conversation = (await ann.talk(dan))["id"]
        for joining in (bob, cyd):
            await ann.send(conversation, f"before {joining.handle}")
            await ann.mutate(ADD, conversationId=conversation, userIds=[joining.id])
        await ann.mutate(REMOVE, conversationId=conversation, userId=dan.id)
        quoted, deleted = [(await ann.send(conversation, f"hello @{bob.handle}"))["message"]["id"] for _ in range(2)]
        for change, fields in CHANGES:
            await ann.mutate(change, messageId=quoted, **fields)
        await ann.mutate(DELETE, messageId=deleted)
        await bob.mutate(MARK_READ, conversationId=conversation, upToSequence=8)
        await cyd.mutate(
            SEND,
            conversationId=conversation,
            body="the last",
            clientMessageId="m1",
            replyToId=quoted,
            attachments=[FILE],
        )
        viewers = [await local.services.sessions.authenticate(person.token, now()) for person in (ann, bob, cyd)]
        log = local.services.streams.feeds._logs.known(conversation)
        assert log is not None
        scene = Scene(local, conversation, people, viewers, log, await log.entries(0, 100))
        yield scene
        # The documents were of both kinds: one group for all three viewers, and one for each.
        assert min(scene.groups[1], scene.groups[3]) >= 10
        assert set(scene.groups) == {1, 3}


@dataclass
class Writer:
    """Writes a random document; every field has an alias of its own, so that no two conflict."""

    draw: Callable[..., object]
    fragments: list[str] = field(default_factory=list)
    aliases: int = 0

    def document(self) -> str:
        update = SCHEMA.type_map["ConversationUpdate"]
        selected = self.selection(update, LEVELS)
        body = "\n".join([f"{{ conversationUpdates(conversationId: $id) {selected} }}", *self.fragments])
        used = [f", {name}: {type_}" for name, type_ in (("$n", "Int"), ("$yes", "Boolean!")) if name in body]
        return f"subscription ($id: ID!{''.join(used)}) {body}"

    def selection(self, type_: GraphQLNamedType, levels: int) -> str:
        if isinstance(type_, GraphQLUnionType | GraphQLInterfaceType):
            parts = [self.fragment(each, levels) for each in SCHEMA.get_possible_types(type_)]
        else:
            assert isinstance(type_, GraphQLObjectType)
            fields = [
                each
                for each in type_.fields.items()
                if each[0] not in MOMENTS and (levels > 1 or not self.has_fields(each[1]))
            ]
            parts = [self.field(name, field_, levels) for name, field_ in self.some(fields)]
            if self.maybe():
                parts.append(self.fragment(type_, levels - 1) if levels > 1 else "__typename")
        return "{ " + " ".join(parts or ["__typename"]) + " }"

    def fragment(self, type_: GraphQLObjectType, levels: int) -> str:
        inner = self.selection(type_, levels)
        if self.maybe():
            return f"... on {type_.name} {inner}"
        self.fragments.append(f"fragment F{len(self.fragments)} on {type_.name} {inner}")
        return f"...F{len(self.fragments) - 1}"

    def field(self, name: str, field_: GraphQLField, levels: int) -> str:
        self.aliases += 1
        text = f"a{self.aliases}: {name}"
        if "first" in field_.args and self.maybe():
            text += self.draw(st.sampled_from(["(first: 2)", "(last: 1)", "(first: $n)"]))  # type: ignore[operator]
        if self.maybe() and self.maybe():
            text += " @include(if: $yes)"
        if self.has_fields(field_):
            text += " " + self.selection(get_named_type(field_.type), levels - 1)
        return text

    def some[T](self, items: list[T]) -> list[T]:
        return self.draw(st.lists(st.sampled_from(items), unique_by=id, min_size=1, max_size=4)) if items else []  # type: ignore[return-value]

    def maybe(self) -> bool:
        return bool(self.draw(st.booleans()))

    @staticmethod
    def has_fields(field_: GraphQLField) -> bool:
        return hasattr(get_named_type(field_.type), "fields") or isinstance(
            get_named_type(field_.type), GraphQLUnionType
        )


@st.composite
def documents(draw: Callable[..., object]) -> str:
    return Writer(draw).document()


async def compare(scene: Scene, document: str) -> int:
    """See that each viewer's group gives what an execution of its own gives; return how many groups there are."""
    fanout, services = scene.local.fanout, scene.local.services
    engine, variables = fanout._engine, {"id": scene.conversation, "n": 1, "yes": True}
    operation = engine.operation(document, None)
    room = _Room(scene.conversation, services.streams.feeds, fanout._tasks, services.meter, lambda _: None)
    room.log, room.receipts = scene.log, WatchedReceipts(scene.log, services.receipts)
    groups = set()
    for claims in scene.viewers:
        context = Context(services, claims)
        executor = engine.executor(operation, variables, context)
        group = fanout._group(room, _Asked(operation, variables, context, executor))
        groups.add(group)
        receipts = [member.moved for member in (await services.receipts.stored(scene.conversation)).values()]
        updates: list[Update] = [*scene.entries, *receipts, CaughtUp(scene.conversation, 3)]
        for update in updates:
            own = await engine.event(executor, Context(services, claims), update, "request")

            assert (await group.render(update)).frame(b"").endswith(own + NEXT_TAIL)
            assert b'"errors"' not in own
    await room._opening  # with nobody in it, it lets the log go again
    return len(groups)


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # a shorter document would take minutes to find
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(document=documents())
async def test_what_a_group_shares_is_what_each_viewer_would_see_alone(scene: Scene, document: str) -> None:
    scene.groups[await compare(scene, document)] += 1


async def test_an_event_leaves_nothing_behind_with_those_who_stay(scene: Scene) -> None:
    services, engine = scene.local.services, scene.local.fanout._engine
    operation, claims = engine.operation(UPDATES, None), scene.viewers[0]
    executor = engine.executor(operation, {"id": scene.conversation}, Context(services, claims))

    async def kept() -> int:
        for entry in scene.entries:
            await engine.event(executor, Context(services, claims), entry, "request")
        gc.collect()
        return sum(isinstance(each, FieldDetails) for each in gc.get_objects())

    assert await kept() == await kept()
