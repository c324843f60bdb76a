"""A long quiet run: whether anything grows that should not, and whether all of it is let go in the end."""

import asyncio
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.chaos.cluster import Cluster

SAMPLE_SECONDS = 5.0
MOST_GROWTH = 0.02  # of the memory, in the second half of the load


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a process had at a time."""

    at: float  # seconds since the start
    name: str
    rss_mib: float
    descriptors: int
    tasks: int | None  # None where it has not said


@dataclass(slots=True)
class Watch:
    """The samples of all processes, and the keys in Redis."""

    cluster: Cluster
    samples: list[Sample] = field(default_factory=list)
    keys: dict[str, Counter[str]] = field(default_factory=dict)  # by when; by what they begin with
    _started: float = field(default_factory=time.monotonic)

    @property
    def now(self) -> float:
        return time.monotonic() - self._started

    async def keep_sampling(self) -> None:
        """Take samples until this is cancelled."""
        while True:
            self.sample()
            await asyncio.sleep(SAMPLE_SECONDS)

    def sample(self) -> None:
        """Take one sample of each process."""
        for name in (*self.cluster.api_names, *self.cluster.worker_names):
            try:
                process = self.cluster.process(name)
                with process.oneshot():
                    rss, descriptors = process.memory_info().rss / 2**20, process.num_fds()
            except psutil.NoSuchProcess:
                continue
            self.samples.append(
                Sample(at=self.now, name=name, rss_mib=rss, descriptors=descriptors, tasks=self._tasks(process.pid))
            )

    async def note_keys(self, when: str) -> None:
        """Note how many keys of each kind there are in Redis."""
        async with self.cluster.redis() as client:
            keys = [key.decode() async for key in client.scan_iter(count=1_000)]
        self.keys[when] = Counter(":".join(key.split(":")[:2]) for key in keys)

    def _tasks(self, pid: int) -> int | None:
        try:
            return int(tasks_file(self.cluster.directory, pid).read_text())
        except (OSError, ValueError):
            return None

    def result(self, loaded_at: float, idle_at: float) -> dict[str, Any]:
        """Return what a report needs: the load began and ended at these times."""
        middle = (loaded_at + idle_at) / 2
        found: dict[str, Any] = {}
        for name in sorted({sample.name for sample in self.samples}):
            of = [sample for sample in self.samples if sample.name == name]
            before = [sample for sample in of if sample.at < loaded_at] or of[:1]
            loaded = [sample for sample in of if middle <= sample.at < idle_at]
            found[name] = {
                "before": asdict(before[-1]),
                "after": asdict(of[-1]),
                "most": asdict(max(of, key=lambda sample: sample.rss_mib)),
                "growth": growth(loaded),
            }
        return {
            "loaded_seconds": round(idle_at - loaded_at),
            "idle_seconds": round(self.now - idle_at),
            "processes": found,
            "keys": {when: dict(counts) for when, counts in self.keys.items()},
        }


def growth(samples: list[Sample]) -> float:
    """Return by what share of itself the memory grew over the samples, as a straight line through them says."""
    if len(samples) < 2:
        return 0.0
    times, sizes = [sample.at for sample in samples], [sample.rss_mib for sample in samples]
    mean_time, mean_size = sum(times) / len(times), sum(sizes) / len(sizes)
    spread = sum((time - mean_time) ** 2 for time in times)
    slope = sum((at - mean_time) * (size - mean_size) for at, size in zip(times, sizes, strict=True)) / spread
    return slope * (times[-1] - times[0]) / mean_size


def tasks_file(directory: Path, pid: int) -> Path:
    """Return where a process says how many tasks it has."""
    return directory / f"tasks-{pid}"
