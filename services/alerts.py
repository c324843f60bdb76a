"""Alerts: what is wrong with the deployment and what was, in MongoDB; and, at each process, what changes of it.

One worker writes them (`services/alerting.py`). Processes hear of changes from Redis, and compare with MongoDB every
few seconds: so either of the two may be away.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Never, Self

import bson
from odmantic import Field, Model
from odmantic.config import ODMConfigDict
from pymongo.errors import PyMongoError

from services import ids
from services.alert_rules import AlertSeverity
from services.bus import Bus
from services.cache import decoded
from services.clock import now
from services.mongo import Collection, Database, Document
from services.paging import Page, Window, cursor_of, key_of, read_page
from services.redis import Redis, channel_of
from services.tasks import Tasks

COLLECTION: Final = "alerts"
CHANNEL: Final = ("parley:alerts:", "changed")
KEPT: Final = timedelta(days=90)
COMPARE_SECONDS: Final = 5.0
AWAY_SECONDS: Final = 1.0  # the same while Redis is away
# What came to be so long before the last comparison may have been written after it: MongoDB was away, clocks differ.
OVERLAP: Final = timedelta(minutes=10)
UNWRITTEN: Final = timedelta(minutes=1)  # for so long an alert that MongoDB does not have may still be written
KNOWN: Final = 1_000  # changes that a process remembers so as not to tell them twice, and that wait for a subscriber


class AlertState(StrEnum):
    FIRING = "FIRING"
    RESOLVED = "RESOLVED"


class Alert(Model):
    """A rule that held, from when on, and until when."""

    id: str = Field(primary_field=True)
    name: str
    severity: AlertSeverity
    state: AlertState
    message: str
    value: float | None
    threshold: float | None
    started_at: datetime = Field(key_name="startedAt")
    ended_at: datetime | None = Field(default=None, key_name="endedAt")  # None while it fires
    told: AlertState | None = None  # what the webhook has been told last; None: nothing
    is_open: bool = Field(default=True, key_name="open")  # whether it fires, or the webhook is to be told

    model_config = ODMConfigDict(collection=COLLECTION)


@dataclass(frozen=True, slots=True)
class AlertStream:
    """A subscription to alerts."""

    def __aiter__(self) -> Never:
        """Look like the async iterable that GraphQL asks for; who serves streams does not iterate."""
        raise TypeError("a stream is served, not iterated")


def new_id(time: datetime) -> str:
    """Return the id of an alert that begins to fire."""
    return _id(time, os.urandom(10))


def kept_from(time: datetime) -> str:
    """Return the id before which alerts are old enough to be removed."""
    return _id(time - KEPT, bytes(10))


def _id(time: datetime, chance: bytes) -> str:
    return ids.id_at("alr", time, chance)


class AlertLog:
    """The alerts in MongoDB, in the order in which they began to fire."""

    def __init__(self, database: Database) -> None:
        self._alerts: Collection = database[COLLECTION]

    async def page(self, window: Window, *, state: AlertState | None) -> Page[Alert]:
        """Return alerts, the newest first: all, or those in a state.

        Raises:
            BadUserInput: a cursor is none.
            PyMongoError: MongoDB did not answer.
        """

        def item(document: Document) -> tuple[str, Alert]:
            return cursor_of(document["_id"]), Alert.model_validate_doc(document)

        where = {} if state is None else {"state": state.value}
        return await read_page(
            self._alerts, ("alr_", "alr_~"), window, key=key_of, item=item, where=where, newest_first=True
        )

    async def get(self, alert_id: str) -> Alert | None:
        """Return one alert, or None; raises PyMongoError."""
        document = await self._alerts.find_one({"_id": alert_id})
        return None if document is None else Alert.model_validate_doc(document)

    async def open(self) -> list[Alert]:
        """Return those that fire, or that the webhook is to be told of, the oldest first; raises PyMongoError."""
        return [Alert.model_validate_doc(document) for document in await self._alerts.find({"open": True})]

    async def since(self, alert_id: str) -> list[Alert]:
        """Return those from an id on, the oldest first; raises PyMongoError."""
        return [Alert.model_validate_doc(found) for found in await self._alerts.find({"_id": {"$gte": alert_id}})]

    async def write(self, alert: Alert) -> None:
        """Keep an alert as it is now; raises PyMongoError."""
        await self._alerts.replace_one({"_id": alert.id}, alert.model_dump_doc(), upsert=True)


def publish(redis: Redis, alert: Alert) -> None:
    """Tell every process of an alert as it is now, if Redis is there."""
    redis.publish(channel_of(*CHANNEL), bson.encode(alert.model_dump_doc()))


class Changes:
    """What one subscriber has not taken yet: of each alert the newest; the oldest are left out when it is too slow."""

    def __init__(self, alerts: list[Alert]) -> None:
        self._waiting = {alert.id: alert for alert in alerts}
        self._some = asyncio.Event()

    def add(self, alert: Alert) -> None:
        """Have one more told."""
        self._waiting.pop(alert.id, None)
        self._waiting[alert.id] = alert
        if len(self._waiting) > KNOWN:
            del self._waiting[next(iter(self._waiting))]
        self._some.set()

    async def next(self) -> Alert:
        """Return the oldest, when there is one."""
        while not self._waiting:
            self._some.clear()
            await self._some.wait()
        return self._waiting.pop(next(iter(self._waiting)))


class AlertFeed:
    """What one process knows of alerts, for its subscribers."""

    def __init__(self, database: Database, bus: Bus) -> None:
        self._log = AlertLog(database)
        self._bus = bus
        self._firing: dict[str, Alert] = {}  # by id
        self._known: dict[tuple[str, AlertState], None] = {}  # what subscribers were told
        self._subscribers: set[Changes] = set()
        self._compared_at = now()
        self._compare_now = asyncio.Event()
        bus.listen(CHANNEL[0], self._heard, self._compare_now.set)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Follow the alerts until this ends."""
        await self._bus.subscribe(*CHANNEL)
        with suppress(PyMongoError):  # then the first comparison makes up for it
            for alert in await self._log.open():
                self._take(alert)
            await self._compare()
        async with Tasks() as tasks:
            tasks.spawn(
                self._bus.keep_comparing(
                    "alerts", self._compare, self._compare_now, seconds=COMPARE_SECONDS, away_seconds=AWAY_SECONDS
                )
            )
            yield self

    @contextmanager
    def following(self) -> Iterator[Changes]:
        """Have changes told: first the alerts that fire, then each that does and each that is resolved."""
        changes = Changes(list(self._firing.values()))
        self._subscribers.add(changes)
        try:
            yield changes
        finally:
            self._subscribers.discard(changes)

    async def _compare(self) -> None:
        time, firing = now(), dict(self._firing)
        found = await self._log.since(min([_id(self._compared_at - OVERLAP, bytes(10)), *firing]))
        self._compared_at = time
        for alert in found:
            self._take(alert)
        for alert_id in firing.keys() - {alert.id for alert in found}:
            if alert_id < _id(time - UNWRITTEN, bytes(10)):  # whoever said so has died before it could write it down
                self._firing.pop(alert_id, None)

    def _heard(self, _channel: str, data: bytes) -> None:
        self._take(Alert.model_validate_doc(decoded(data)))

    def _take(self, alert: Alert) -> None:
        if (alert.id, alert.state) in self._known or (alert.id, AlertState.RESOLVED) in self._known:
            return  # what is resolved never fires again: this was read, or sent, before
        self._known[alert.id, alert.state] = None
        if len(self._known) > KNOWN:
            del self._known[next(iter(self._known))]
        if alert.state is AlertState.FIRING:
            self._firing[alert.id] = alert
        else:
            self._firing.pop(alert.id, None)
        for subscriber in self._subscribers:
            subscriber.add(alert)
