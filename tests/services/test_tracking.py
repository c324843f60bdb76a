"""Product events: counted once each, however often their records come."""

from datetime import UTC, date, datetime, timedelta

import pytest

from services import ids
from services.mongo import Database
from services.tracking import TrackedEvent, TrackingJob

AT = datetime(2026, 11, 24, 23, 59, tzinfo=UTC)


def opened(user_id: str, at: datetime = AT, name: str = "app.opened") -> TrackedEvent:
    return TrackedEvent(id=ids.new_id("evt"), user_id=user_id, name=name, properties={"from": "push"}, at=at)


async def test_events_are_counted_once_by_name_and_day(mongo_database: Database) -> None:
    job = TrackingJob(mongo_database)
    events = [opened("ann"), opened("ann"), opened("bob"), opened("ann", name="app.open")]

    await job.handle(events)
    await job.handle([*events[1:], opened("ann", AT + timedelta(minutes=1))])

    assert await job.count("app.opened", date(2026, 11, 24)) == (3, 2)
    assert await job.count("app.opened", date(2026, 11, 25)) == (1, 1)
    assert await job.count("app.open", date(2026, 11, 24)) == (1, 1)


def test_an_event_is_the_same_after_a_way_over_the_wire() -> None:
    event = opened("ann")

    assert TrackedEvent.from_bytes(event.to_bytes()) == event


@pytest.mark.parametrize("value", [b"", b"[]", b"{}", b'{"id": 1}'])
def test_what_is_no_event_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match="not a tracked event"):
        TrackedEvent.from_bytes(value)
