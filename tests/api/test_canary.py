"""The canary sings through every instance, and says what has become of it."""

from datetime import UTC, datetime

import pytest

from parley.canary import Canary, Report, report_of
from services import ids
from services.config import Settings
from services.leases import Leases
from services.mongo import Database
from tests.stack_process import StackProcess


def test_what_is_missing_and_what_came_twice_is_counted() -> None:
    sent = {"one": 1.0, "two": 2.0}
    heard = [[("one", 1.5), ("two", 2.1), ("one", 1.6)], [("two", 2.75), ("another", 9.0)]]

    assert report_of(sent, heard, failed_sends=1) == Report(
        instances=2, deliveries=3, lost=1, doubled=1, failed_sends=1, slowest_ms=750.0
    )


async def test_it_is_heard_at_every_instance_and_begins_a_conversation_each_day(stack: StackProcess) -> None:
    settings = Settings(mongo_url=stack.url("mongo"), redis_url="", kafka_url="", embedded=True, data=stack.directory)
    database = Database(settings)
    day = datetime(2026, 11, 26, tzinfo=UTC)
    try:
        canary = Canary(database, Leases(database, ids.new_id("w")), stack.urls, clock=lambda: day)
        report = await canary.sing()
        first = await database["meta"].find_one({"_id": "canary"})
        day = datetime(2026, 11, 27, tzinfo=UTC)
        again = await canary.sing()
        second = await database["meta"].find_one({"_id": "canary"})
        assert first is not None
        assert second is not None
        old = await database["conversations"].find_one({"_id": first["conversation"]})
        await canary.check()
        canary.newest = report_of({"lost": 0.0}, [[]], failed_sends=0)
        with pytest.raises(TimeoutError):
            await canary.check()
    finally:
        database.close()

    for each in (report, again):
        assert (each.instances, each.deliveries, each.lost, each.doubled, each.failed_sends) == (2, 4, 0, 0, 0)
    assert first["conversation"] != second["conversation"]
    assert first["handle"] == second["handle"]
    assert old is not None
    assert old["archivedAt"] is not None
