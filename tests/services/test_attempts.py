"""Guessing passwords: what a guess costs, and that nothing tells whether there is such an account."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, override

import pytest

from services import attempts
from services.attempts import FORGOTTEN_AFTER, FREE, LONGEST_DELAY, Attempts, delay_after
from services.config import Settings
from services.errors import ChatError, InvalidCredentials, Overloaded, RateLimited
from services.limit_rules import parsed
from services.mongo import Collection, Database, Document
from services.passwords import Passwords
from services.sessions import Sessions
from tests.services.test_sessions import PASSWORD, login, open_sessions, register

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


class CountedPasswords(Passwords):
    """Counts hashes: each takes the same 19 MiB and two passes, whatever is compared."""

    hashes = 0

    @override
    async def _run[T](self, work: Callable[[], T]) -> T:
        self.hashes += 1
        return await super()._run(work)


class CountedDatabase(Database):
    """Writes down what is asked of MongoDB."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.commands: list[tuple[str, str]] = []

    @override
    def __getitem__(self, name: str) -> Collection:
        found, commands = super().__getitem__(name), self.commands

        class Counted(Collection):
            @override
            async def find_one(self, query: Document) -> Document | None:
                commands.append(("find_one", self.name))
                return await super().find_one(query)

            @override
            async def insert_one(self, document: Document) -> None:
                commands.append(("insert_one", self.name))
                await super().insert_one(document)

            @override
            async def update_one(self, query: Document, update: Document, *, upsert: bool = False) -> bool:
                commands.append(("update_one", self.name))
                return await super().update_one(query, update, upsert=upsert)

        return Counted(found._collection, found._breaker, found._retries)


@pytest.fixture
async def pool() -> AsyncIterator[CountedPasswords]:
    async with CountedPasswords(threads=2) as pool:
        yield pool


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[CountedDatabase]:
    database = CountedDatabase(settings)
    yield database
    database.close()


@pytest.fixture
def sessions(database: CountedDatabase, pool: CountedPasswords, settings: Settings) -> Sessions:
    return open_sessions(database, pool, settings)


async def guess(sessions: Sessions, handle: str, now: datetime = NOW, password: str = "wrong password") -> ChatError:
    with pytest.raises(ChatError) as refused:
        await login(sessions, handle, password, now)
    return refused.value


async def test_a_failed_sign_in_is_the_same_work_for_every_handle(
    sessions: Sessions, database: CountedDatabase, pool: CountedPasswords
) -> None:
    await register(sessions, "ada")
    without_password = await register(sessions, "bob")
    await database["users"].update_one({"_id": without_password.user.id}, {"$set": {"passwordHash": ""}})

    async def work(handle: str) -> tuple[int, list[tuple[str, str]], Any]:
        before = pool.hashes
        database.commands.clear()
        refusal = await guess(sessions, handle)
        return pool.hashes - before, list(database.commands), (type(refusal), refusal.message)

    known = await work("ada")
    others = [await work(handle) for handle in ("bob", "nobody", "no handle at all", "", "x" * 5_000)]

    assert known[0] == 1
    assert others == [known] * len(others)


async def test_the_delay_doubles_with_each_wrong_guess_and_ends_with_a_right_one(sessions: Sessions) -> None:
    await register(sessions)
    now, waits = NOW, list[float]()
    for _ in range(8):
        assert isinstance(await guess(sessions, "ada", now), InvalidCredentials)
        early = await guess(sessions, "ada", now, PASSWORD) if len(waits) >= FREE - 1 else None
        wait = (early.retry_after_ms or 0) / 1_000 if isinstance(early, RateLimited) else 0
        waits.append(wait)
        now += timedelta(seconds=wait)
    await login(sessions, "ada", PASSWORD, now)
    again = [await guess(sessions, "ada", now) for _ in range(FREE)]

    assert waits == [0, 0, 1, 2, 4, 8, 16, 32]
    assert {type(refusal) for refusal in again} == {InvalidCredentials}


async def test_a_delay_is_one_accounts_and_holds_on_every_process_without_redis(
    sessions: Sessions, mongo_database: Database, pool: CountedPasswords, settings: Settings
) -> None:
    await register(sessions, "ada")
    await register(sessions, "bob")
    for _ in range(FREE):
        await guess(sessions, "ada")

    another = open_sessions(mongo_database, pool, settings)  # whose Redis is nowhere

    assert isinstance(await guess(another, "ADA", NOW, PASSWORD), RateLimited)
    assert (await login(another, "bob")).user.handle == "bob"


async def test_of_many_guesses_at_once_no_more_are_looked_at_than_one_after_the_other(
    sessions: Sessions, pool: CountedPasswords
) -> None:
    await register(sessions)
    before = pool.hashes

    refusals = await asyncio.gather(*(guess(sessions, "ada") for _ in range(30)))

    assert pool.hashes - before == FREE
    assert [type(refusal) for refusal in refusals].count(RateLimited) == 30 - FREE


async def test_guesses_that_nobody_had_time_for_do_not_count(sessions: Sessions, pool: CountedPasswords) -> None:
    await register(sessions)
    pool._limit = 0
    overloaded = [await guess(sessions, "ada", NOW, PASSWORD) for _ in range(FREE + 1)]
    pool._limit = 10

    assert {type(refusal) for refusal in overloaded} == {Overloaded}
    assert (await login(sessions, "ada")).user.handle == "ada"


async def test_no_delay_is_longer_than_a_quarter_of_an_hour_and_a_day_forgets(mongo_database: Database) -> None:
    guesses, now = Attempts(mongo_database), NOW
    for _ in range(14):
        await guesses.begin("ada", now)
        now += LONGEST_DELAY
    with pytest.raises(RateLimited) as refused:
        await guesses.begin("ada", now - timedelta(seconds=1))
    last = now - LONGEST_DELAY
    forgotten = await guesses.begin("ada", last + FORGOTTEN_AFTER + timedelta(seconds=1))

    assert delay_after(10_000) == LONGEST_DELAY
    assert refused.value.retry_after_ms == 1_000
    assert forgotten.failures == 1


async def test_without_limits_every_guess_is_free(
    mongo_database: Database, pool: Passwords, settings: Settings
) -> None:
    free = settings.model_copy(update={"rate_limits": parsed("off")})
    sessions = open_sessions(mongo_database, pool, free)
    await register(sessions)

    refusals = [await guess(sessions, "ada") for _ in range(FREE + 3)]

    assert {type(refusal) for refusal in refusals} == {InvalidCredentials}
    assert await mongo_database[attempts.COLLECTION].find({}) == []


async def test_what_somebody_typed_is_not_stored(sessions: Sessions, mongo_database: Database) -> None:
    await guess(sessions, "my secret password")

    assert "secret" not in repr(await mongo_database[attempts.COLLECTION].find({}))
