"""Who misses a message is told of it, once, and nobody else is."""

import asyncio
import base64
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from pymongo import MongoClient

from services import ids
from services.mongo import Document
from tests.clients import ADD, BLOCK, MARK_DELIVERED, MUTE, REGISTER_PUSH, REMOVE_PUSH, Api, Json, Person
from tests.push_receiver import Receiver
from tests.stack_process import StackProcess

DELETE = """mutation ($input: DeleteMessageInput!) { deleteMessage(input: $input) {
  message { id } userErrors { code message path } } }"""
LOGOUT = "mutation { logout { sessionId } }"
SECRET = "0123456789abcdef"
POINT = base64.urlsafe_b64encode(b"\x04" + bytes(64)).rstrip(b"=").decode()


@pytest.fixture
async def receiver(api: Api) -> AsyncIterator[Receiver]:
    async with Receiver().running() as receiver:
        response = await api.post("{ pushPublicKey }")
        receiver.public_key = response["data"]["pushPublicKey"]
        yield receiver
        assert receiver.faults == []


def pushes_of(stack: StackProcess, message: Json) -> list[str]:
    """Wait until it is decided whom to tell of a message and all were told; return their ids."""
    conversation, sequence = ids.message_place(message["id"])
    place = f"{conversation}:{sequence:012d}"
    client: MongoClient[Document] = MongoClient(stack.url("mongo"))
    with client:
        database = client["parley"]

        def is_over() -> bool:
            decision = database["push_decisions"].find_one({"_id": place})
            waits = any(document["_id"].endswith(place) for document in database["push_queue"].find({}))
            return decision is not None and decision["after"] is None and not waits

        stack.wait_for(is_over, 60)
        return [
            document["_id"].partition(":")[0]
            for document in database["pushes"].find({})
            if document["_id"].endswith(place)
        ]


async def test_only_who_misses_a_message_and_wants_to_hear_of_it_is_told(
    stack: StackProcess, api: Api, receiver: Receiver
) -> None:
    ann, away, online, muted, blocker, reached, gone = [await api.register() for _ in range(7)]
    others = (away, online, muted, blocker, reached, gone)
    room = await ann.talk(*others)
    devices = {person.id: await receiver.webhook(person) for person in (ann, *others)}
    browser = await receiver.browser(away)
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    await muted.mutate(MUTE, conversationId=room["id"], until=tomorrow)
    await blocker.mutate(BLOCK, userId=ann.id)
    await gone.post(LOGOUT)

    async with online.socket():
        message = (await ann.send(room["id"], "Hello, you there"))["message"]
        await reached.mutate(MARK_DELIVERED, conversationId=room["id"], upToSequence=message["sequence"])
        told = await asyncio.to_thread(pushes_of, stack, message)

    assert told == [away.id]
    assert {arrival.endpoint for arrival in receiver.arrivals} == {devices[away.id].name, browser.name}
    first, second = receiver.arrivals
    assert first.content == second.content
    assert first.id == ids.push(away.id, room["id"], message["sequence"])
    assert first.content["messageId"] == message["id"]
    assert first.content["sender"] == {"id": ann.id, "name": ann.handle}
    assert first.content["body"] == "Hello, you there"


async def test_a_push_that_was_not_taken_comes_again_under_the_same_id(
    stack: StackProcess, api: Api, receiver: Receiver
) -> None:
    ann, away = [await api.register() for _ in range(2)]
    room = await ann.talk(away)
    slow = await receiver.webhook(away, 503, 429, secret=SECRET)
    quick = await receiver.browser(away)

    message = (await ann.send(room["id"], "Hello"))["message"]
    await asyncio.to_thread(pushes_of, stack, message)

    assert [arrival.answer for arrival in receiver.of(slow)] == [503, 429, 201]
    assert [arrival.answer for arrival in receiver.of(quick)] == [201]
    assert len({arrival.id for arrival in receiver.arrivals}) == 1


