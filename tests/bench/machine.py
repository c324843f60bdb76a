"""The machine of a measurement, which is Linux: who runs on which core, and what a process has used."""

import os
import platform
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

IDLE_SECONDS = 1.0  # processes that spend less than a tenth of this have done their start-up work
LONGEST_SECONDS = 60.0  # that is waited for it
SPARE_FILES = 100  # what a server has open besides its sockets


def facts() -> dict[str, Any]:
    """Return what a figure depends on, for the line of JSON beside it."""
    return {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "load": round(os.getloadavg()[0], 2),
        "open_files": resource.getrlimit(resource.RLIMIT_NOFILE)[1],
    }


@contextmanager
def shared() -> Iterator[int | None]:
    """Keep this process, and all that it starts, on one core for the block; give the core that is left for the server.

    On a machine of one core nothing moves, and there is none to give.
    """
    before = os.sched_getaffinity(0)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
    server, *others = sorted(before)
    try:
        if others:
            os.sched_setaffinity(0, others[:1])
        yield server if others else None
    finally:
        os.sched_setaffinity(0, before)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def move(pid: int, core: int) -> None:
    """Let a process, with all its threads, run on this core alone."""
    for thread in _threads(pid):
        os.sched_setaffinity(int(thread.name), {core})


def most_sockets() -> int:
    """Return how many sockets one process may hold."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1] - SPARE_FILES


def cpu_seconds(pid: int) -> float:
    """Return the time that all threads of a process have spent on a core, in user and kernel mode."""
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in _threads(pid)) / 1e9


def memory_kib(pid: int) -> int:
    """Return a process's resident memory. What the kernel keeps for its sockets is not in it."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def _threads(pid: int) -> Iterator[Path]:
    return Path(f"/proc/{pid}/task").iterdir()


def wait_until_idle() -> None:
    """Wait for what still imports its program beside the servers that we started: it would take their time."""
    ours, deadline = psutil.Process(), time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < deadline:
        before = sum(sum(child.cpu_times()[:2]) for child in ours.children(recursive=True))
        time.sleep(IDLE_SECONDS)
        after = sum(sum(child.cpu_times()[:2]) for child in ours.children(recursive=True))
        if after - before < IDLE_SECONDS / 10:
            return
    print("The servers do not come to rest; what they do meanwhile is in the figures.")
