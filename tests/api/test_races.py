"""Two calls that are in each other's way, at two processes at once: it is as if one came after the other.

The table says for each pair what both are answered and what the log then has, for either order. What is read after it,
at both processes, must be what `tests/machine/rules.py` makes of the calls in that order.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest

from tests.api.test_messages import DELETE, EDIT, PIN, REACT, SEND, UNPIN, UNREACT
from tests.clients import (
    ADD,
    BLOCK,
    LEAVE,
    MARK_READ,
    REMOVE,
    SET_ROLE,
    UNBLOCK,
    UPDATE,
    Api,
    Json,
    Person,
    Running,
    Socket,
)
from tests.machine.follower import UPDATES, plain
from tests.machine.reading import differences, expected, read
from tests.machine.rules import Message, Refused, Role, Room
from tests.stack_process import StackProcess

ROUNDS = 15
MOST_ROUNDS = 90  # until both orders were seen
AT_ONCE = 5
THEN = "then"  # any time

type Outcome = tuple[str, str, Sequence[str]]  # what the left and the right call are answered, and the log after it


@dataclass(frozen=True, slots=True)
class Scene:
    """Where one round takes place: Ann owns it, Bob and Cleo are in, Dan is not; Bob has said something."""

    people: dict[str, Person]
    conversation_id: str
    message_id: str

    def user(self, name: str) -> str:
        return self.people[name].id


@dataclass(frozen=True, slots=True)
class Call:
    """One mutation, as the API is asked for it and as the rules have it."""

    actor: str
    query: str
    given: Callable[[Scene], Json]
    made: Callable[[Room, Scene, str], object]

    async def ask(self, scene: Scene, api: Api, questions: int = 0) -> str:
        """Make the call, after some questions that only take time; return what was answered."""
        person = scene.people[self.actor].at(api)
        for _ in range(questions):
            await person.post("{ __typename }")
        payload = await person.mutate(self.query, **self.given(scene))
        return answer([(error["code"], error["path"][-1]) for error in payload["userErrors"]])

    def apply(self, room: Room, scene: Scene) -> str:
        """Apply it to the rules; return what they answer."""
        try:
            self.made(room, scene, scene.user(self.actor))
        except Refused as refused:
            return answer([(refused.code, refused.part)])
        return answer([])


def answer(errors: list[tuple[str, str]]) -> str:
    return " ".join(f"{code} {part}" for code, part in errors) or "done"


def said(room: Room) -> Message:
    return next(iter(room.messages.values()))


# ---------------------------------------------------------------- the calls


def of_conversation(
    actor: str, query: str, made: Callable[[Room, Scene, str], object], given: Callable[[Scene], Json]
) -> Call:
    return Call(actor, query, lambda scene: {"conversationId": scene.conversation_id, **given(scene)}, made)


def of_message(actor: str, query: str, made: Callable[[Room, str], object], **given: object) -> Call:
    return Call(
        actor,
        query,
        lambda scene: {"messageId": scene.message_id, **given},
        lambda room, _, user_id: made(room, user_id),
    )


def send(actor: str, *, reply: bool = False) -> Call:
    return of_conversation(
        actor,
        SEND,
        lambda room, _, user_id: room.send(user_id, "new", "news", said(room) if reply else None, []),
        lambda scene: {
            "body": "news",
            "clientMessageId": "new",
            "replyToId": scene.message_id if reply else None,
        },
    )


def edit(actor: str, body: str, version: int | None = None) -> Call:
    return of_message(
        actor, EDIT, lambda room, user: room.edit(user, said(room), body, version), body=body, expectedVersion=version
    )


def delete(actor: str) -> Call:
    return of_message(actor, DELETE, lambda room, user: room.delete(user, said(room)))


def react(actor: str) -> Call:
    return of_message(actor, REACT, lambda room, user: room.react(user, said(room), "👍"), emoji="👍")


def unreact(actor: str) -> Call:
    return of_message(actor, UNREACT, lambda room, user: room.unreact(user, said(room), "👍"), emoji="👍")


def pin(actor: str) -> Call:
    return of_message(actor, PIN, lambda room, user: room.pin(user, said(room)))


def unpin(actor: str) -> Call:
    return of_message(actor, UNPIN, lambda room, user: room.unpin(user, said(room)))


def add(actor: str, whom: str) -> Call:
    return of_conversation(
        actor,
        ADD,
        lambda room, scene, user: room.add(user, [scene.user(whom)]),
        lambda scene: {"userIds": [scene.user(whom)]},
    )


def remove(actor: str, whom: str) -> Call:
    return of_conversation(
        actor,
        REMOVE,
        lambda room, scene, user: room.remove(user, scene.user(whom)),
        lambda scene: {"userId": scene.user(whom)},
    )


def leave(actor: str) -> Call:
    return of_conversation(actor, LEAVE, lambda room, _, user: room.leave(user), lambda _: {})


def set_role(actor: str, whom: str, role: Role) -> Call:
    return of_conversation(
        actor,
        SET_ROLE,
        lambda room, scene, user: room.set_role(user, scene.user(whom), role),
        lambda scene: {"userId": scene.user(whom), "role": role},
    )


def archive(actor: str, *, archived: bool = True) -> Call:
    return of_conversation(
        actor,
        UPDATE,
        lambda room, _, user: room.change(user, {"archived": archived}),
        lambda _: {"archived": archived},
    )


def mark_read(actor: str) -> Call:
    return of_conversation(
        actor, MARK_READ, lambda room, _, user: room.mark(user, 2, read=True), lambda _: {"upToSequence": 2}
    )


def block(actor: str, whom: str) -> Call:
    return Call(
        actor,
        BLOCK,
        lambda scene: {"userId": scene.user(whom)},
        lambda room, scene, user: room.block(user, scene.user(whom), blocked=True),
    )


# ---------------------------------------------------------------- the table


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """Two calls, and what comes of them in either order."""

    before: Sequence[Call] = ()  # what is done before, in turn
    left: Call
    right: Call
    left_first: Outcome
    right_first: Outcome


BOB_OWNS = [set_role("ann", "bob", "OWNER")]
BOB_MODERATES = [set_role("ann", "bob", "MODERATOR")]

RACES = {
    "remove, send": Race(
        left=remove("ann", "bob"),
        right=send("bob"),
        left_first=("done", "NOT_FOUND conversationId", ["ann MemberRemoved"]),
        right_first=("done", "done", ["bob MessageSent", "ann MemberRemoved"]),
    ),
    "remove, edit": Race(
        left=remove("ann", "bob"),
        right=edit("bob", "better"),
        left_first=("done", "NOT_FOUND messageId", ["ann MemberRemoved"]),
        right_first=("done", "done", ["bob MessageEdited", "ann MemberRemoved"]),
    ),
    "remove, mark as read": Race(
        left=remove("ann", "bob"),
        right=mark_read("bob"),
        left_first=("done", "NOT_FOUND conversationId", ["ann MemberRemoved"]),
        right_first=("done", "done", ["ann MemberRemoved"]),
    ),
    "edit, delete": Race(
        left=edit("bob", "better"),
        right=delete("ann"),
        left_first=("done", "done", ["bob MessageEdited", "ann MessageDeleted"]),
        right_first=("FORBIDDEN messageId", "done", ["ann MessageDeleted"]),
    ),
    "edit, edit of one version": Race(
        left=edit("bob", "better", 1),
        right=edit("bob", "best", 1),
        left_first=("done", "CONFLICT expectedVersion", ["bob MessageEdited"]),
        right_first=("CONFLICT expectedVersion", "done", ["bob MessageEdited"]),
    ),
    "edit, edit": Race(
        left=edit("bob", "better"),
        right=edit("bob", "best"),
        left_first=("done", "done", ["bob MessageEdited", "bob MessageEdited"]),
        right_first=("done", "done", ["bob MessageEdited", "bob MessageEdited"]),
    ),
    "the last two owners leave": Race(
        before=BOB_OWNS,
        left=leave("ann"),
        right=leave("bob"),
        left_first=("done", "FORBIDDEN conversationId", ["ann MemberRemoved"]),
        right_first=("FORBIDDEN conversationId", "done", ["bob MemberRemoved"]),
    ),
    "the last two owners step down": Race(
        before=BOB_OWNS,
        left=set_role("ann", "ann", "MEMBER"),
        right=set_role("bob", "bob", "MEMBER"),
        left_first=("done", "FORBIDDEN role", ["ann MemberRoleChanged"]),
        right_first=("FORBIDDEN role", "done", ["bob MemberRoleChanged"]),
    ),
    "two owners demote each other": Race(
        before=BOB_OWNS,
        left=set_role("ann", "bob", "MEMBER"),
        right=set_role("bob", "ann", "MEMBER"),
        left_first=("done", "FORBIDDEN conversationId", ["ann MemberRoleChanged"]),
        right_first=("FORBIDDEN conversationId", "done", ["bob MemberRoleChanged"]),
    ),
    "leave, role": Race(
        left=leave("bob"),
        right=set_role("ann", "bob", "OWNER"),
        left_first=("done", "NOT_FOUND userId", ["bob MemberRemoved"]),
        right_first=("done", "done", ["ann MemberRoleChanged", "bob MemberRemoved"]),
    ),
    "role, delete what another said": Race(
        before=[set_role("ann", "cleo", "MODERATOR")],
        left=set_role("ann", "cleo", "MEMBER"),
        right=delete("cleo"),
        left_first=("done", "FORBIDDEN messageId", ["ann MemberRoleChanged"]),
        right_first=("done", "done", ["cleo MessageDeleted", "ann MemberRoleChanged"]),
    ),
    "role, remove": Race(
        before=BOB_MODERATES,
        left=set_role("ann", "bob", "MEMBER"),
        right=remove("bob", "cleo"),
        left_first=("done", "FORBIDDEN conversationId", ["ann MemberRoleChanged"]),
        right_first=("done", "done", ["bob MemberRemoved", "ann MemberRoleChanged"]),
    ),
    "add, add": Race(
        before=BOB_MODERATES,
        left=add("ann", "dan"),
        right=add("bob", "dan"),
        left_first=("done", "done", ["ann MemberAdded"]),
        right_first=("done", "done", ["bob MemberAdded"]),
    ),
    "add, remove": Race(
        before=BOB_MODERATES,
        left=add("ann", "dan"),
        right=remove("bob", "dan"),
        left_first=("done", "done", ["ann MemberAdded", "bob MemberRemoved"]),
        right_first=("done", "NOT_FOUND userId", ["ann MemberAdded"]),
    ),
    "block, add": Race(
        left=block("dan", "ann"),
        right=add("ann", "dan"),
        left_first=("done", "NOT_FOUND userIds", []),
        right_first=("done", "done", ["ann MemberAdded"]),
    ),
    "archive, send": Race(
        left=archive("ann"),
        right=send("bob"),
        left_first=("done", "FORBIDDEN conversationId", ["ann ConversationChanged"]),
        right_first=("done", "done", ["bob MessageSent", "ann ConversationChanged"]),
    ),
    "archive, react": Race(
        left=archive("ann"),
        right=react("bob"),
        left_first=("done", "FORBIDDEN messageId", ["ann ConversationChanged"]),
        right_first=("done", "done", ["bob ReactionAdded", "ann ConversationChanged"]),
    ),
    "archive, take that back": Race(
        before=BOB_MODERATES,
        left=archive("ann"),
        right=archive("bob", archived=False),
        left_first=("done", "done", ["ann ConversationChanged", "bob ConversationChanged"]),
        right_first=("done", "done", ["ann ConversationChanged"]),
    ),
    "pin, unpin": Race(
        before=BOB_MODERATES,
        left=pin("ann"),
        right=unpin("bob"),
        left_first=("done", "done", ["ann MessagePinned", "bob MessageUnpinned"]),
        right_first=("done", "done", ["ann MessagePinned"]),
    ),
    "react, unreact": Race(
        left=react("cleo"),
        right=unreact("cleo"),
        left_first=("done", "done", ["cleo ReactionAdded", "cleo ReactionRemoved"]),
        right_first=("done", "done", ["cleo ReactionAdded"]),
    ),
    "delete, delete": Race(
        left=delete("ann"),
        right=delete("bob"),
        left_first=("done", "done", ["ann MessageDeleted"]),
        right_first=("done", "done", ["bob MessageDeleted"]),
    ),
    "delete, pin": Race(
        left=delete("bob"),
        right=pin("ann"),
        left_first=("done", "FORBIDDEN messageId", ["bob MessageDeleted"]),
        right_first=("done", "done", ["ann MessagePinned", "bob MessageDeleted"]),
    ),
    "delete, react": Race(
        left=delete("bob"),
        right=react("cleo"),
        left_first=("done", "FORBIDDEN messageId", ["bob MessageDeleted"]),
        right_first=("done", "done", ["cleo ReactionAdded", "bob MessageDeleted"]),
    ),
    "delete, reply": Race(
        left=delete("bob"),
        right=send("cleo", reply=True),
        left_first=("done", "NOT_FOUND replyToId", ["bob MessageDeleted"]),
        right_first=("done", "done", ["cleo MessageSent", "bob MessageDeleted"]),
    ),
}


# ---------------------------------------------------------------- running them


@dataclass(frozen=True, slots=True)
class Stage:
    """People, and sockets of one who stays, at both processes."""

    apis: Sequence[Api]
    people: dict[str, Person]
    sockets: Sequence[Socket]  # of Eve, who is in every conversation


@pytest.fixture(scope="module")
async def stage(stack: StackProcess) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as exits:
        apis = [await exits.enter_async_context(Api(url)) for url in stack.urls]
        names = ("ann", "bob", "cleo", "dan", "eve")
        people = dict(zip(names, await asyncio.gather(*(apis[0].register() for _ in names)), strict=True))
        sockets = [await exits.enter_async_context(people["eve"].at(api).socket()) for api in apis]
        yield Stage(apis, people, sockets)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What came of one round."""

    left: str
    right: str
    logs: Sequence[Sequence[Json]]  # the entries that came to Eve at either process
    reader: str
    reads: Sequence[Json]  # what the reader found at either process