@pytest.mark.parametrize("answer", [404, 410])
async def test_an_endpoint_that_is_no_more_is_forgotten(
    stack: StackProcess, api: Api, receiver: Receiver, answer: int
) -> None:
    ann, away = [await api.register() for _ in range(2)]
    room = await ann.talk(away)
    dead, living = await receiver.browser(away, answer), await receiver.webhook(away)

    for body in ("one", "two"):
        await asyncio.to_thread(pushes_of, stack, (await ann.send(room["id"], body))["message"])

    assert [arrival.answer for arrival in receiver.of(dead)] == [answer]
    assert [arrival.answer for arrival in receiver.of(living)] == [201, 201]
    assert await _codes(away, REMOVE_PUSH, id=dead.endpoint_id) == ["NOT_FOUND"]


async def test_a_redirect_is_followed_nowhere_and_a_refusal_is_final(
    stack: StackProcess, api: Api, receiver: Receiver
) -> None:
    ann, away = [await api.register() for _ in range(2)]
    room = await ann.talk(away)
    device = await receiver.webhook(away, 307)

    await asyncio.to_thread(pushes_of, stack, (await ann.send(room["id"], "Hello"))["message"])

    assert [arrival.answer for arrival in receiver.of(device)] == [307]


async def test_nobody_is_told_of_a_message_that_was_deleted_first(
    stack: StackProcess, api: Api, receiver: Receiver
) -> None:
    ann, away = [await api.register() for _ in range(2)]
    room = await ann.talk(away)
    await receiver.webhook(away)

    message = (await ann.send(room["id"], "Hello"))["message"]
    await ann.mutate(DELETE, messageId=message["id"])

    assert await asyncio.to_thread(pushes_of, stack, message) == []


async def test_who_joined_later_is_not_told_of_what_came_before(
    stack: StackProcess, api: Api, receiver: Receiver
) -> None:
    ann, late = [await api.register() for _ in range(2)]
    room = await ann.talk()
    await receiver.webhook(late)

    message = (await ann.send(room["id"], "Hello"))["message"]
    await ann.mutate(ADD, conversationId=room["id"], userIds=[late.id])

    assert await asyncio.to_thread(pushes_of, stack, message) == []


# ------------------------------------------------------------ endpoints


async def test_the_public_key_is_there_for_whoever_asks(api: Api) -> None:
    key = (await api.post("{ pushPublicKey }"))["data"]["pushPublicKey"]
    point = base64.urlsafe_b64decode(key + "=")

    assert (len(point), point[0]) == (65, 4)


async def test_an_address_is_registered_once_and_removed_once(api: Api, receiver: Receiver) -> None:
    ann, bob = [await api.register() for _ in range(2)]
    device = await receiver.webhook(ann)

    again = await ann.mutate(REGISTER_PUSH, **device.subscription)
    foreign = await _codes(bob, REMOVE_PUSH, id=device.endpoint_id)
    removed = [await _codes(ann, REMOVE_PUSH, id=device.endpoint_id) for _ in range(2)]

    assert again["id"] == device.endpoint_id
    assert foreign == ["NOT_FOUND"]
    assert removed == [[], ["NOT_FOUND"]]


async def test_a_user_has_ten_endpoints_at_most_however_many_come_at_once(api: Api, other_api: Api) -> None:
    ann = await api.register()

    async def register(number: int) -> list[str]:
        at = (api, other_api)[number % 2]
        return await _codes(
            ann.at(at), REGISTER_PUSH, kind="WEBHOOK", url=f"http://127.0.0.1:9/{number}", secret=SECRET
        )

    answers = await asyncio.gather(*map(register, range(16)))

    assert sorted(answers) == [[]] * 10 + [["CONFLICT"]] * 6


