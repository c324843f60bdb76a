"""A worker looks at all that is stored when it is due, and its gauge says what was found last."""

from datetime import timedelta

import pytest

from services import ids
from services.clock import now
from services.fsck_watch import FsckWatch, note
from services.leases import Leases
from services.meter import Meter
from services.mongo import Database


@pytest.fixture
def meter() -> Meter:
    return Meter()


@pytest.fixture
def watch(mongo_database: Database, meter: Meter) -> FsckWatch:
    return FsckWatch(mongo_database, Leases(mongo_database, "worker"), meter, every=timedelta(hours=1))


async def test_what_is_wrong_is_found_and_shown(watch: FsckWatch, meter: Meter, mongo_database: Database) -> None:
    await mongo_database["published"].insert_one({"_id": ids.new_id("cnv"), "sequence": 3})  # there is no such log
    before = meter.gauges["fsck_violations"]()
    await watch.sweep()

    assert before == 0
    assert meter.gauges["fsck_violations"]() == 1


async def test_nothing_is_due_until_its_time_has_passed(watch: FsckWatch, mongo_database: Database) -> None:
    first, second = await watch._is_due(), await watch._is_due()
    old = now() - timedelta(hours=2)
    await mongo_database["meta"].update_one({"_id": "fsck"}, {"$set": {"at": old}})

    assert (first, second, await watch._is_due()) == (False, False, True)


async def test_what_the_command_has_found_is_shown_as_well(
    watch: FsckWatch, meter: Meter, mongo_database: Database
) -> None:
    await note(mongo_database, 4)
    await watch._is_due()

    assert meter.gauges["fsck_violations"]() == 4
