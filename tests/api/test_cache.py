"""What is read often costs no read of MongoDB, and is never older than what its reader wrote."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.clients import MARK_READ, Api
from tests.faults.harness import until
from tests.local_api import LocalApi, counted_reads, local_api
from tests.stack_process import StackProcess

RECENT = """query ($id: ID!) { conversation(id: $id) { title lastSequence cursor memberCount viewerUnreadCount
  viewerMembership { role deliveredSequence readSequence user { handle displayName } }
  lastMessage { id body }
  messages(last: 50) { pageInfo { hasPreviousPage hasNextPage } nodes { id sequence body version status
    sender { handle displayName } reactions { emoji count viewerHasReacted } replyTo { id } viewerCanEdit } } } }"""
LISTED = "{ viewer { conversations(first: 3) { nodes { id title lastMessage { body } } } } }"
REACT = "mutation ($input: AddReactionInput!) { addReaction(input: $input) { message { id } } }"


@pytest.fixture
async def local(stack: StackProcess) -> AsyncIterator[LocalApi]:
    """A process of the test's own, which believes Redis."""
    async with local_api(stack) as local:
        trust = local.services.cache.trust
        await until(lambda: trust.generation("any") is not None, "Redis is believed", 20)
        yield local


@pytest.fixture
def reads() -> Iterator[Counter[str]]:
    """How often this process has read each of MongoDB's collections."""
    with counted_reads() as counts:
        yield counts


async def test_the_recent_messages_cost_no_read_of_mongodb(api: Api, local: LocalApi, reads: Counter[str]) -> None:
    ann, bob = await api.register(), await api.register()
    room = (await ann.talk(bob))["id"]
    for number in range(60):
        await (ann if number % 2 else bob).send(room, f"{number}")
    async with Api(local.url) as near:
        await ann.at(near).post(RECENT, {"id": room})
        first = await bob.at(near).post(RECENT, {"id": room})
        assert reads.total() > 0
        await _is_remembered(local, room)
        reads.clear()
        again = [await person.at(near).post(RECENT, {"id": room}) for person in (ann, bob) for _ in range(3)]
        await ann.send(room, "one more")
        await ann.mutate(REACT, messageId=again[-1]["data"]["conversation"]["lastMessage"]["id"], emoji="🎉")
        await ann.mutate(MARK_READ, conversationId=room, upToSequence=62)
        news = await bob.at(near).post(RECENT, {"id": room})

    assert reads.total() == 0
    assert again[-1] == first
    nodes = news["data"]["conversation"]["messages"]["nodes"]
    assert [node["body"] for node in nodes] == [*(str(number) for number in range(11, 60)), "one more"]
    assert nodes[-2]["reactions"] == [{"emoji": "🎉", "count": 1, "viewerHasReacted": False}]
    assert [node["status"] for node in nodes[-3:]] == ["READ", "SENT", "SENT"]  # Bob has read nothing of Ann's


async def test_a_process_that_knows_nothing_of_a_conversation_reads_it_from_redis(
    api: Api, stack: StackProcess, local: LocalApi, reads: Counter[str]
) -> None:
    ann, bob = await api.register(), await api.register()
    room = (await ann.talk(bob))["id"]
    for number in range(60):
        await ann.send(room, f"{number}")
    async with local_api(stack) as other, Api(other.url) as far, Api(local.url) as near:
        trust = other.services.cache.trust
        await until(lambda: trust.generation("any") is not None, "Redis is believed", 20)
        expected = await bob.at(far).post(RECENT, {"id": room})
        await bob.at(far).post(RECENT, {"id": room})
        await _is_remembered(other, room)
        reads.clear()
        found = await bob.at(near).post(RECENT, {"id": room})

    assert reads.total() == 0
    assert found == expected


async def test_many_who_ask_for_what_nobody_remembers_cost_a_few_reads(
    api: Api, local: LocalApi, reads: Counter[str]
) -> None:
    ann, bob = await api.register(), await api.register()
    room = (await ann.talk(bob))["id"]
    await ann.send(room, "hello")
    async with Api(local.url) as near:
        reads.clear()
        found = await asyncio.gather(*(bob.at(near).post(RECENT, {"id": room}) for _ in range(40)))

    assert all(one == found[0] for one in found)
    # Not one for each who asked; who asks while a read is under way is served by the next.
    assert {name: count for name, count in reads.items() if count > 10} == {}


async def _is_remembered(local: LocalApi, conversation_id: str, *kinds: str) -> None:
    """Wait until what was read is in Redis as well: that is done beside the answer."""
    cache = local.services.cache
    async with asyncio.timeout(5):
        for kind in kinds or ("log", "receipts"):
            while not await cache.redis.call("HEXISTS", cache.key(kind, conversation_id), "generation"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_the_list_of_conversations_costs_one_read_however_many_they_are(
    api: Api, local: LocalApi, reads: Counter[str]
) -> None:
    ann, bob = await api.register(), await api.register()
    rooms = [(await ann.talk(bob))["id"] for _ in range(12)]
    for room in rooms:
        await ann.send(room, "hello")
    async with Api(local.url) as near:
        await bob.at(near).post(LISTED)
        for room in rooms:
            await _is_remembered(local, room, "log")
        reads.clear()
        page = (await bob.at(near).post(LISTED))["data"]["viewer"]["conversations"]

    assert [node["id"] for node in page["nodes"]] == rooms[:-4:-1]
    assert +reads == Counter(inbox=1)


async def test_a_new_process_has_the_busy_conversations_in_memory_before_anybody_asks(
    api: Api, stack: StackProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.services.WARM_AFTER_SECONDS", 0.0)
    ann = await api.register()
    room = (await ann.talk())["id"]
    await ann.send(room, "hello")

    async with local_api(stack) as local:
        await until(lambda: local.services.logs.known(room) is not None, "the log is there", 10)