NOT_PUBLIC = (
    "http://10.0.0.1/",
    "http://192.168.1.1/",
    "http://172.16.5.4:8080/hook",
    "http://169.254.169.254/latest/meta-data/",
    "http://100.100.100.200/",
    "http://168.63.129.16/",
    "http://0.0.0.0/",
    "http://224.0.0.1/",
    "http://[::1]/",
    "http://[::]/",
    "http://[fd00:ec2::254]/",
    "http://[fe80::1]/",
    "http://[::ffff:10.0.0.1]/",
    "http://[64:ff9b::a00:1]/",
    "http://[2002:a00:1::]/",
    "http://167772161/",
    "http://0x0a.1/",
    "http://nobody.invalid/",
    "ftp://127.0.0.1/",
    "file:///etc/passwd",
    "http://user:word@127.0.0.1/",
    "http://127.0.0.1/#part",
    "http://127.0.0.1:0/",
    "http:///",
    "http://127.0.0.1/" + "a" * 2_048,
    "",
)
NO_KEYS: tuple[tuple[dict[str, str], str], ...] = (
    ({"kind": "WEBHOOK"}, "secret"),
    ({"kind": "WEBHOOK", "secret": "too short"}, "secret"),
    ({"kind": "WEBHOOK", "secret": "has a space in it, so no"}, "secret"),
    ({"kind": "WEBHOOK", "secret": "x" * 129}, "secret"),
    ({"kind": "WEBHOOK", "secret": "whsec_not base64!!"}, "secret"),
    ({"kind": "WEBHOOK", "secret": "whsec_c2hvcnQ="}, "secret"),
    ({"kind": "WEBHOOK", "secret": SECRET, "auth": "AAAAAAAAAAAAAAAAAAAAAA"}, "auth"),
    ({"kind": "WEB_PUSH"}, "p256dh"),
    ({"kind": "WEB_PUSH", "p256dh": POINT, "auth": "AAAAAAAAAAAAAAAAAAAAAA"}, "p256dh"),
    ({"kind": "WEB_PUSH", "p256dh": "ä", "auth": "AAAAAAAAAAAAAAAAAAAAAA"}, "p256dh"),
    ({"kind": "WEB_PUSH", "p256dh": "KEY"}, "auth"),
    ({"kind": "WEB_PUSH", "p256dh": "KEY", "auth": "AAAA"}, "auth"),
    ({"kind": "WEB_PUSH", "p256dh": "KEY", "auth": "AAAAAAAAAAAAAAAAAAAAAA", "secret": SECRET}, "secret"),
)


async def test_an_address_that_is_not_public_is_refused(api: Api) -> None:
    ann = await api.register()

    for url in NOT_PUBLIC:
        payload = await ann.mutate(REGISTER_PUSH, kind="WEBHOOK", url=url, secret=SECRET)

        assert payload["id"] is None, url
        found = [(error["code"], error["path"]) for error in payload["userErrors"]]
        assert found == [("INVALID_INPUT", ["input", "url"])], url


async def test_keys_that_are_none_are_refused(api: Api) -> None:
    ann, key = await api.register(), (await api.post("{ pushPublicKey }"))["data"]["pushPublicKey"]

    for given, path in NO_KEYS:
        fields = {name: key if value == "KEY" else value for name, value in given.items()}
        payload = await ann.mutate(REGISTER_PUSH, url="http://127.0.0.1:9/", **fields)

        found = [(error["code"], error["path"]) for error in payload["userErrors"]]
        assert found == [("INVALID_INPUT", ["input", path])], given


async def test_nobody_registers_without_a_token(api: Api) -> None:
    fields = {"kind": "WEBHOOK", "url": "http://127.0.0.1:9/", "secret": SECRET}

    response = await api.post(REGISTER_PUSH, {"input": fields})

    assert response["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def _codes(person: Person, mutation: str, **fields: object) -> list[str]:
    payload = await person.mutate(mutation, **fields)
    return [error["code"] for error in payload["userErrors"]]
