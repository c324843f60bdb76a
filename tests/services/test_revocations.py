"""A session that has ended is refused by every process, soon, and for as long as a token of it may live."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import pytest
from pymongo.errors import PyMongoError
from structlog.testing import capture_logs

from services import ids, revocations
from services.accounts import Accounts
from services.bus import Bus
from services.clock import now
from services.config import Settings
from services.errors import InvalidCredentials, Unauthenticated
from services.mongo import Database
from services.passwords import Passwords
from services.redis import Redis
from services.revocations import MARGIN, PAGE, SESSIONS, RevocationLog, Revocations
from services.sessions import Sessions, SignedIn
from services.tokens import open_tokens
from services.users import Users
from tests.faults.harness import until
from tests.faults.proxy import Proxy

PASSWORD = "correct horse battery"
ANOTHER = "staple of another kind"
WITHIN_SECONDS = 1.0
WITHOUT_REDIS_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Process:
    """What a process has for its sessions, over connections of its own."""

    sessions: Sessions
    revocations: Revocations

    async def refuses(self, signed_in: SignedIn) -> bool:
        try:
            await self.sessions.authenticate(signed_in.access_token, now())
        except Unauthenticated:
            return True
        return False

    async def seconds_until_refused(self, *signed_in: SignedIn) -> float:
        """Return how long it takes from now until all of these are refused."""
        began = time.monotonic()
        while not all([await self.refuses(each) for each in signed_in]):
            assert time.monotonic() < began + WITHOUT_REDIS_SECONDS
            await asyncio.sleep(0.005)
        return time.monotonic() - began


@pytest.fixture
async def pool() -> AsyncIterator[Passwords]:
    async with Passwords(threads=2) as pool:
        yield pool


@asynccontextmanager
async def process(
    settings: Settings, pool: Passwords, name: str, clock: Callable[[], datetime] = now
) -> AsyncIterator[Process]:
    async with AsyncExitStack() as stack:
        database = Database(settings)
        stack.callback(database.close)
        redis = await stack.enter_async_context(Redis(settings.redis_url).running())
        bus = await stack.enter_async_context(Bus(redis, name).running())
        if settings.redis_url.rpartition(":")[2] != "1":
            await redis.up.wait()
            await bus.up.wait()
        revoked = await stack.enter_async_context(Revocations(database, bus, clock).running())
        sessions = Sessions(
            database,
            users=Users(database),
            passwords=pool,
            tokens=open_tokens(settings),
            revocations=revoked,
            settings=settings,
        )
        yield Process(sessions, revoked)


@pytest.fixture
def connected(settings: Settings, redis_url: str) -> Settings:
    return settings.model_copy(update={"redis_url": redis_url})


@pytest.fixture
async def two(connected: Settings, pool: Passwords) -> AsyncIterator[tuple[Process, Process]]:
    async with process(connected, pool, "one") as one, process(connected, pool, "two") as two:
        yield one, two


async def register(process: Process, handle: str = "ada") -> SignedIn:
    return await process.sessions.register(handle=handle, password=PASSWORD, display_name=None, device=None, now=now())


async def login(process: Process) -> SignedIn:
    return await process.sessions.login(handle="ada", password=PASSWORD, device="phone", now=now())


async def test_a_session_that_was_ended_is_refused_by_every_process_within_a_second(
    two: tuple[Process, Process],
) -> None:
    one, other = two
    ada, phone = await register(one), await login(one)

    await one.sessions.logout(ada.session.id, now())
    here = await one.refuses(ada)
    there = await other.seconds_until_refused(ada)

    assert here
    assert there < WITHIN_SECONDS
    assert not await one.refuses(phone)
    assert not await other.refuses(phone)


async def test_a_change_of_the_password_ends_all_other_tokens_everywhere(two: tuple[Process, Process]) -> None:
    one, other = two
    ada, others = await register(one), [await login(one) for _ in range(3)]
    caller = await one.sessions.authenticate(ada.access_token, now())

    changed = await one.sessions.change_password(caller, current=PASSWORD, new=ANOTHER, now=now())
    there = await other.seconds_until_refused(*others)

    assert there < WITHIN_SECONDS
    for each in (one, other):
        assert not await each.refuses(ada)
        assert not await each.refuses(changed)


async def test_a_token_that_was_replaced_by_a_renewal_ends_its_session_everywhere_and_is_logged(
    two: tuple[Process, Process],
) -> None:
    one, other = two
    ada = await register(one)
    second = await one.sessions.refresh(ada.refresh_token, now())
    third = await one.sessions.refresh(second.refresh_token, now())

    with capture_logs() as logs, pytest.raises(InvalidCredentials):
        await one.sessions.refresh(ada.refresh_token, now())
    there = await other.seconds_until_refused(ada, second, third)

    (log,) = [line for line in logs if line["event"] == "session.reuse"]
    assert log == {
        "event": "session.reuse",
        "log_level": "warning",
        "session": ada.session.id,
        "user": ada.user.id,
    }
    assert there < WITHIN_SECONDS


async def test_a_suspension_from_the_command_line_reaches_every_process_within_a_second(
    two: tuple[Process, Process], mongo_database: Database
) -> None:
    one, other = two
    sessions = [await register(one), *[await login(other) for _ in range(2)]]

    await Accounts(mongo_database).suspend("ada", now())
    times = await asyncio.gather(*(each.seconds_until_refused(*sessions) for each in two))

    assert max(times) < WITHIN_SECONDS


async def test_without_redis_the_others_read_of_it(settings: Settings, pool: Passwords) -> None:
    async with process(settings, pool, "one") as one, process(settings, pool, "two") as other:
        ada = await register(one)
        await one.sessions.logout(ada.session.id, now())
        there = await other.seconds_until_refused(ada)

    assert there < WITHOUT_REDIS_SECONDS


async def test_a_process_that_starts_later_refuses_from_the_start(
    two: tuple[Process, Process], connected: Settings, pool: Passwords
) -> None:
    one, _ = two
    ada = await register(one)
    await one.sessions.logout(ada.session.id, now())

    async with process(connected, pool, "three") as late:
        assert await late.refuses(ada)


async def test_a_renewal_that_races_the_end_of_its_session_gives_no_token_that_is_good(
    two: tuple[Process, Process], mongo_database: Database
) -> None:
    (one, other), log = two, RevocationLog(mongo_database)
    for number in range(5):
        made = await register(one, f"user{number}")

        result, _ = await asyncio.gather(
            one.sessions.refresh(made.refresh_token, now()),
            other.sessions.logout(made.session.id, now()),
            return_exceptions=True,
        )

        assert isinstance(result, SignedIn | InvalidCredentials)
        tokens = [made, *([result] if isinstance(result, SignedIn) else [])]
        for each in two:
            assert await each.seconds_until_refused(*tokens) < WITHIN_SECONDS
        until = max(token.access_token_expires_at for token in tokens)
        assert (await log.since(now() - MARGIN))[made.session.id] >= until


async def test_who_ended_a_session_and_died_is_made_up_for_when_its_token_is_shown(
    two: tuple[Process, Process], mongo_database: Database
) -> None:
    one, other = two
    ada = await register(one)
    await mongo_database["sessions"].update_one({"_id": ada.session.id}, {"$set": {"revokedAt": now()}})

    before = await one.refuses(ada)
    with pytest.raises(InvalidCredentials):
        await one.sessions.refresh(ada.refresh_token, now())
    there = await other.seconds_until_refused(ada)

    assert not before
    assert await one.refuses(ada)
    assert there < WITHIN_SECONDS


async def test_what_was_written_late_under_an_earlier_time_is_read(
    two: tuple[Process, Process], mongo_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    early, late, very_late = (ids.session(ids.user()) for _ in range(3))
    until = now() + timedelta(minutes=10)

    await RevocationLog(mongo_database).add({early: until})
    await known(two, early)
    await RevocationLog(mongo_database, lambda: now() - revocations.OVERLAP / 2).add({late: until})
    began = time.monotonic()
    await known(two, late)
    seconds = time.monotonic() - began
    monkeypatch.setattr(revocations, "ANEW_SECONDS", 1.0)
    await RevocationLog(mongo_database, lambda: now() - timedelta(hours=1)).add({very_late: until})
    await known(two, very_late)

    assert seconds < WITHIN_SECONDS


async def known(processes: tuple[Process, ...], *session_ids: str) -> None:
    """Wait until the processes know that these sessions have ended."""

    def are_known() -> bool:
        return all(each.revocations.has_ended(session_id) for each in processes for session_id in session_ids)

    await until(are_known, "they are known", WITHOUT_REDIS_SECONDS)


async def test_however_many_end_at_once_all_are_refused(
    two: tuple[Process, Process], connected: Settings, pool: Passwords
) -> None:
    user = ids.user()
    until = now() + timedelta(minutes=10)
    together = {ids.session(user): until for _ in range(SESSIONS + 1)}
    apart = {ids.session(user): until for _ in range(PAGE)}

    await two[0].revocations.end(together)
    for session_id in apart:
        await two[0].revocations.end({session_id: until})
    await known(two, *together, *apart)

    async with process(connected, pool, "three") as late:
        assert all(map(late.revocations.has_ended, [*together, *apart]))


async def test_while_mongodb_is_away_what_is_known_is_refused_and_what_is_new_follows(
    connected: Settings, pool: Passwords
) -> None:
    address = urlsplit(connected.mongo_url)
    assert address.hostname is not None
    assert address.port is not None
    async with Proxy(address.hostname, address.port).running() as line:
        cut_off = connected.model_copy(update={"mongo_url": f"mongodb://127.0.0.1:{line.port}"})
        async with process(cut_off, pool, "one") as one, process(connected, pool, "two") as other:
            ada, phone, tablet = await register(one), await login(one), await login(one)
            await one.sessions.logout(ada.session.id, now())
            with line.closed():
                heard = await _logout_elsewhere(one, other, phone)
                with pytest.raises(PyMongoError):
                    await one.revocations.end({tablet.session.id: tablet.access_token_expires_at})
                refused = [await one.refuses(each) for each in (ada, phone, tablet)]
            there = await other.seconds_until_refused(tablet)

    assert heard < WITHIN_SECONDS
    assert refused == [True, True, True]
    assert there < WITHOUT_REDIS_SECONDS


async def _logout_elsewhere(one: Process, other: Process, signed_in: SignedIn) -> float:
    await other.sessions.logout(signed_in.session.id, now())
    return await one.seconds_until_refused(signed_in)


async def test_a_session_is_forgotten_when_no_token_of_it_can_live(connected: Settings, pool: Passwords) -> None:
    ahead = timedelta()
    async with process(connected, pool, "one", lambda: now() + ahead) as one:
        short, long = ids.session(ids.user()), ids.session(ids.user())
        await one.revocations.end({short: now() + timedelta(seconds=1), long: now() + timedelta(hours=1)})
        known_first = [one.revocations.has_ended(each) for each in (short, long)]
        ahead = MARGIN + timedelta(seconds=2)
        await until(lambda: not one.revocations.has_ended(short), "it is forgotten", WITHOUT_REDIS_SECONDS)

        assert known_first == [True, True]
        assert one.revocations.has_ended(long)


async def test_a_session_whose_tokens_have_expired_is_not_written_down(mongo_database: Database) -> None:
    log = RevocationLog(mongo_database)

    await log.add({ids.session(ids.user()): now() - MARGIN})

    assert await mongo_database[revocations.COLLECTION].find_one({}) is None
