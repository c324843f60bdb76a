"""What is over is removed by one worker, a page at a time, and nothing else is."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest

from services import cleaning, ids
from services.attempts import Attempts, attempt_id
from services.audit import Audit, AuditEventKind
from services.cleaning import KEPT, PAGE, Cleaning
from services.erasure import LATE
from services.leases import Leases
from services.mongo import Database, Document
from services.resets import Resets
from services.revocations import MARGIN, RevocationLog

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LONG_AGO = NOW - KEPT - timedelta(seconds=1)
LATELY = NOW - KEPT + timedelta(seconds=1)
LATER = NOW + timedelta(days=30)


def cleaner(database: Database, name: str = "worker", now: datetime = NOW) -> Cleaning:
    return Cleaning(database, Leases(database, name), lambda: now)


def session(revoked_at: datetime | None, expires_at: datetime) -> Document:
    return {"_id": ids.session(ids.user()), "revokedAt": revoked_at, "expiresAt": expires_at}


async def left(database: Database, name: str) -> set[str]:
    return {document["_id"] for document in await database[name].find({})}


async def test_sessions_that_ended_or_expired_a_day_ago_are_removed(mongo_database: Database) -> None:
    kept = [session(None, LATER), session(LATELY, LATER), session(None, LATELY), session(LATELY, LONG_AGO + KEPT)]
    dead = [session(LONG_AGO, LATER), session(None, LONG_AGO), session(NOW, LONG_AGO)]
    await mongo_database["sessions"].insert_many([*kept, *dead], ordered=True)

    await cleaner(mongo_database).clean()

    assert await left(mongo_database, "sessions") == {document["_id"] for document in kept}


async def test_reset_links_that_were_used_or_expired_a_day_ago_are_removed(mongo_database: Database) -> None:
    resets = Resets(mongo_database)
    fresh = await resets.create(ids.user(), NOW)
    used = await resets.create(ids.user(), LONG_AGO)
    await resets.use(used, LONG_AGO)
    await resets.create(ids.user(), LONG_AGO - timedelta(hours=1))
    used_lately = await resets.create(ids.user(), LATELY)
    await resets.use(used_lately, LATELY)

    await cleaner(mongo_database).clean()

    assert await resets.user_id(fresh, NOW) is not None
    assert await resets.user_id(used, NOW) is None
    assert len(await left(mongo_database, "resets")) == 2


async def test_a_revocation_is_kept_as_long_as_a_token_may_live(mongo_database: Database) -> None:
    log = RevocationLog(mongo_database, lambda: NOW)
    short, long = ids.session(ids.user()), ids.session(ids.user())
    await log.add({short: NOW + timedelta(seconds=1)})
    await log.add({long: NOW + timedelta(seconds=2)})

    await cleaner(mongo_database, now=NOW + MARGIN + timedelta(seconds=1.5)).clean()

    assert await log.since(NOW) == {long: NOW + timedelta(seconds=2)}


async def test_a_round_looks_at_a_page_and_the_next_goes_on_until_it_begins_again(mongo_database: Database) -> None:
    dead = [session(LONG_AGO, LATER) for _ in range(PAGE + 1)]
    await mongo_database["sessions"].insert_many(dead, ordered=True)
    worker = cleaner(mongo_database)

    counts = []
    for _ in range(2):
        await worker.clean()
        counts.append(len(await left(mongo_database, "sessions")))
    await mongo_database["sessions"].insert_many(dead, ordered=True)
    for _ in range(2):
        await worker.clean()

    assert counts == [1, 0]
    assert await left(mongo_database, "sessions") == set()


async def test_of_two_workers_the_one_with_the_lease_cleans_until_it_goes(
    mongo_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleaning, "ROUND_SECONDS", 0.2)

    async def holder() -> object:
        lease = await mongo_database["leases"].find_one({"_id": cleaning.LEASE})
        return None if lease is None else lease["holder"]

    async def is_removed(document: Document) -> None:
        await mongo_database["sessions"].insert_one(document)
        async with asyncio.timeout(30):
            while await left(mongo_database, "sessions"):
                pass

    first, second = (Cleaning(mongo_database, Leases(mongo_database, name)) for name in ("first", "second"))
    old = datetime.now(UTC) - KEPT - timedelta(hours=1)
    async with AsyncExitStack() as stack:
        async with first.running():
            await is_removed(session(old, LATER))
            await stack.enter_async_context(second.running())
            await is_removed(session(old, LATER))
            before = await holder()
        await is_removed(session(old, LATER))
        after = await holder()

    assert (before, after) == ("first", "second")
    assert await holder() is None


async def test_the_audit_log_is_kept_for_so_many_days(mongo_database: Database) -> None:
    audit = Audit(mongo_database)
    for days in (0, 29, 31, 400):
        await audit.record(
            AuditEventKind.SIGNED_IN, subject_id=ids.user(), detail=f"{days}", at=NOW - timedelta(days=days)
        )

    await Cleaning(mongo_database, Leases(mongo_database, "worker"), lambda: NOW, audit_days=30).clean()

    assert [event.detail for event in await audit.newest(10)] == ["0", "29"]


async def test_guesses_of_passwords_are_removed_a_day_after_the_last(mongo_database: Database) -> None:
    attempts = Attempts(mongo_database)
    await attempts.begin("ada", LONG_AGO)
    await attempts.begin("bob", LATELY)

    await cleaner(mongo_database).clean()

    assert await left(mongo_database, "attempts") == {attempt_id("bob")}


async def test_what_came_late_of_an_erased_person_is_removed_a_minute_later(mongo_database: Database) -> None:
    ann, bob, conversation = ids.user(), ids.user(), ids.new_id("cnv")
    for user in (ann, bob):
        await mongo_database["seen"].insert_one({"_id": user, "at": NOW})
        await mongo_database["receipts"].insert_one({"_id": f"{conversation}:{user}"})
        await mongo_database["blocks"].insert_one({"_id": f"{user}:{ids.user()}"})
    erasure = {"_id": ann, "handle": None, "identity": None, "conversations": [conversation], "doneAt": NOW}
    await mongo_database["erasures"].insert_one(erasure)

    await cleaner(mongo_database, now=NOW + LATE).clean()
    early = await left(mongo_database, "seen")
    await cleaner(mongo_database, now=NOW + LATE + timedelta(seconds=1)).clean()

    assert early == {ann, bob}
    assert await left(mongo_database, "seen") == {bob}
    assert await left(mongo_database, "receipts") == {f"{conversation}:{bob}"}
    assert {block.partition(":")[0] for block in await left(mongo_database, "blocks")} == {bob}
    assert await left(mongo_database, "erasures") == set()


async def test_an_erasure_that_is_not_done_is_left_to_who_does_it(mongo_database: Database) -> None:
    erasure: Document = {"_id": ids.user(), "handle": "ada", "identity": None, "conversations": [], "doneAt": None}
    await mongo_database["erasures"].insert_one(erasure)

    await cleaner(mongo_database, now=LATER).clean()

    assert await left(mongo_database, "erasures") == {erasure["_id"]}
