"""Whether the parts that an API process needs answer, and how fast."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Final, Self

import structlog
from aiokafka.errors import KafkaError
from pymongo.errors import PyMongoError

from services.clock import now
from services.meter import Meter
from services.redis import RedisFailedError
from services.tasks import Tasks

CHECK_SECONDS = 2.0
LOOK_SECONDS: Final = 5.0  # between two looks, where somebody wants to know at any time
DOWN: Final = "_down"  # how the gauges of parts end

_logger = structlog.get_logger()


class HealthStatus(StrEnum):
    HEALTHY = "HEALTHY"
    DEGRADED = "DEGRADED"
    UNHEALTHY = "UNHEALTHY"


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentHealth:
    name: str
    status: HealthStatus
    latency_ms: float | None  # None when there was no answer
    detail: str | None  # None when all is well
    checked_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    status: HealthStatus
    version: str
    instance: str
    uptime_seconds: float
    components: list[ComponentHealth]


class HealthChecks:
    """Asks each part for a sign of life. MongoDB holds the truth; without another part Parley is slower, not down."""

    def __init__(self, *, version: str, instance: str, parts: Mapping[str, Callable[[], Awaitable[object]]]) -> None:
        self.version = version
        self._instance = instance
        self.parts = parts
        self._started = time.monotonic()
        self.draining = False  # whether this process is about to stop

    async def health(self) -> Health:
        """Ask every part at once."""
        components = await asyncio.gather(*(self._check(name) for name in self.parts))
        return Health(
            status=max((component.status for component in components), key=list(HealthStatus).index),
            version=self.version,
            instance=self._instance,
            uptime_seconds=round(time.monotonic() - self._started, 3),
            components=list(components),
        )

    async def is_ready(self) -> bool:
        """Whether this process can serve: it goes on, and what it cannot do without answers."""
        return not self.draining and (await self._check("mongodb")).status is HealthStatus.HEALTHY

    async def _check(self, name: str) -> ComponentHealth:
        started = time.perf_counter()
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                await self.parts[name]()
        except (PyMongoError, RedisFailedError, KafkaError, OSError, TimeoutError):
            status = HealthStatus.UNHEALTHY if name == "mongodb" else HealthStatus.DEGRADED
            return ComponentHealth(
                name=name, status=status, latency_ms=None, detail="does not answer", checked_at=now()
            )
        latency_ms = round((time.perf_counter() - started) * 1_000, 3)
        return ComponentHealth(
            name=name, status=HealthStatus.HEALTHY, latency_ms=latency_ms, detail=None, checked_at=now()
        )


class ComponentWatch:
    """Looks at every part again and again, and has a gauge of each: 1 while it does not answer, else 0."""

    def __init__(self, checks: HealthChecks, meter: Meter) -> None:
        self._checks = checks
        self._down: dict[str, float] = dict.fromkeys(checks.parts, 0.0)
        meter.gauges |= {f"{name}{DOWN}": partial(self._down.__getitem__, name) for name in checks.parts}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Look until this ends."""
        async with Tasks() as tasks:
            tasks.spawn(self._keep_looking())
            yield self

    def gauges(self) -> dict[str, float]:
        """Return the gauges as this process has them."""
        return {f"{name}{DOWN}": value for name, value in self._down.items()}

    async def _keep_looking(self) -> None:
        while True:
            try:
                for component in (await self._checks.health()).components:
                    self._down[component.name] = float(component.status is not HealthStatus.HEALTHY)
            except Exception:  # whatever it was, the next look may get further
                _logger.exception("health.failed")
            await asyncio.sleep(LOOK_SECONDS)
