"""What is read often costs no read of MongoDB, and is never older than what its reader wrote."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from services.mongo import Collection
from tests.clients import MARK_READ, Api
from tests.faults.harness import until
from tests.local_api import LocalApi, local_api
from tests.stack_process import StackProcess

RECENT = """query ($id: ID!) { conversation(id: $id) { title lastSequence cursor memberCount viewerUnreadCount
  viewerMembership { role deliveredSequence readSequence user { handle displayName } }
  lastMessage { id body }
  messages(last: 50) { pageInfo { hasPreviousPage hasNextPage } nodes { id sequence body version status
    sender { handle displayName } reactions { emoji count viewerHasReacted } replyTo { id } viewerCanEdit } } } }"""
REACT = "mutation ($input: AddReactionInput!) { addReaction(input: $input) { message { id } } }"


@pytest.fixture
async def local(stack: StackProcess) -> AsyncIterator[LocalApi]:
    """A process of the test's own, which believes Redis."""
    async with local_api(stack) as local:
        trust = local.services.cache.trust
        await until(lambda: trust.generation is not None, "Redis is believed", 20)
        yield local


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often this process has read each of MongoDB's collections."""
    counted: Counter[str] = Counter()

    def counting(method: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
        async def read(self: Collection, *arguments: Any, **options: Any) -> object:
            counted[self.name] += 1
            return await method(self, *arguments, **options)

        return read

    for name in ("find", "find_one", "find_many"):
        monkeypatch.setattr(Collection, name, counting(getattr(Collection, name)))
    return counted


def without_polls(reads: Counter[str]) -> dict[str, int]:
    """Return the reads but those that happen by the clock, however much is read."""
    return {name: count for name, count in reads.items() if name != "meta"}


async def test_the_recent_messages_cost_no_read_of_mongodb(api: Api, local: LocalApi, reads: Counter[str]) -> None:
    ann, bob = await api.register(), await api.register()
    room = (await ann.talk(bob))["id"]
    for number in range(60):
        await (ann if number % 2 else bob).send(room, f"{number}")
    async with Api(local.url) as near:
        await ann.at(near).post(RECENT, {"id": room})
        first = await bob.at(near).post(RECENT, {"id": room})
        assert without_polls(reads) != {}
        await _is_remembered(local, room)
        reads.clear()
        again = [await person.at(near).post(RECENT, {"id": room}) for person in (ann, bob) for _ in range(3)]
        await ann.send(room, "one more")
        await ann.mutate(REACT, messageId=again[-1]["data"]["conversation"]["lastMessage"]["id"], emoji="🎉")
        await ann.mutate(MARK_READ, conversationId=room, upToSequence=62)
        news = await bob.at(near).post(RECENT, {"id": room})

    assert without_polls(reads) == {}
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
        await until(lambda: trust.generation is not None, "Redis is believed", 20)
        expected = await bob.at(far).post(RECENT, {"id": room})
        await bob.at(far).post(RECENT, {"id": room})
        await _is_remembered(other, room)
        reads.clear()
        found = await bob.at(near).post(RECENT, {"id": room})

    assert without_polls(reads) == {}
    assert found == expected


async def _is_remembered(local: LocalApi, conversation_id: str) -> None:
    """Wait until what was read is in Redis as well: that is done beside the answer."""
    cache = local.services.cache
    async with asyncio.timeout(5):
        for kind in ("log", "receipts"):
            while not await cache.redis.call("HEXISTS", cache.key(kind, conversation_id), "generation"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_a_new_process_has_the_busy_conversations_in_memory_before_anybody_asks(
    api: Api, stack: StackProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.services.WARM_AFTER_SECONDS", 0.0)
    ann = await api.register()
    room = (await ann.talk())["id"]
    await ann.send(room, "hello")

    async with local_api(stack) as local:
        await until(lambda: local.services.logs.known(room) is not None, "the log is there", 10)
