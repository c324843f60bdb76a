"""Presence over the API: who is there, as everybody at every process sees it."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest

from services.presence import USERS
from tests.api.test_sessions import LOGIN
from tests.api.test_typing import SET as SET_TYPING
from tests.clients import BLOCK, PASSWORD, UPDATE, Api, Json, Person, Running
from tests.faults.harness import until
from tests.local_api import local_api, new_accounts
from tests.stack_process import StackProcess

FIELDS = "userId status lastSeenAt asOf validUntil connectionCount"
READ = f"query ($ids: [ID!]!) {{ presence(userIds: $ids) {{ {FIELDS} }} }}"
WATCH = f"subscription ($ids: [ID!]!) {{ presence(userIds: $ids) {{ {FIELDS} }} }}"
SET = f"""mutation ($input: SetPresenceInput!) {{ setPresence(input: $input) {{
  presence {{ {FIELDS} }} userErrors {{ code path }} }} }}"""
SHARE = "mutation ($input: UpdateProfileInput!) { updateProfile(input: $input) { userErrors { code } } }"
OF_USER = f"query ($id: ID!) {{ node(id: $id) {{ ... on User {{ presence {{ {FIELDS} }} }} }} }}"
NOBODY = f"usr_{'0' * 26}"


async def read(person: Person, *others: Person) -> list[Json]:
    """Return the presence of some people, as one of them reads it."""
    return await read_ids(person, [other.id for other in others])


async def read_ids(person: Person, user_ids: list[str]) -> list[Json]:
    response = await person.post(READ, {"ids": user_ids})
    found: list[Json] = response["data"]["presence"]
    return found


async def is_(person: Person, other: Person, status: str, seconds: float = 30.0) -> Json:
    """Wait until somebody is seen so."""
    async with asyncio.timeout(seconds):
        while (found := (await read(person, other))[0])["status"] != status:  # noqa: ASYNC110  # another process's state
            await asyncio.sleep(0.02)
    return found


async def has_connections(person: Person, other: Person, count: int) -> None:
    """Wait until somebody has so many."""
    async with asyncio.timeout(30):
        while (await read(person, other))[0]["connectionCount"] != count:
            pass


async def watch(stack: AsyncExitStack, person: Person, *others: Person) -> tuple[Running, list[Json]]:
    """Watch some people; return the subscription and how each was at first."""
    socket = await stack.enter_async_context(person.socket())
    running = await socket.start(WATCH, {"ids": [other.id for other in others]})
    return running, [await running.any_update() for _ in others]


async def device(person: Person) -> Person:
    """Return the same person with a session of its own."""
    payload = await person.mutate(LOGIN, handle=person.handle, password=PASSWORD)
    return Person(person.api, person.handle, person.id, payload["accessToken"], payload["refreshToken"])


async def test_the_first_socket_and_the_end_of_the_last_are_told_everywhere(api: Api, other_api: Api) -> None:
    ann, bob = await api.register(), await other_api.register()
    phone = await device(ann)
    async with AsyncExitStack() as stack:
        await is_(bob, ann, "OFFLINE")
        watching, (before,) = await watch(stack, bob, ann)
        async with ann.socket():
            online = await watching.any_update()
            (seen,) = await read(bob, ann)
            of_user = (await bob.post(OF_USER, {"id": ann.id}))["data"]["node"]["presence"]
            async with phone.at(other_api).socket():
                await has_connections(bob, ann, 2)
            await has_connections(bob, ann, 1)
        offline = await watching.any_update()  # the second device came and went without a word

    assert (before["status"], before["lastSeenAt"], before["connectionCount"]) == ("OFFLINE", None, 0)
    assert (online["userId"], online["status"], online["connectionCount"]) == (ann.id, "ONLINE", 1)
    assert (seen["status"], seen["connectionCount"]) == (of_user["status"], of_user["connectionCount"]) == ("ONLINE", 1)
    assert (offline["status"], offline["connectionCount"]) == ("OFFLINE", 0)
    for presence in (before, online, seen, offline):
        as_of, until_ = (datetime.fromisoformat(presence[name]) for name in ("asOf", "validUntil"))
        assert until_ - as_of == timedelta(seconds=300)
    online_at, gone_at, offline_at = (
        datetime.fromisoformat(value) for value in (online["asOf"], offline["lastSeenAt"], offline["asOf"])
    )
    assert online_at < gone_at
    assert timedelta(seconds=11) < offline_at - gone_at < timedelta(seconds=20)


async def test_the_present_state_of_each_comes_first(api: Api, other_api: Api) -> None:
    ann, bob, cyd = [await api.register() for _ in range(3)]
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(ann.socket())
        await is_(bob, ann, "ONLINE")
        await is_(bob, cyd, "OFFLINE")
        _, first = await watch(stack, bob.at(other_api), cyd, ann)
        _, second = await watch(stack, bob, ann)

    assert [(found["userId"], found["status"]) for found in first] == [(cyd.id, "OFFLINE"), (ann.id, "ONLINE")]
    assert [(found["userId"], found["status"]) for found in second] == [(ann.id, "ONLINE")]


async def test_everybody_may_share_nothing_with_anybody(api: Api, other_api: Api) -> None:
    ann, bob = await api.register(), await other_api.register()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(ann.socket())
        await is_(bob, ann, "ONLINE")
        watching, (first,) = await watch(stack, bob, ann)
        await ann.mutate(SHARE, sharePresence=False)
        hidden = await watching.any_update()
        to_others, to_herself = (await read(bob, ann))[0], (await read(ann, ann))[0]
        said = await ann.mutate(SET, status="AWAY")
        await ann.mutate(SET, status="ONLINE")
        await ann.mutate(SHARE, sharePresence=True)
        shown = await watching.any_update()

    assert [found["status"] for found in (first, hidden, shown)] == ["ONLINE", "UNKNOWN", "ONLINE"]
    for found in (hidden, to_others, to_herself, said["presence"]):
        assert (found["status"], found["lastSeenAt"], found["connectionCount"]) == ("UNKNOWN", None, 0)


async def test_a_block_hides_nothing(api: Api, other_api: Api) -> None:
    ann, bob = await api.register(), await other_api.register()
    await ann.mutate(BLOCK, userId=bob.id)
    async with ann.socket():
        await is_(bob, ann, "ONLINE")


async def test_a_user_is_as_present_as_the_most_present_device(api: Api, other_api: Api) -> None:
    ann, bob = await api.register(), await other_api.register()
    phone = (await device(ann)).at(other_api)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(ann.socket())
        await stack.enter_async_context(phone.socket())
        await is_(bob, ann, "ONLINE")
        watching, _ = await watch(stack, bob, ann)
        one = await ann.mutate(SET, status="AWAY")
        both = await phone.mutate(SET, status="AWAY")
        away = await watching.any_update()
        await phone.at(api).mutate(SET, status="ONLINE")
        online = await watching.any_update()
        refused = [await ann.mutate(SET, status=status) for status in ("OFFLINE", "UNKNOWN")]

    assert one["presence"]["status"] == "ONLINE"
    assert both["presence"]["connectionCount"] == 2
    assert [away["status"], online["status"]] == ["AWAY", "ONLINE"]
    for payload in refused:
        assert payload["presence"] is None
        assert payload["userErrors"] == [{"code": "INVALID_INPUT", "path": ["input", "status"]}]


async def test_bad_requests_are_told_and_strangers_are_unknown(api: Api) -> None:
    ann = await api.register()
    too_many = [f"usr_{number:026d}" for number in range(USERS + 1)]
    codes = []
    async with ann.socket() as socket:
        for ids in (too_many, ["nonsense"]):
            response = await ann.post(READ, {"ids": ids})
            codes.append(response["errors"][0]["extensions"]["code"])
            error = await (await socket.start(WATCH, {"ids": ids})).message()
            codes.append((error["type"], error["payload"][0]["extensions"]["code"]))
        unknown = await (await socket.start(WATCH, {"ids": [NOBODY]})).any_update()
    strangers = await api.post(READ, {"ids": [ann.id]})

    assert codes == ["BAD_USER_INPUT", ("error", "BAD_USER_INPUT")] * 2
    assert (unknown["status"], unknown["lastSeenAt"], unknown["connectionCount"]) == ("UNKNOWN", None, 0)
    assert (await read(ann))[:] == []
    assert strangers["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_whoever_does_nothing_is_away_and_the_next_operation_brings_them_back(
    stack: StackProcess, other_api: Api
) -> None:
    bob = await other_api.register()
    async with local_api(stack, away_seconds=2.0) as local, Api(local.url) as api, AsyncExitStack() as exit_stack:
        ann = await api.register()
        socket = await exit_stack.enter_async_context(ann.socket())
        await is_(bob, ann, "ONLINE")
        watching, _ = await watch(exit_stack, bob, ann)
        await socket.tell({"type": "ping"})
        away = await watching.any_update()
        await socket.start("{ viewer { user { id } } }")
        online = await watching.any_update()

    assert [away["status"], online["status"]] == ["AWAY", "ONLINE"]
    assert away["connectionCount"] == 1
    assert datetime.fromisoformat(away["lastSeenAt"]) < datetime.fromisoformat(away["asOf"]) - timedelta(seconds=1.5)


@pytest.mark.slow
async def test_what_was_told_is_confirmed_before_it_ends(stack: StackProcess) -> None:
    async with local_api(stack, presence_seconds=3.0) as local, Api(local.url) as api, AsyncExitStack() as exit_stack:
        ann, bob = await api.register(), await api.register()
        await exit_stack.enter_async_context(ann.socket())
        await is_(bob, ann, "ONLINE")
        watching, (first,) = await watch(exit_stack, bob, ann)
        told, came_at = [first], [datetime.now(UTC)]
        for _ in range(3):
            told.append(await watching.any_update())
            came_at.append(datetime.now(UTC))

    assert {presence["status"] for presence in told} == {"ONLINE"}
    for before, came in zip(told, came_at[1:], strict=False):
        assert came < datetime.fromisoformat(before["validUntil"])


async def test_a_hundred_who_ask_the_same_share_each_execution(stack: StackProcess) -> None:
    async with local_api(stack) as local, Api(local.url) as api, AsyncExitStack() as exit_stack:
        ann, bob = await api.register(), await api.register()
        runs = [(await watch(exit_stack, bob, ann))[0] for _ in range(100)]
        lane = local.fanout.latest.presence
        executions = lane.executions
        async with ann.socket():
            statuses = [(await running.any_update())["status"] for running in runs]

        assert statuses == ["ONLINE"] * 100
        assert lane.executions - executions == 1
        assert len(lane._groups) == 1
    await until(lambda: not lane._topics and not lane._groups, "nothing is left")


async def test_those_who_come_at_once_are_told_of_together(stack: StackProcess) -> None:
    async with local_api(stack) as local, Api(local.url) as api, AsyncExitStack() as exit_stack:
        bob, others = await api.register(), await new_accounts(local.services.users, 20)
        async with asyncio.timeout(30):
            while {each["status"] for each in (await bob.post(READ, {"ids": others}))["data"]["presence"]} != {
                "OFFLINE"
            }:
                pass
        socket = await exit_stack.enter_async_context(bob.socket())
        watching = await socket.start(WATCH, {"ids": others})
        for _ in others:
            await watching.any_update()
        lane, attendance = local.fanout.latest.presence, local.services.attendance
        writes = lane.writes
        for other in others:
            attendance.connect(other, "ses")
        told = [await watching.any_update() for _ in others]

    assert sorted(presence["userId"] for presence in told) == sorted(others)
    assert {presence["status"] for presence in told} == {"ONLINE"}
    assert lane.writes - writes < len(others) / 2


async def test_presence_and_typing_in_events_are_executed_once_for_all(stack: StackProcess) -> None:
    events = """subscription ($id: ID!) { conversationUpdates(conversationId: $id) { __typename
      ... on MessageSent { message { sender { presence { status connectionCount } } } }
      ... on ConversationChanged { conversation { typing { id } } } } }"""
    async with local_api(stack) as local, Api(local.url) as api, AsyncExitStack() as exit_stack:
        ann, bob = await api.register(), await api.register()
        conversation = (await ann.talk(bob))["id"]
        sockets = [await exit_stack.enter_async_context(person.socket()) for person in (ann, bob)]
        await is_(bob, ann, "ONLINE")
        runs = [await socket.start(events, {"id": conversation}) for socket in sockets]
        for running in runs:
            await running.until_caught_up()
        await ann.send(conversation, "hello")
        sent = [await running.update() for running in runs]
        await bob.mutate(SET_TYPING, conversationId=conversation, typing=True)
        await ann.mutate(UPDATE, conversationId=conversation, title="Both")
        changed = [await running.update() for running in runs]
        groups = len(local.fanout._rooms[conversation].groups)

    presence = {"status": "ONLINE", "connectionCount": 1}
    assert sent == [{"__typename": "MessageSent", "message": {"sender": {"presence": presence}}}] * 2
    assert [update["conversation"]["typing"] for update in changed] == [[{"id": bob.id}]] * 2
    assert groups == 1
