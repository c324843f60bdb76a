"""Exporting and erasing a person."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
import redis.asyncio
from aiokafka import AIOKafkaConsumer
from pymongo import MongoClient

from services.clock import now
from services.services import Services
from tests.api.test_operators import REPORT, signed_in
from tests.api.test_people import parley_command, parley_user, refusal
from tests.clients import BLOCK, CREATE, MARK_READ, MUTE, PROFILE, Api, Json, Person
from tests.local_api import local_api
from tests.stack_process import StackProcess

EDIT = """mutation ($input: EditMessageInput!) { editMessage(input: $input) {
  message { id version } userErrors { code } } }"""
REACT = """mutation ($input: AddReactionInput!) { addReaction(input: $input) {
  message { id } userErrors { code } } }"""
MESSAGES = """query ($id: ID!) { conversation(id: $id) { memberCount lastSequence
  members { nodes { role user { id } } }
  messages(last: 100) { nodes { sequence body deletedAt attachments { name } sender { id handle displayName avatarUrl }
    reactions { emoji users { id } } } } viewerCanSend { allowed reason } } }"""
USER = """query ($id: ID!, $handle: String!) { userByHandle(handle: $handle) { id }
  node(id: $id) { ... on User { id handle displayName avatarUrl presence { status lastSeenAt } } } }"""


def secret() -> str:
    """Return a word that nobody else uses."""
    return f"w{uuid.uuid4().hex}"


async def talked(person: Person, conversation_id: str) -> Any:
    response = await person.post(MESSAGES, {"id": conversation_id})
    return response["data"]["conversation"]


def erase(handle: str, stack: StackProcess) -> Any:
    return parley_user("erase", handle, "--yes", data=stack.directory)


def in_mongodb(stack: StackProcess, words: list[str]) -> list[tuple[str, str]]:
    """Return which of these words stand in which documents."""
    client: MongoClient[Json] = MongoClient(stack.url("mongo"))
    with client:
        database = client["parley"]
        return [
            (word, f"{name}: {document['_id']}")
            for name in database.list_collection_names()
            for document in database[name].find({})
            for word in words
            if word in repr(document)
        ]


async def in_redis(stack: StackProcess, words: list[str]) -> list[tuple[str, str]]:
    """Return which of these words stand under which keys, at whichever node."""
    nodes = [node["url"] for node in stack.redis_nodes]
    return [hit for url in nodes for hit in await in_node(url, words)]


async def in_node(url: str, words: list[str]) -> list[tuple[str, str]]:
    client = redis.asyncio.Redis.from_url(url)
    reads: dict[Any, Any] = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"zset": lambda key: client.zrange(key, 0, -1),
        b"list": lambda key: client.lrange(key, 0, -1),
        b"set": client.smembers,
    }
    found: list[tuple[str, str]] = []
    async with client:
        await client.readonly()  # a replica answers for itself then; to a server that is alone it means nothing
        async for key in client.scan_iter():
            kind = await client.type(key)
            value = None if kind == b"none" else await reads[kind](key)
            found += [(word, repr(key)) for word in words if word in repr((key, value))]
    return found


async def in_kafka(stack: StackProcess, words: list[str]) -> list[str]:
    """Return which of these words stand in any record so far."""
    consumer: Any = AIOKafkaConsumer(bootstrap_servers=stack.url("kafka"), auto_offset_reset="earliest")
    await consumer.start()
    found: list[str] = []
    try:
        topics = [topic for topic in await consumer.topics() if topic.startswith("parley")]
        consumer.subscribe(topics)
        while not consumer.assignment():
            await consumer.getmany(timeout_ms=50)
        ends = await consumer.end_offsets(list(consumer.assignment()))
        await consumer.seek_to_beginning()
        while any([await consumer.position(partition) < end for partition, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found += [word for word in words for record in records if word in repr((record.key, record.value))]
    finally:
        await consumer.stop()
    return found


@asynccontextmanager
async def services_of(stack: StackProcess) -> AsyncIterator[Services]:
    async with local_api(stack) as api:
        yield api.services


async def test_of_an_erased_person_nothing_is_left_but_tombstones(
    api: Api, other_api: Api, stack: StackProcess
) -> None:
    handle, words = secret()[:30], [secret() for _ in range(8)]
    sent, edited, name, picture, device, reason, key, file = words
    ann = await api.register(handle)
    bob, cleo = await other_api.register(), await api.register()
    await ann.mutate(PROFILE, displayName=name, avatarUrl=f"https://example.org/{picture}")
    await ann.post(
        "mutation ($input: LoginInput!) { login(input: $input) { accessToken } }",
        {"input": {"handle": handle, "password": "correct horse battery", "device": device}},
    )
    group, direct = await ann.talk(bob, cleo), await ann.talk(bob, kind="DIRECT")
    response = await ann.post(
        """mutation ($input: SendMessageInput!) { sendMessage(input: $input) { message { id sequence } } }""",
        {
            "input": {
                "conversationId": group["id"],
                "body": sent,
                "clientMessageId": "1",
                "attachments": [
                    {"name": file, "url": f"https://example.org/{key}", "mediaType": "image/png", "sizeBytes": 1}
                ],
            }
        },
    )
    message = response["data"]["sendMessage"]["message"]
    await ann.mutate(EDIT, messageId=message["id"], body=edited)
    his = (await bob.send(group["id"], "hello"))["message"]
    for person in (ann, cleo):
        await person.mutate(REACT, messageId=his["id"], emoji="👍")
    await ann.send(direct["id"], sent)
    await ann.mutate(REPORT, messageId=his["id"], reason=reason)
    await ann.mutate(BLOCK, userId=cleo.id)
    await ann.mutate(MARK_READ, conversationId=group["id"], upToSequence=his["sequence"])
    await ann.mutate(MUTE, conversationId=group["id"], until="2099-01-01T00:00:00Z")
    async with bob.socket() as socket:
        following = await socket.updates(group["id"], group["cursor"])
        assert any(sent in str(update) for update in await following.until_caught_up())
        for person in (bob, cleo):
            await talked(person, group["id"])

        erased = erase(handle, stack)
        told = [await following.update() for _ in range(4)]

    assert (erased.returncode, erased.stderr) == (0, "")
    assert sorted(update["__typename"] for update in told) == [
        "MemberRemoved",
        "MemberRoleChanged",
        "MessageDeleted",
        "ReactionRemoved",
    ]
    for person in (bob, cleo, bob.at(api), cleo.at(other_api)):
        seen = await talked(person, group["id"])
        tombstone, hello = seen["messages"]["nodes"]
        assert (tombstone["body"], tombstone["attachments"]) == (None, [])
        assert tombstone["deletedAt"] is not None
        assert tombstone["sender"] == {
            "id": ann.id,
            "handle": f"deleted-{ann.id}",
            "displayName": "Deleted user",
            "avatarUrl": None,
        }
        assert hello["reactions"] == [{"emoji": "👍", "users": [{"id": cleo.id}]}]
        assert seen["memberCount"] == 2
        assert {member["user"]["id"]: member["role"] for member in seen["members"]["nodes"]} == {
            bob.id: "OWNER",
            cleo.id: "MEMBER",
        }
        response = await person.post(USER, {"id": ann.id, "handle": handle})
        assert response["data"]["userByHandle"] is None
        assert response["data"]["node"]["presence"] == {"status": "UNKNOWN", "lastSeenAt": None}
    alone = await talked(bob, direct["id"])
    assert alone["viewerCanSend"] == {"allowed": False, "reason": "The other person is no longer here."}
    assert refusal(await bob.send(direct["id"], "hello?")) == ("FORBIDDEN", "conversationId")
    assert refusal(await bob.mutate(CREATE, kind="DIRECT", memberIds=[ann.id])) == ("NOT_FOUND", "memberIds")
    # The handle alone is kept, so that nobody is ever given it; nothing leads from it to anybody.
    assert in_mongodb(stack, [*words, handle]) == [(handle, f"handles: {handle}")]
    assert await in_redis(stack, [*words, handle]) == []
    assert await in_kafka(stack, [*words, handle]) == []


@pytest.mark.slow
async def test_an_erased_person_cannot_come_back_and_their_handle_is_never_given_again(
    api: Api, stack: StackProcess
) -> None:
    ann = await api.register()
    erase(ann.handle, stack)

    async with asyncio.timeout(30):
        while "errors" not in (await ann.post("query { viewer { roles } }")):
            pass
    response = await api.post(
        "mutation ($input: RegisterInput!) { register(input: $input) { userErrors { code } } }",
        {"input": {"handle": ann.handle, "password": "correct horse battery"}},
    )
    login = await api.post(
        "mutation ($input: LoginInput!) { login(input: $input) { userErrors { code } } }",
        {"input": {"handle": ann.handle, "password": "correct horse battery"}},
    )
    others = [parley_user(verb, ann.handle, data=stack.directory) for verb in ("restore", "reset-link", "export")]
    again = [erase(name, stack) for name in (ann.handle, ann.id)]
    unknown = erase("nobody.here", stack)

    assert response["data"]["register"]["userErrors"] == [{"code": "CONFLICT"}]
    assert login["data"]["login"]["userErrors"] == [{"code": "INVALID_CREDENTIALS"}]
    assert {result.returncode for result in others} == {1}
    assert [(result.returncode, result.stderr) for result in again] == [(0, "")] * 2
    assert (unknown.returncode, "nobody.here" in unknown.stderr) == (1, True)


async def test_what_is_sent_while_its_sender_is_erased_is_refused_or_erased(
    api: Api, other_api: Api, stack: StackProcess
) -> None:
    ann, bob = await api.register(), await other_api.register()
    rooms = [await ann.talk(bob), await ann.talk(bob, kind="DIRECT"), await bob.talk(ann)]
    word, stopped = secret(), asyncio.Event()

    async def keep_sending(person: Person, conversation_id: str) -> int:
        count = 0
        while not stopped.is_set():
            response = await person.post(
                "mutation ($input: SendMessageInput!) { sendMessage(input: $input) { message { id } } }",
                {"input": {"conversationId": conversation_id, "body": word, "clientMessageId": uuid.uuid4().hex}},
            )
            if "errors" in response or response["data"]["sendMessage"]["message"] is None:
                return count
            count += 1
        return count

    sending = [
        asyncio.create_task(keep_sending(person, room["id"])) for room in rooms for person in (ann, ann.at(other_api))
    ]
    async with services_of(stack) as services:
        erased = await services.erasures.erase(ann.id, now())
        counts = await asyncio.gather(*sending)  # each ends with a refusal

    stopped.set()
    assert erased.messages >= sum(counts) > 0
    assert in_mongodb(stack, [word]) == []
    assert await in_redis(stack, [word]) == []
    for room in rooms:
        for process in (api, other_api):
            bodies = {message["body"] for message in (await talked(bob.at(process), room["id"]))["messages"]["nodes"]}
            assert bodies <= {None}


@pytest.mark.slow
@pytest.mark.parametrize("dies_at", ["_leave", "_entries_of", "_append_all"])
async def test_an_erasure_that_died_midway_is_finished_by_the_next(
    api: Api, stack: StackProcess, dies_at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = await api.register(), await api.register()
    word, rooms = secret(), [await ann.talk(bob) for _ in range(2)]
    for room in rooms:
        await ann.send(room["id"], word)
    async with services_of(stack) as services:
        works, calls = getattr(services.erasures, dies_at), 0

        async def dies(*arguments: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == 2:
                raise asyncio.CancelledError
            return await works(*arguments)

        monkeypatch.setattr(services.erasures, dies_at, dies)
        with pytest.raises(asyncio.CancelledError):
            await services.erasures.erase(ann.id, now())
    hidden = await bob.post(USER, {"id": ann.id, "handle": ann.handle})

    resumed = erase(ann.handle, stack)

    assert hidden["data"]["userByHandle"] is None
    assert (resumed.returncode, resumed.stderr) == (0, "")
    assert in_mongodb(stack, [word, ann.handle]) == [(ann.handle, f"handles: {ann.handle}")]
    for room in rooms:
        seen = await talked(bob, room["id"])
        assert [message["body"] for message in seen["messages"]["nodes"]] == [None]
        assert [member["role"] for member in seen["members"]["nodes"]] == ["OWNER"]


async def test_an_export_holds_what_is_a_persons_own_and_no_secrets(
    api: Api, stack: StackProcess, tmp_path: Path
) -> None:
    ann, bob = await api.register(), await api.register()
    await ann.mutate(PROFILE, displayName="Ann Smith")
    laptop = await signed_in(api, ann.handle)
    room = await ann.talk(bob)
    mine = (await ann.send(room["id"], "my words"))["message"]
    await ann.mutate(EDIT, messageId=mine["id"], body="my other words")
    his = (await bob.send(room["id"], "his words"))["message"]
    await ann.mutate(REACT, messageId=his["id"], emoji="👍")
    await ann.mutate(REPORT, messageId=his["id"], reason="my reason")
    await ann.mutate(BLOCK, userId=bob.id)
    await ann.mutate(MARK_READ, conversationId=room["id"], upToSequence=his["sequence"])
    await ann.mutate(MUTE, conversationId=room["id"], until="2099-01-01T00:00:00Z")
    file = tmp_path / "ann.jsonl"

    exported = parley_user("export", ann.handle, "--out", str(file), data=stack.directory)
    again = parley_user("export", ann.handle, "--out", str(file), data=stack.directory)
    printed = parley_user("export", ann.handle, data=stack.directory)
    audit = parley_command("audit", "--user", ann.handle, "--kind", "ACCOUNT_EXPORTED", data=stack.directory)

    assert (exported.returncode, exported.stdout, exported.stderr) == (0, "", "")
    assert (again.returncode, "File exists" in again.stderr) == (1, True)
    items = [orjson.loads(line) for line in file.read_text().splitlines()]
    by_kind: dict[str, list[Json]] = {}
    for item in items:
        by_kind.setdefault(item["kind"], []).append(item)
    assert items[0]["kind"] == "profile"
    assert (items[0]["handle"], items[0]["displayName"]) == (ann.handle, "Ann Smith")
    assert by_kind["message"][0]["body"] == "my other words"
    assert by_kind["edit"][0]["body"] == "my other words"
    assert by_kind["reaction"][0]["message"] == his["id"]
    assert by_kind["report"][0]["reason"] == "my reason"
    assert by_kind["block"][0]["blocked"] == bob.id
    assert by_kind["receipt"][0]["read"] == his["sequence"]
    assert {kind: len(found) for kind, found in by_kind.items()}.items() >= {
        "session": 2,
        "membership": 1,
        "mute": 1,
        "message": 1,
    }.items()
    assert {event["event"] for event in by_kind["auditEvent"]} == {"REGISTERED", "SIGNED_IN"}
    text = file.read_text()
    for hidden in ("argon2", "his words", "family", ann.token, laptop.refresh_token.partition(".")[2]):
        assert hidden not in text
    assert printed.stdout.startswith('{"kind":"profile"')
    assert len(audit.stdout.splitlines()) == 2
