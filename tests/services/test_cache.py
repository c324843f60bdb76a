"""What Redis remembers: never put after a change that it does not have, never believed while somebody cannot tell."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from services import ids
from services.cache import Cache, Grant, Trust
from services.clock import now
from services.entries import ConversationChanged, ConversationKind, Entry, MemberAdded, MemberRole, MessageSent
from services.entries import ConversationCreated as Created
from services.log_cache import Head, LogCache, News, Tail
from services.mongo import Database
from services.receipt_cache import ReceiptCache
from services.receipts import Marker, Receipts, floor_of
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
    await until(lambda: trust.generation("any") is not None, "Redis is believed", 10)
    generation = trust.generation("any")
    assert generation is not None
    return generation


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

    def archive(self) -> list[Entry]:
        return [self._add(ConversationChanged, title="Engines", archived=True)]

    def _add(self, kind: type[Entry], **fields: Any) -> Entry:
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
    logs.put(talk.conversation_id, await grant(logs, talk), Tail(talk.state, talk.entries), None)
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

    logs.put(talk.conversation_id, early, before, None)

    assert isinstance(await logs.tail(talk.conversation_id), Grant)


async def test_what_was_read_before_redis_lost_everything_is_not_put_after_it(logs: LogCache, redis: Redis) -> None:
    talk = Talk()
    early = await grant(logs, talk)
    # By a key, so that in a cluster the server forgets everything that has it.
    await redis.call("EVAL", "return redis.call('FLUSHALL')", 1, f"{{{talk.conversation_id}}}")

    logs.put(talk.conversation_id, early, Tail(talk.state, talk.entries), None)

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
    late = await logs.members(talk.conversation_id, [BOB], control=2)
    logs.put_members(talk.conversation_id, dict(talk.state.members), control=2)

    assert (outside, late) == ({BOB: None}, {})
    assert await logs.members(talk.conversation_id, [BOB], control=2) == {BOB: talk.state.members[BOB]}
    assert await logs.members(talk.conversation_id, [BOB], control=1) == {}  # whoever asks knows of less
    assert await logs.members(talk.conversation_id, [BOB], control=3) == {}  # whoever asks knows of more


async def test_a_head_says_when_something_was_said_and_whether_it_is_archived(logs: LogCache) -> None:
    talk, other = Talk(), Talk()
    await known(logs, talk)
    heads = [await logs.heads([talk.conversation_id, other.conversation_id])]
    said = talk.say()
    await logs.tell(talk.conversation_id, said, talk.state)
    await logs.tell(talk.conversation_id, talk.add(BOB), talk.state)
    heads.append(await logs.heads([talk.conversation_id]))
    await logs.tell(talk.conversation_id, talk.archive(), talk.state)
    heads.append(await logs.heads([talk.conversation_id]))

    assert heads == [
        {talk.conversation_id: Head(said_at=None, archived=False)},
        {talk.conversation_id: Head(said_at=said[0].at, archived=False)},
        {talk.conversation_id: Head(said_at=said[0].at, archived=True)},
    ]


async def test_a_head_knows_of_a_message_that_lies_before_the_tail(logs: LogCache) -> None:
    talk = Talk()
    said = talk.say()
    talk.add(BOB)

    logs.put(talk.conversation_id, await grant(logs, talk), Tail(talk.state, talk.entries[2:]), said[0].at)

    assert await logs.heads([talk.conversation_id]) == {talk.conversation_id: Head(said_at=said[0].at, archived=False)}


def receipts(conversation_id: str, delivered: int, read: int, *, user_id: str = BOB, joined: int = 1) -> Receipts:
    def marker(sequence: int) -> Marker:
        return Marker(sequence=sequence, at=now(), before=sequence - 1)

    return Receipts(
        conversation_id=conversation_id,
        user_id=user_id,
        joined_sequence=joined,
        delivered=marker(delivered),
        read=marker(read),
    )


async def put_receipts(found: ReceiptCache, members: Sequence[Receipts]) -> str:
    """Have these remembered; return their conversation."""
    conversation_id = members[0].conversation_id
    token = await found.floor(conversation_id)
    assert isinstance(token, Grant)
    found.put(conversation_id, token, {one.user_id: one.to_bytes() for one in members})
    return conversation_id


async def test_of_two_moves_of_a_marker_the_farther_one_stays_in_whatever_order_they_come(cache: Cache) -> None:
    key, found = ids.new_id("cnv"), ReceiptCache(cache)
    near, far = receipts(key, 9, 1), receipts(key, 10, 9)
    await put_receipts(found, [receipts(key, 2, 1)])

    await found.tell(key, BOB, far.to_bytes(), b"")
    await found.tell(key, BOB, near.to_bytes(), b"")

    stored = await found.some(key, [BOB, ANN], grantable=False)
    assert isinstance(stored, dict)
    assert [Receipts.from_bytes(key, user_id, value) for user_id, value in stored.items()] == [far]
    assert await found.floor(key) == floor_of([far])


async def test_the_floor_is_that_of_all_members_however_their_markers_move(cache: Cache) -> None:
    key, found, rng = ids.new_id("cnv"), ReceiptCache(cache), random.Random(7)
    members = {
        user_id: receipts(key, joined, joined, user_id=user_id, joined=joined)
        for user_id, joined in ((ids.user(), rng.randint(1, 30)) for _ in range(300))
    }
    await put_receipts(found, list(members.values()))
    seen = [(await found.floor(key), floor_of(members.values()))]
    for _ in range(40):
        behind = floor_of(members.values())
        user_id = rng.choice([user_id for _, user_id in (*behind.delivered, *behind.read)])
        members[user_id] = members[user_id].moved_to(rng.randint(1, 60), read=rng.random() < 0.5, at=now())
        await found.tell(key, user_id, members[user_id].to_bytes(), b"")
        seen.append((await found.floor(key), floor_of(members.values())))

    assert all(read == expected for read, expected in seen)


async def test_a_floor_of_which_redis_has_thrown_a_part_away_is_read_anew(cache: Cache) -> None:
    key, found = ids.new_id("cnv"), ReceiptCache(cache)
    await put_receipts(found, [receipts(key, 2, 1)])

    await cache.redis.call("DEL", cache.key("floor", key))

    assert isinstance(await found.floor(key), Grant)


async def test_receipts_are_forgotten_when_somebody_comes_or_goes(cache: Cache, logs: LogCache) -> None:
    talk, found = Talk(), ReceiptCache(cache)
    key = talk.conversation_id
    await put_receipts(found, [receipts(key, 2, 1)])

    await logs.tell(key, talk.add(BOB), talk.state)
    token = await found.floor(key)
    await logs.tell(key, talk.add(ids.user()), talk.state)
    assert isinstance(token, Grant)
    found.put(key, token, {ANN: receipts(key, 2, 1).to_bytes()})

    assert isinstance(await found.some(key, [ANN], grantable=True), Grant)


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
        afterwards = one.generation("any"), two.generation("any")
        async with asyncio.timeout(1):
            await lonely.withdraw()  # and from then on at once
        again = one.generation("any"), two.generation("any")

    assert afterwards == again == (None, None)
    async with Trust(mongo_database, redis).running() as later:
        assert await believed(later) != first


async def test_what_another_run_of_redis_was_told_is_not_believed(cache: Cache, redis: Redis) -> None:
    talk, logs = Talk(), LogCache(cache)
    await known(logs, talk)
    redis.run_id = "another"
    for line in redis.lines:
        line.run_id = "another"

    assert isinstance(await logs.tail(talk.conversation_id), Grant)
