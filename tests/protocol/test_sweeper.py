"""What is due is done, once, and soon."""

import math

from parley.sweeper import RETRY_SECONDS, RUN, TICK_SECONDS, Sweeper


class Thing:
    def __init__(self, *next_: float) -> None:
        self.tick = 0
        self.swept: list[float] = []
        self._next = list(next_)

    def sweep(self, now: float) -> float:
        self.swept.append(now)
        return self._next.pop(0) if self._next else math.inf


async def test_a_thing_is_swept_when_it_is_due_and_again_when_it_says_so() -> None:
    sweeper, thing = Sweeper(lambda: 100.0), Thing(120.0)
    sweeper.watch(thing, 110.0)
    for now in (100.0, 109.9, 110.0, 110.25, 119.9, 120.0, 200.0):
        sweeper.run(now)
    sweeper.close()

    assert thing.swept == [110.0, 120.0]


async def test_only_the_newest_due_time_counts() -> None:
    sweeper, sooner, later = Sweeper(lambda: 100.0), Thing(), Thing()
    sweeper.watch(sooner, 110.0)
    sweeper.watch(sooner, 101.0)
    sweeper.watch(later, 101.0)
    sweeper.watch(later, 110.0)
    for now in (101.0, 110.0):
        sweeper.run(now)
    sweeper.close()

    assert sooner.swept == [101.0]
    assert later.swept == [110.0]


async def test_what_is_overdue_is_swept_within_a_tick_and_what_never_is_due_is_forgotten() -> None:
    sweeper, overdue, never = Sweeper(lambda: 100.0), Thing(50.0), Thing()
    sweeper.watch(overdue, 10.0)
    sweeper.watch(never, 101.0)
    sweeper.watch(never, math.inf)
    for step in range(1, 9):
        sweeper.run(100.0 + step * TICK_SECONDS)
    sweeper.close()

    assert overdue.swept == [100.0 + TICK_SECONDS, 100.0 + 2 * TICK_SECONDS]
    assert never.swept == []


async def test_many_at_once_are_swept_a_run_at_a_time() -> None:
    sweeper, things = Sweeper(lambda: 100.0), [Thing() for _ in range(RUN + 1)]
    for thing in things:
        sweeper.watch(thing, 101.0)

    assert not sweeper.run(101.0)
    assert sum(len(thing.swept) for thing in things) == RUN
    assert sweeper.run(101.0)
    assert all(thing.swept == [101.0] for thing in things)
    sweeper.close()


async def test_one_that_fails_leaves_the_others_their_time() -> None:
    class Broken(Thing):
        def sweep(self, now: float) -> float:
            super().sweep(now)
            raise ValueError

    sweeper, broken, thing = Sweeper(lambda: 100.0), Broken(), Thing()
    sweeper.watch(broken, 101.0)
    sweeper.watch(thing, 101.0)
    for now in (101.0, 101.0 + RETRY_SECONDS):
        sweeper.run(now)
    sweeper.close()

    assert thing.swept == [101.0]
    assert broken.swept == [101.0, 101.0 + RETRY_SECONDS]