@pytest.mark.parametrize("name", RACES)
async def test_two_calls_at_once_are_as_if_one_came_after_the_other(stage: Stage, name: str) -> None:
    race, orders, numbers = RACES[name], Counter[str](), count()

    async def rounds() -> None:
        while (number := next(numbers)) < ROUNDS or (len(orders) < 2 and number < MOST_ROUNDS):
            scene = await new_scene(stage, race)
            orders[order_of(race, scene, await seen_in(stage, race, scene, number))] += 1

    # A block outlives its conversation, so that one round of it must be over before the next begins.
    lasts = BLOCK in {race.left.query, race.right.query}
    async with asyncio.TaskGroup() as group:
        for _ in range(1 if lasts else AT_ONCE):
            group.create_task(rounds())

    assert orders.keys() == {"left first", "right first"}, orders


async def new_scene(stage: Stage, race: Race) -> Scene:
    """Return a conversation in which all that was to come before has been done."""
    ann, bob, dan = (stage.people[name] for name in ("ann", "bob", "dan"))
    await dan.mutate(UNBLOCK, userId=ann.id)
    made = await ann.talk(*(stage.people[name] for name in ("bob", "cleo", "eve")))
    first = await bob.mutate(SEND, conversationId=made["id"], body="first", clientMessageId="first")
    scene = Scene(stage.people, made["id"], first["message"]["id"])
    for call in race.before:
        assert await call.ask(scene, stage.apis[0]) == "done"
    return scene


