"""Who is typing: told to members at once, forgotten by itself, never in anybody's way."""

import asyncio
import time
from datetime import UTC, datetime

import pytest

from services.typing import GAP_SECONDS, LIFE_SECONDS, MOST_MEMBERS
from tests.clients import ADD, CREATE, REMOVE, Api, Json, Person, Running

SET = """mutation ($input: SetTypingInput!) { setTyping(input: $input) {
  expiresAt userErrors { code message path } } }"""
TYPING = """subscription ($id: ID!) { typing(conversationId: $id) { conversationId users { id handle } expiresAt } }"""
NOW = "query ($id: ID!) { conversation(id: $id) { typing { id } } }"


async def type_(person: Person, conversation_id: str, typing: bool = True) -> Json:
    return await person.mutate(SET, conversationId=conversation_id, typing=typing)


async def typists(running: Running) -> list[str]:
    """Return the next set."""
    return [user["id"] for user in (await running.any_update())["users"]]


async def now(person: Person, conversation_id: str) -> list[str]:
    response = await person.post(NOW, {"id": conversation_id})
    return [user["id"] for user in response["data"]["conversation"]["typing"]]


def at(value: str) -> datetime:
    return datetime.fromisoformat(value)


async def pair(api: Api, other_api: Api) -> tuple[Person, Person, str]:
    """Return two people at two processes who talk, and their conversation."""
    ann, bob = await api.register(), await other_api.register()
    return ann, bob, (await ann.talk(bob))["id"]


async def test_the_set_is_told_to_the_other_process_and_ends_by_itself(api: Api, other_api: Api) -> None:
    ann, bob, conversation = await pair(api, other_api)
    async with bob.socket() as socket:
        typing = await socket.start(TYPING, {"id": conversation})
        await asyncio.gather(*(now(bob, conversation) for _ in range(3)))
        payload = await type_(ann, conversation)
        began = await typing.any_update()
        during = await now(bob, conversation)
        ended = await typing.any_update()
        told = datetime.now(UTC)

    assert payload["userErrors"] == []
    assert [user["handle"] for user in began["users"]] == [ann.handle]
    assert began["expiresAt"] == payload["expiresAt"]
    assert during == [ann.id]
    assert ended["users"] == []
    assert 0 <= (told - at(began["expiresAt"])).total_seconds() < 1
    assert abs((at(ended["expiresAt"]) - told).total_seconds()) < 1
    assert await now(bob, conversation) == []


async def test_a_subscription_begins_with_those_who_type_and_else_with_nothing(api: Api, other_api: Api) -> None:
    ann, bob, conversation = await pair(api, other_api)
    async with bob.socket() as socket:
        silent = await socket.start(TYPING, {"id": conversation})
        await now(bob, conversation)
        await type_(ann, conversation)
        first = await typists(silent)
        late = await socket.start(TYPING, {"id": conversation})
        present = await typists(late)
        await type_(bob, conversation)
        both = [sorted(await typists(running)) for running in (silent, late)]

    assert first == present == [ann.id]
    assert both == [sorted([ann.id, bob.id])] * 2


async def test_typing_false_and_a_message_end_it(api: Api, other_api: Api) -> None:
    ann, bob, conversation = await pair(api, other_api)
    async with ann.socket() as socket:
        typing = await socket.start(TYPING, {"id": conversation})
        await now(ann, conversation)
        await type_(ann, conversation)
        sets = [await typists(typing)]  # sets that come together are told as one
        await type_(bob, conversation)
        sets.append(sorted(await typists(typing)))
        stopped = await type_(ann, conversation, typing=False)
        sets.append(await typists(typing))
        await bob.send(conversation, "that is what I typed")
        sets.append(await typists(typing))

    assert sets[0] == [ann.id]
    assert sets[1:] == [sorted([ann.id, bob.id]), [bob.id], []]
    assert stopped == {"expiresAt": None, "userErrors": []}


async def test_again_within_two_seconds_changes_nothing_and_later_prolongs(api: Api, other_api: Api) -> None:
    ann, bob, conversation = await pair(api, other_api)
    async with bob.socket() as socket:
        typing = await socket.start(TYPING, {"id": conversation})
        await now(bob, conversation)
        began = time.monotonic()
        expires = [(await type_(person, conversation))["expiresAt"] for person in (ann, ann, ann.at(other_api))]
        while (again := await type_(ann, conversation))["expiresAt"] == expires[0]:  # noqa: ASYNC110  # another process's clock
            await asyncio.sleep(0.05)  # as a client does that repeats it too often
        seconds = time.monotonic() - began
        frames = [await typing.any_update(), await typing.any_update()]

    assert len(set(expires)) == 1
    assert GAP_SECONDS - 0.1 < seconds < GAP_SECONDS + 2
    assert [frame["expiresAt"] for frame in frames] == [expires[0], again["expiresAt"]]
    assert (at(again["expiresAt"]) - at(expires[0])).total_seconds() < LIFE_SECONDS


async def test_only_members_set_it_and_see_it(api: Api, other_api: Api) -> None:
    ann, _, conversation = await pair(api, other_api)
    eve = await other_api.register()
    missing = f"cnv_{'0' * 26}"
    async with eve.socket() as socket:
        errors = [
            (await (await socket.start(TYPING, {"id": id_})).message())["payload"][0]["extensions"]["code"]
            for id_ in (conversation, missing, "nonsense")
        ]
    payloads = [await type_(eve, id_) for id_ in (conversation, missing, "nonsense")]

    assert errors == ["NOT_FOUND"] * 3
    assert [payload["userErrors"][0]["code"] for payload in payloads] == ["NOT_FOUND"] * 3
    assert payloads[0]["userErrors"][0]["path"] == ["input", "conversationId"]
    assert await now(ann, conversation) == []


async def test_whoever_is_removed_is_no_longer_shown_and_hears_no_more(api: Api, other_api: Api) -> None:
    ann, bob, conversation = await pair(api, other_api)
    async with ann.socket() as hers, bob.socket() as his:
        watching, removed = [await socket.start(TYPING, {"id": conversation}) for socket in (hers, his)]
        await asyncio.gather(now(ann, conversation), now(bob, conversation))
        await type_(bob, conversation)
        shown = [await typists(running) for running in (watching, removed)]
        await ann.mutate(REMOVE, conversationId=conversation, userId=bob.id)
        after = await typists(watching)
        while (end := await removed.message())["type"] == "next":
            pass

    assert shown == [[bob.id]] * 2
    assert after == []
    assert end["type"] == "complete"
    assert (await type_(bob, conversation))["userErrors"][0]["code"] == "NOT_FOUND"


@pytest.mark.slow
async def test_above_a_hundred_members_nobody_is_shown(api: Api) -> None:
    ann, *others = [await api.register() for _ in range(MOST_MEMBERS + 1)]
    made = await ann.mutate(CREATE, kind="GROUP", memberIds=[other.id for other in others[:99]])
    conversation = made["conversation"]["id"]
    shown = await type_(others[0], conversation)
    await ann.mutate(ADD, conversationId=conversation, userIds=[others[99].id])
    payload = await type_(ann, conversation)

    assert shown["expiresAt"] is not None
    assert payload == {"expiresAt": None, "userErrors": []}
    assert ann.id not in await now(ann, conversation)


async def test_it_needs_a_token(api: Api) -> None:
    response = await api.post(SET, {"input": {"conversationId": "x", "typing": True}})

    assert response["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
