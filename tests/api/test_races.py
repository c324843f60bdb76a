"""Two calls that are in each other's way, at two processes at once: it is as if one came after the other.

The table in `tests/machine/races.py` says for each pair what both are answered and what the log then has, for either
order. What is read after it, at both processes, must be what `tests/machine/rules.py` makes of the calls in that order.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest

from tests.api.test_messages import SEND
from tests.clients import UNBLOCK, Api, Json, Person, Running, Socket
from tests.machine.follower import UPDATES, plain
from tests.machine.races import RACES, UNANSWERED, Call, Outcome, Race, Scene
from tests.machine.reading import differences, expected, read_conversation
from tests.machine.rules import Room
from tests.stack_process import StackProcess

ROUNDS = 10
MOST_ROUNDS = 90  # until both orders were seen
AT_ONCE = 5
THEN = "then"  # any time
HEAD = "query ($id: ID!) { conversation(id: $id) { lastSequence cursor } }"


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
    reads: Sequence[Json | None]  # what the reader found at either process; None: no such conversation


@pytest.mark.parametrize("name", RACES)
async def test_two_calls_at_once_are_as_if_one_came_after_the_other(stage: Stage, name: str) -> None:
    race, orders, numbers = RACES[name], Counter[str](), count()

    async def rounds() -> None:
        while (number := next(numbers)) < ROUNDS or (len(orders) < 2 and number < MOST_ROUNDS):
            scene = await new_scene(stage, race)
            if (seen := await seen_in(stage, race, scene, number)) is not None:
                orders[order_of(race, scene, seen)] += 1

    # A block outlives its conversation, so that one round of it must be over before the next begins.
    async with asyncio.TaskGroup() as group:
        for _ in range(1 if race.lasts else AT_ONCE):
            group.create_task(rounds())

    assert orders.keys() == {"left first", "right first"}, orders


async def new_scene(stage: Stage, race: Race) -> Scene:
    """Return a conversation in which all that was to come before has been done."""
    ann, bob, dan = (stage.people[name] for name in ("ann", "bob", "dan"))
    if race.lasts:
        await dan.mutate(UNBLOCK, userId=ann.id)
    made = await ann.talk(*(stage.people[name] for name in ("bob", "cleo", "eve")))
    first = await bob.mutate(SEND, conversationId=made["id"], body="first", clientMessageId="first")
    scene = Scene(stage.people, made["id"], first["message"]["id"])
    for call in race.before:
        while (answered := await call.ask(scene, stage.apis[0])) == UNANSWERED:
            pass
        assert answered == "done"
    return scene


async def seen_in(stage: Stage, race: Race, scene: Scene, number: int) -> Seen | None:
    """Let both calls go, followed from before at both processes, and read at both what has come of them.

    Returns None where one of them was not answered.
    """
    eve, apis = stage.people["eve"], stage.apis
    start = await head_of(eve, scene.conversation_id)
    runs = [
        await socket.start(UPDATES, {"id": scene.conversation_id, "after": start["cursor"]}) for socket in stage.sockets
    ]
    # Whoever comes later asks something first, the more often the longer this goes on, so that either can be the faster
    # one however much longer one call takes than the other.
    delays = (0, number // 4) if number % 4 < 2 else (number // 4, 0)
    left, right = await asyncio.gather(
        *(
            call.ask(scene, api, delay)
            for call, api, delay in zip(
                (race.left, race.right), apis if number % 2 else apis[::-1], delays, strict=True
            )
        )
    )
    if UNANSWERED in {left, right}:
        for run in runs:
            await run.stop()
        return None
    end = await head_of(eve, scene.conversation_id)
    logs = [[await next_entry(run) for _ in range(end["lastSequence"] - start["lastSequence"])] for run in runs]
    for run in runs:
        await run.stop()
    reader = list(stage.people.values())[number % len(stage.people)]
    reads = [await read_conversation(reader.at(api), scene.conversation_id) for api in apis]
    return Seen(left=left, right=right, logs=logs, reader=reader.id, reads=reads)


async def head_of(person: Person, conversation_id: str) -> Json:
    head: Json = (await person.post(HEAD, {"id": conversation_id}))["data"]["conversation"]
    return head


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
    return lines or differences([wanted_read] * len(seen.reads), [timeless(found) for found in seen.reads])


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
