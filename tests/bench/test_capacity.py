"""The model of how much it takes: what bounds a machine, and what a million a second need."""

import pytest

from tests.bench import capacity

FREE = dict.fromkeys(capacity.PARTS, 0.0)
READ = {**FREE, "api": 500.0, "redis": 10.0, "client": 100.0}
COSTS = capacity.Costs(
    requests={"viewer": READ, "page": READ, "send": {**READ, "redis": 100.0, "workers": 200.0}}, delivery=5.0, idle=0.1
)


@pytest.mark.parametrize(
    ("processes", "cores", "expected"),
    [
        (1, 8, 2_000),  # the process's own core
        (4, 8, 8_000),
        (4, 2, 2e6 / 610),  # all cores of the machine
        (100, 100, 10_000),  # who asks
    ],
)
def test_the_tightest_part_bounds_a_machine(processes: int, cores: int, expected: float) -> None:
    assert capacity.foretold(READ, processes, cores) == pytest.approx(expected)


def test_needs_follow_from_costs_and_shares() -> None:
    need = {each.part: each for each in capacity.needed(COSTS, 1_000_000, 1_000_000)}

    assert need["API"].cores == pytest.approx(500 + 5)
    assert need["API"].nodes == 842  # of which each is busy for 60 %
    assert need["Redis"].cores == pytest.approx(0.95 * 10 + 0.05 * 100)
    assert need["workers"].cores == pytest.approx(0.05 * 200)
    assert need["MongoDB"].nodes == 54  # 105 000 writes a second


def test_an_error_says_who_promised_too_much() -> None:
    assert capacity.Check(2, "viewer", foretold=150, measured=100).error == pytest.approx(0.5)
    assert capacity.Check(2, "viewer", foretold=80, measured=100).error == pytest.approx(-0.2)
