"""Reads that many share: few of them, and none older than who asked."""

import asyncio

import pytest

from services.gathering import Gathering
from services.tasks import Tasks


class Store:
    """A store in which each read counts, and takes until it is let go."""

    def __init__(self) -> None:
        self.reads: list[list[str]] = []
        self.version = 0
        self.free = asyncio.Event()
        self.begun = asyncio.Event()

    async def read(self, keys: list[str]) -> dict[str, int]:
        self.reads.append(keys)
        version = self.version
        self.begun.set()
        await self.free.wait()
        return {key: version for key in keys if key != "missing"}


async def test_who_asks_while_a_read_is_under_way_shares_the_next_one() -> None:
    store, tasks = Store(), Tasks()
    gathering = Gathering(store.read, tasks.spawn)
    first = asyncio.create_task(gathering.get(["a", "missing"]))
    await store.begun.wait()
    store.version = 1  # what changes now, the first read has not seen

    later = [asyncio.create_task(gathering.get([name])) for name in "aabbc" * 20]
    await asyncio.sleep(0)
    store.free.set()

    assert await first == {"a": 0}
    assert await asyncio.gather(*later) == [{name: 1} for name in "aabbc" * 20]
    assert store.reads == [["a", "missing"], ["a", "b", "c"]]
    assert gathering.is_idle
    await tasks.close()


async def test_one_who_gives_up_takes_nothing_from_the_others() -> None:
    store, tasks = Store(), Tasks()
    gathering = Gathering(store.read, tasks.spawn)
    impatient, patient = (asyncio.create_task(gathering.get([name])) for name in "ab")
    await store.begun.wait()

    impatient.cancel()
    store.free.set()

    assert await patient == {"b": 0}
    with pytest.raises(asyncio.CancelledError):
        await impatient
    await tasks.close()
