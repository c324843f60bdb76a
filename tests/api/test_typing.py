"""Who is typing: told to members at once, forgotten by itself, never in anybody's way."""

import asyncio
import time
from datetime import UTC, datetime

from services.typing import GAP_SECONDS, LIFE_SECONDS, MOST_MEMBERS
from tests.clients import ADD, BLOCK, CREATE, REMOVE, UPDATE, Api, Json, Person, Running
from tests.local_api import local_api, new_accounts
from tests.stack_process import StackProcess

SET = """mutation ($input: SetTypingInput!) { setTyping(input: $input) {
  expiresAt userErrors { code message path } } }"""
TYPING = """subscription ($id: ID!) { typing(conversationId: $id) { conversationId users { id handle } expiresAt } }"""
NOW = "query ($id: ID!) { conversation(id: $id) { typing { id } } }"


async def type_(person: Person, conversation_id: str, typing: bool = True) -> Json:
    return await person.mutate(SET, conversationId=conversation_id, typing=typing)


async def typists(running: Running) -> list[str]:
    """Return the next set."""
    return [user["id"] for user in (await running.any_update())["users"]]


async def until(running: Running, *people: Person) -> None:
    """Wait until exactly these are told to be typing; what comes before may go together, or be what there was."""
    while sorted(await typists(running)) != sorted(person.id for person in people):
        pass


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
        for running in (silent, late):
            await until(running, ann, bob)

    assert first == present == [ann.id]


async def test_typing_false_and_a_message_end_it(api: Api, other_api: Api) -> None:
    ann, bob, conversation = await pair(api, other_api)
    async with ann.socket() as socket:
        typing = await socket.start(TYPING, {"id": conversation})
        await type_(ann, conversation)
        await type_(bob, conversation)
        await until(typing, ann, bob)
        stopped = await type_(ann, conversation, typing=False)
        await until(typing, bob)
        began = time.monotonic()
        await bob.send(conversation, "that is what I typed")
        await until(typing)
        seconds = time.monotonic() - began

    assert stopped == {"expiresAt": None, "userErrors": []}
    assert seconds < LIFE_SECONDS / 2, "it was the message, and no end by itself"


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


async def test_whoever_may_not_write_is_not_shown_as_typing(api: Api, other_api: Api) -> None:
    ann, bob = await api.register(), await other_api.register()
    channel = (await ann.talk(bob, kind="CHANNEL"))["id"]
    archived = (await ann.talk(bob))["id"]
    direct = (await ann.talk(bob, kind="DIRECT"))["id"]
    allowed = await type_(bob, direct)
    await type_(bob, direct, typing=False)
    await ann.mutate(UPDATE, conversationId=archived, archived=True)
    await ann.mutate(BLOCK, userId=bob.id)
    refused = [await type_(bob, conversation) for conversation in (channel, archived, direct)]
    shown = [await now(ann, conversation) for conversation in (channel, archived, direct)]
    no_longer = await type_(bob, direct, typing=False)

    assert allowed["expiresAt"] is not None
    for payload in refused:
        assert payload["expiresAt"] is None
        assert [error["code"] for error in payload["userErrors"]] == ["FORBIDDEN"]
        assert payload["userErrors"][0]["path"] == ["input", "conversationId"]
    assert shown == [[]] * 3
    assert no_longer == {"expiresAt": None, "userErrors": []}


async def test_whoever_is_removed_is_no_longer_shown_and_hears_no_more(api: Api, other_api: Api) -> None:
    ann, bob, conversation = await pair(api, other_api)
    async with ann.socket() as hers, bob.socket() as his:
        watching, removed = [await socket.start(TYPING, {"id": conversation}) for socket in (hers, his)]
        await asyncio.gather(now(ann, conversation), now(bob, conversation))
        await type_(bob, conversation)
        for running in (watching, removed):
            await until(running, bob)
        await ann.mutate(REMOVE, conversationId=conversation, userId=bob.id)
        await until(watching)
        while (end := await removed.message())["type"] == "next":
            pass

    assert end["type"] == "complete"
    assert (await type_(bob, conversation))["userErrors"][0]["code"] == "NOT_FOUND"


async def test_above_a_hundred_members_nobody_is_shown(api: Api, stack: StackProcess) -> None:
    ann, bob = await api.register(), await api.register()
    async with local_api(stack) as local:
        *others, last = await new_accounts(local.services.users, MOST_MEMBERS - 1)
    made = await ann.mutate(CREATE, kind="GROUP", memberIds=[bob.id, *others])
    conversation = made["conversation"]["id"]
    shown = await type_(bob, conversation)
    await ann.mutate(ADD, conversationId=conversation, userIds=[last])
    payload = await type_(ann, conversation)

    assert shown["expiresAt"] is not None
    assert payload == {"expiresAt": None, "userErrors": []}
    assert ann.id not in await now(ann, conversation)


async def test_it_needs_a_token(api: Api) -> None:
    response = await api.post(SET, {"input": {"conversationId": "x", "typing": True}})

    assert response["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