async def seen_in(stage: Stage, race: Race, scene: Scene, number: int) -> Seen:
    """Let both calls go, followed from before at both processes, and read at both what has come of them."""
    eve, apis = stage.people["eve"], stage.apis
    start = (await read(eve, scene.conversation_id))["conversation"]
    runs = [
        await socket.start(UPDATES, {"id": scene.conversation_id, "after": start["cursor"]}) for socket in stage.sockets
    ]
    # Whoever comes later asks something first, not always as often, so that either can be the faster one.
    delays = (0, number // 2 % 3) if number % 4 < 2 else (number // 2 % 3, 0)
    left, right = await asyncio.gather(
        *(
            call.ask(scene, api, delay)
            for call, api, delay in zip(
                (race.left, race.right), apis if number % 2 else apis[::-1], delays, strict=True
            )
        )
    )
    head = (await read(eve, scene.conversation_id))["conversation"]["lastSequence"]
    logs = [[await next_entry(run) for _ in range(head - start["lastSequence"])] for run in runs]
    for run in runs:
        await run.stop()
    reader = list(stage.people.values())[number % len(stage.people)]
    reads = [await read(reader.at(api), scene.conversation_id) for api in apis]
    return Seen(left=left, right=right, logs=logs, reader=reader.id, reads=reads)


async def next_entry(run: Running) -> Json:
    """Return the next entry of the log."""
    while (update := await run.update())["__typename"] == "CaughtUp":
        pass
    return update


def order_of(race: Race, scene: Scene, seen: Seen) -> str:
    """Return which of the two orders explains a round; one of them must."""
    orders = {
        "left first": differences_from(race, scene, seen, (race.left, race.right), race.left_first),
        "right first": differences_from(race, scene, seen, (race.right, race.left), race.right_first),
    }
    found = next((order for order, lines in orders.items() if not lines), None)
    assert found is not None, orders
    return found


def differences_from(race: Race, scene: Scene, seen: Seen, calls: Sequence[Call], outcome: Outcome) -> list[str]:
    """Return what is not as if these calls had been made in turn."""
    names = {person.id: name for name, person in scene.people.items()}
    logs = [[f"{names[entry['actor']['id']]} {entry['__typename']}" for entry in log] for log in seen.logs]
    wanted = [*outcome[:2], [outcome[2]] * len(logs)]
    if lines := differences(wanted, [seen.left, seen.right, logs]):
        return lines
    room = new_room(scene)
    for call in race.before:
        call.apply(room, scene)
    first = room.sequence
    answers = {id(call): call.apply(room, scene) for call in calls}
    assert [answers[id(race.left)], answers[id(race.right)]] == [*outcome[:2]], "the table is not what the rules say"
    for sequence, message in room.messages.items():
        message.id = f"{scene.message_id[:-12]}{sequence:012d}"
    events = [room.log[sequence - 1].event(sequence) for sequence in range(first + 1, room.sequence + 1)]
    lines = differences([unsaid(event) for event in events], [unsaid(plain(entry)) for entry in seen.logs[0]])
    wanted_read = expected(
        room, seen.reader, scene.conversation_id, lambda place: None if place is None else THEN, cursor="", elsewhere=0
    )["conversation"]
    return lines or differences(
        [wanted_read] * len(seen.reads), [timeless(found["conversation"]) for found in seen.reads]
    )


def unsaid(event: Json) -> Json:
    """Return an event without the words, which may have been taken back before it was shown."""
    message = event.get("message") and {name: event["message"][name] for name in ("id", "version")}
    return {**event, "message": message}


def timeless(found: Any) -> Any:
    """Return what was read without when it was, and without cursors."""
    if isinstance(found, list):
        return [timeless(value) for value in found]
    if not isinstance(found, dict):
        return found
    return {
        name: value and THEN if name.endswith("At") else "" if name == "cursor" else timeless(value)
        for name, value in found.items()
    }


def new_room(scene: Scene) -> Room:
    """Return what the rules make of a scene."""
    others = [scene.user(name) for name in ("bob", "cleo", "eve")]
    room = Room("GROUP", {person.id: person.handle for person in scene.people.values()}, scene.user("ann"), others)
    room.send(scene.user("bob"), "first", "first", None, []).id = scene.message_id
    return room
