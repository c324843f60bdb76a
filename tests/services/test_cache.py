"""What Redis remembers: never put after a change that it does not have, never believed while somebody cannot tell."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from services import ids
from services.cache import Cache, Grant, Trust
from services.clock import now
from services.entries import ConversationCreated as Created
from services.entries import ConversationKind, MemberAdded, MemberRole
from services.entry import Entry
from services.log_cache import LogCache, News, Tail
from services.message_entries import MessageSent
from services.mongo import Database
from services.receipt_cache import ReceiptCache
from services.receipts import Marker, Receipts
from services.redis import Redis
from services.services import SCRIPTS
from services.state import State
from tests.faults.harness import until

ANN, BOB = ids.user(), ids.user()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis(redis_url, SCRIPTS).running() as redis:
        await redis.up.wait()
        yield redis


async def believed(trust: Trust) -> str:
    """Return the generation once Redis is believed."""
    await until(lambda: trust.generation is not None, "Redis is believed", 10)
    assert trust.generation is not None
    return trust.generation


class Talk:
    """A log that grows, and the states it goes through."""

    def __init__(self) -> None:
        self.conversation_id = ids.new_id("cnv")
        self.states = [State()]
        self.entries: list[Entry] = []
        roles = ((ANN, MemberRole.OWNER),)
        self._add(Created, conversation_kind=ConversationKind.GROUP, title="Engines", roles=roles)

    @property
    def state(self) -> State:
        return self.states[-1]

    def say(self, body: str = "hello") -> list[Entry]:
        return [self._add(MessageSent, body=body, client_message_id=body)]

    def add(self, user_id: str) -> list[Entry]:
        return [self._add(MemberAdded, user_id=user_id, role=MemberRole.MEMBER)]

    def _add(self, kind: type[Entry], **fields: object) -> Entry:
        entry = kind(
            conversation_id=self.conversation_id,
            sequence=self.state.sequence + 1,
            key=f"{self.state.sequence}",
            actor_id=ANN,
            at=now(),
            control=self.state.control,
            **fields,
        )
        self.states.append(self.state.after(entry))
        self.entries.append(entry)
        return entry


@pytest.fixture
async def cache(mongo_database: Database, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cache]:
    """A cache of its own, believed from the start."""
    monkeypatch.setattr("services.cache.QUIET_SECONDS", 0.0)
    async with Trust(mongo_database, redis).running() as trust:
        await believed(trust)
        async with Cache(redis, trust, random.getrandbits(31), "a").running() as cache:
            yield cache


@pytest.fixture
def logs(cache: Cache) -> LogCache:
    return LogCache(cache)


async def grant(logs: LogCache, talk: Talk) -> Grant:
    found = await logs.tail(talk.conversation_id)
    assert isinstance(found, Grant)
    return found


async def known(logs: LogCache, talk: Talk) -> Tail:
    """Put the whole log, and return what is remembered."""
    logs.put(talk.conversation_id, await grant(logs, talk), Tail(talk.state, talk.entries))
    found = await logs.tail(talk.conversation_id)
    assert isinstance(found, Tail)
    return found


async def test_what_is_put_and_told_is_what_is_read(logs: LogCache) -> None:
    talk = Talk()
    put = await known(logs, talk)
    await logs.tell(talk.conversation_id, talk.say(), talk.state)
    await logs.tell(talk.conversation_id, talk.add(BOB), talk.state)

    whole, news = await logs.tail(talk.conversation_id), await logs.news(talk.conversation_id, 1)

    assert (put.state.sequence, put.entries) == (1, talk.entries[:1])
    assert isinstance(whole, Tail)
    assert whole.entries == talk.entries
    assert (whole.state.sequence, whole.state.control) == (3, 3)
    assert whole.state.conversation == talk.state.conversation
    assert news == News(3, talk.entries[1:])
    assert await logs.news(talk.conversation_id, 3) == News(3, [])


async def test_what_was_read_before_a_change_is_not_put_after_it(logs: LogCache) -> None:
    talk = Talk()
    early = await grant(logs, talk)
    before = Tail(talk.state, list(talk.entries))
    await logs.tell(talk.conversation_id, talk.say(), talk.state)

    logs.put(talk.conversation_id, early, before)

    assert isinstance(await logs.tail(talk.conversation_id), Grant)


async def test_what_was_read_before_redis_lost_everything_is_not_put_after_it(logs: LogCache, redis: Redis) -> None:
    talk = Talk()
    early = await grant(logs, talk)
    await redis.call("FLUSHALL")

    logs.put(talk.conversation_id, early, Tail(talk.state, talk.entries))

    assert isinstance(await logs.tail(talk.conversation_id), Grant)


async def test_one_of_many_readers_is_asked_to_put(logs: LogCache) -> None:
    talk = Talk()

    found = await asyncio.gather(*(logs.tail(talk.conversation_id) for _ in range(20)))

    assert [isinstance(one, Grant) for one in found].count(True) == 1


async def test_a_run_that_leaves_a_hole_is_not_taken_before_the_hole_is_filled(logs: LogCache) -> None:
    talk = Talk()
    await known(logs, talk)
    talk.say("first")
    last = talk.say("second")

    end = await logs.tell(talk.conversation_id, last, talk.state)
    unchanged = await logs.news(talk.conversation_id, 1)
    filled = await logs.fill(talk.conversation_id, talk.entries[1:], talk.state)

    assert (end, filled) == (1, None)
    assert unchanged == News(1, [])
    assert await logs.news(talk.conversation_id, 1) == News(3, talk.entries[1:])


async def test_a_long_log_keeps_its_newest_entries(logs: LogCache) -> None:
    talk = Talk()
    await known(logs, talk)
    for number in range(700):
        await logs.tell(talk.conversation_id, talk.say(f"{number}"), talk.state)

    found = await logs.tail(talk.conversation_id)

    assert isinstance(found, Tail)
    assert 256 <= len(found.entries) <= 513
    assert found.entries == talk.entries[-len(found.entries) :]
    assert await logs.news(talk.conversation_id, 1) is None
    assert await logs.news(talk.conversation_id, 600) == News(701, talk.entries[600:])


async def test_a_membership_is_forgotten_when_it_changes_and_an_older_one_is_not_put_again(logs: LogCache) -> None:
    talk = Talk()
    await known(logs, talk)
    logs.put_members(talk.conversation_id, {BOB: None}, control=1)
    outside = await logs.members(talk.conversation_id, [BOB], control=1)
    await logs.tell(talk.conversation_id, talk.add(BOB), talk.state)

    logs.put_members(talk.conversation_id, {BOB: None}, control=1)
    late = await logs.members(talk.conversation_id, [BOB], control=1)
    logs.put_members(talk.conversation_id, dict(talk.state.members), control=2)

    assert (outside, late) == ({BOB: None}, {})
    assert await logs.members(talk.conversation_id, [BOB], control=2) == {BOB: talk.state.members[BOB]}
    assert await logs.members(talk.conversation_id, [BOB], control=3) == {}  # whoever asks knows of more


def receipts(conversation_id: str, delivered: int, read: int) -> Receipts:
    def marker(sequence: int) -> Marker:
        return Marker(sequence=sequence, at=now(), before=sequence - 1)

    return Receipts(
        conversation_id=conversation_id,
        user_id=BOB,
        joined_sequence=1,
        delivered=marker(delivered),
        read=marker(read),
    )


async def test_of_two_moves_of_a_marker_the_farther_one_stays_in_whatever_order_they_come(cache: Cache) -> None:
    talk, found = Talk(), ReceiptCache(cache)
    key = talk.conversation_id
    near, far = receipts(key, 9, 1), receipts(key, 10, 9)
    token = await found.all(key)
    assert isinstance(token, Grant)
    found.put(key, token, {BOB: receipts(key, 2, 1).to_bytes()})

    await found.tell(key, BOB, far.to_bytes(), b"")
    await found.tell(key, BOB, near.to_bytes(), b"")

    stored = await found.some(key, [BOB, ANN])
    assert stored is not None
    assert [Receipts.from_bytes(key, user_id, value) for user_id, value in stored.items()] == [far]


async def test_receipts_are_forgotten_when_somebody_comes_or_goes(cache: Cache, logs: LogCache) -> None:
    talk, found = Talk(), ReceiptCache(cache)
    token = await found.all(talk.conversation_id)
    assert isinstance(token, Grant)

    await logs.tell(talk.conversation_id, talk.add(BOB), talk.state)
    found.put(talk.conversation_id, token, {ANN: receipts(talk.conversation_id, 2, 1).to_bytes()})

    assert isinstance(await found.all(talk.conversation_id), Grant)


async def test_whoever_cannot_tell_answers_only_when_nobody_believes_redis_any_more(
    mongo_database: Database, redis: Redis
) -> None:
    away = Redis("redis://127.0.0.1:1")
    async with (
        Trust(mongo_database, redis).running() as one,
        Trust(mongo_database, redis).running() as two,
        Trust(mongo_database, away).running() as lonely,
    ):
        first = await believed(one)
        await believed(two)
        await asyncio.gather(*(lonely.withdraw() for _ in range(5)))
        afterwards = one.generation, two.generation
        async with asyncio.timeout(1):
            await lonely.withdraw()  # and from then on at once
        again = one.generation, two.generation

    assert afterwards == again == (None, None)
    async with Trust(mongo_database, redis).running() as later:
        assert await believed(later) != first


async def test_what_another_run_of_redis_was_told_is_not_believed(cache: Cache, redis: Redis) -> None:
    talk, logs = Talk(), LogCache(cache)
    await known(logs, talk)
    redis.run_id = "another"

    assert isinstance(await logs.tail(talk.conversation_id), Grant)
