"""What each process has counted, told to Redis in slots of ten seconds, and what all of them have, read from there.

A slot is a hash with a field for each process, which is written whole each time: so a report that is repeated, because
its answer was lost or because Redis has forgotten it, counts once. Slots follow the clock of Redis.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final, Self

import structlog

from services.meter import Meter, Totals
from services.redis import Redis, RedisFailedError
from services.tasks import Tasks

SLOT_SECONDS: Final = 10
REPORT_SECONDS: Final = 2.0
KEPT_SLOTS: Final = 90  # that a process can tell again, and that Redis keeps: a quarter of an hour
DAY_SECONDS: Final = 86_400
LIVING_SLOTS: Final = 2  # a process that has reported in one of the newest two is there
API: Final = "api:"

_logger = structlog.get_logger()


class MetricReports:
    """This process's reports, and everybody's."""

    def __init__(self, redis: Redis, meter: Meter, *, instance: str, role: str) -> None:
        """Prepare.

        Args:
            redis: Where reports go.
            meter: What this process counts.
            instance: Its name.
            role: `api` or `worker`.
        """
        self._redis = redis
        self._meter = meter
        self._field = f"{role}:{instance}"
        self._slots: dict[int, Totals] = {}  # what was counted in each, by its first second
        self._told: dict[int, str] = {}  # slots that Redis has in full, and the run of the server that was told
        self._slot = 0
        self._base = Totals()  # what had been counted when the slot began
        self._ahead: float | None = None  # the time of Redis, less this process's clock; None until Redis has said it

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Report until this ends, and once more then."""
        try:
            async with Tasks() as tasks:
                tasks.spawn(self._keep_reporting())
                yield self
        finally:
            try:
                await self.report()
            except RedisFailedError:
                _logger.warning("metrics.not_reported")

    async def _keep_reporting(self) -> None:
        while True:
            try:
                await self.report()
            except RedisFailedError:
                pass  # it is told later: slots are kept
            except Exception:  # whatever it was, a process must not stop counting
                _logger.exception("metrics.failed")
            await asyncio.sleep(REPORT_SECONDS)

    async def report(self) -> None:
        """Tell Redis what it does not know yet.

        Raises:
            RedisFailedError: it was not told of everything.
        """
        try:
            seconds = await self.seconds()
        except RedisFailedError:
            if self._ahead is not None:  # what is counted meanwhile belongs to the slots of this time
                self._turn(_slot_of(time.monotonic() + self._ahead))
            raise
        self._ahead = seconds - time.monotonic()
        slot = self._turn(_slot_of(seconds))
        run_id = self._redis.run_id or ""
        commands = []
        for each, totals in self._slots.items():
            if each == slot or self._told.get(each) != run_id:
                commands.append(self._redis.call("HSET", _key(each), self._field, totals.to_bytes()))
                commands.append(self._redis.call("EXPIRE", _key(each), KEPT_SLOTS * SLOT_SECONDS))
        if users := sorted(self._meter.active):
            for key, life in ((_active_key(slot), KEPT_SLOTS * SLOT_SECONDS), (_day_key(slot), 2 * DAY_SECONDS)):
                commands.append(self._redis.call("PFADD", key, *users))
                commands.append(self._redis.call("EXPIRE", key, life))
        await asyncio.gather(*commands)
        self._meter.active.difference_update(users)
        self._told |= {each: run_id for each in self._slots if each != slot}

    def _turn(self, slot: int) -> int:
        """Write down what was counted until now, and begin another slot if it is time; return the one that it is."""
        if self._slot - SLOT_SECONDS <= slot < self._slot:
            slot = self._slot  # the clock was guessed, or is another server's: a slot does not begin twice
        present = self._meter.totals()
        self._slots[self._slot or slot] = Totals(
            counts=present.counts - self._base.counts,
            sums=present.sums - self._base.sums,
            maxima=present.maxima,
            gauges=present.gauges,
        )
        if slot != self._slot:
            if self._slot:
                self._base = present
                self._meter.forget_largest()
                self._slots[slot] = Totals(gauges=present.gauges)
            self._slot = slot
            oldest = slot - KEPT_SLOTS * SLOT_SECONDS
            for each in [each for each in self._slots if each <= oldest]:
                del self._slots[each]
                self._told.pop(each, None)
        return slot

    # ------------------------------------------------------------ everybody's

    async def seconds(self) -> float:
        """Return the time of Redis, in seconds since 1970.

        Raises:
            RedisFailedError: it did not say.
        """
        seconds, microseconds = await self._redis.call("TIME")
        return int(seconds) + int(microseconds) / 1e6

    async def read(self, slots: Iterable[int]) -> dict[int, dict[str, Totals]]:
        """Return what was reported for these slots, by the process that did.

        Raises:
            RedisFailedError: Redis did not answer.
        """
        wanted = list(slots)
        replies = await asyncio.gather(*(self._redis.call("HGETALL", _key(slot)) for slot in wanted))
        return {
            slot: {name.decode(): Totals.from_bytes(value) for name, value in zip(reply[::2], reply[1::2], strict=True)}
            for slot, reply in zip(wanted, replies, strict=True)
        }

    async def counts(self, slots: Iterable[int]) -> dict[int, int]:
        """Return how many processes have reported of each of these slots.

        Raises:
            RedisFailedError: Redis did not answer.
        """
        wanted = list(slots)
        return dict(
            zip(wanted, await asyncio.gather(*(self._redis.call("HLEN", _key(slot)) for slot in wanted)), strict=True)
        )

    async def active(self, slots: Iterable[int]) -> int:
        """Return about how many users did something in these slots (HyperLogLog: within 1 %).

        Raises:
            RedisFailedError: Redis did not answer.
        """
        return await self._union([_active_key(slot) for slot in slots])

    async def active_of_day(self, slot: int) -> int:
        """Return about how many users did something in the 24 h before.

        Raises:
            RedisFailedError: Redis did not answer.
        """
        return await self._union([_day_key(slot - hours * 3_600) for hours in range(25)])

    async def _union(self, keys: list[str]) -> int:
        return int(await self._redis.call("PFCOUNT", *keys))


def slots_of(since: float, until: float) -> range:
    """Return the slots that lie in a span of time, in part or whole."""
    return range(_slot_of(since), _slot_of(until) + 1, SLOT_SECONDS)


def living(found: Mapping[int, Mapping[str, Totals]]) -> dict[str, Totals]:
    """Return the newest report of each process that is there, by process, given the reports of the newest slots."""
    newest: dict[str, Totals] = {}
    for slot in sorted(found)[-LIVING_SLOTS:]:
        newest |= found[slot]
    return newest


def as_time(seconds: float) -> datetime:
    """Return a time of Redis as others write it."""
    return datetime.fromtimestamp(seconds, UTC)


def _slot_of(seconds: float) -> int:
    return int(seconds // SLOT_SECONDS) * SLOT_SECONDS


def _key(slot: int) -> str:
    return f"parley:metrics:{{{slot}}}"


def _active_key(slot: int) -> str:
    return f"parley:{{active}}:{slot}"


def _day_key(slot: int) -> str:
    return f"parley:{{active}}:h{slot // 3_600}"
