"""The append protocol holds in every state that can be reached, and each mistake in it would be found."""

import pytest

from tests.model.append import Mistake, Model, Op, Violation, explore

A = Op("A", "ann")
A2 = Op("A2", "ann")
B = Op("B", "bob")
ANN_REMOVED = Op("R", "owner", removes="ann")
ANN_LEAVES = Op("LA", "ann", removes="ann")
BOB_LEAVES = Op("LB", "bob", removes="bob")
ALL = frozenset({"owner", "ann", "bob"})

MISTAKES = [
    (Mistake.RAISES_BASE, [[A], [A]], Violation.DUPLICATE),
    (Mistake.RECORD_EXPIRES, [[A], [A]], Violation.DUPLICATE),
    (Mistake.RECORDS_EARLY, [[A], [A]], Violation.FALSE_ACK),
    (Mistake.DECIDES_ONCE, [[A], [ANN_REMOVED]], Violation.UNAUTHORISED),
    (Mistake.WRITES_UNSEEN, [[A], [B]], Violation.HOLE),
    (Mistake.LOSS_IS_FAILURE, [[A]], Violation.DUPLICATE),
    (Mistake.LOSS_IS_FAILURE, [[A]], Violation.HOLE),
    (Mistake.OVERWRITES, [[A], [B]], Violation.FALSE_ACK),
    (Mistake.UNORDERED, [[B, A], [ANN_REMOVED]], Violation.UNAUTHORISED),
    (Mistake.UNORDERED, [[A, B], [B, A]], Violation.DUPLICATE),
    (Mistake.REST_UNSETTLED, [[A, B]], Violation.DUPLICATE),
    (Mistake.GIVES_UP_BLIND, [[A, A2]], Violation.FALSE_REFUSAL),
]


@pytest.mark.parametrize(
    ("users", "batches"),
    [
        pytest.param(ALL, [[A], [A], [A], [ANN_REMOVED]], id="three attempts of one message race a removal"),
        pytest.param(ALL, [[A], [A], [B], [ANN_REMOVED]], id="a retry, another message and a removal"),
        pytest.param(ALL - {"owner"}, [[ANN_LEAVES], [BOB_LEAVES], [A], [A]], id="the last two members leave at once"),
        pytest.param(ALL, [[A, A2], [A2], [ANN_REMOVED]], id="a batch, a retry elsewhere and a removal"),
        pytest.param(ALL, [[A, B], [B, A], [ANN_REMOVED]], id="two batches of the same messages race a removal"),
        pytest.param(ALL, [[A, B, A2], [ANN_REMOVED]], id="a removal in the midst of a batch"),
    ],
)
def test_the_protocol_holds_in_every_state(users: frozenset[str], batches: list[list[Op]]) -> None:
    explored = explore(Model(users, tuple(map(tuple, batches))))
    print(f"{explored.states} states, {explored.finished} of them final")

    assert explored.finished
    assert not explored.violations


@pytest.mark.parametrize(("mistake", "batches", "violation"), MISTAKES)
def test_a_mistake_is_found(mistake: Mistake, batches: list[list[Op]], violation: Violation) -> None:
    explored = explore(Model(ALL, tuple(map(tuple, batches)), mistake), until=violation)

    assert violation in explored.violations


def test_every_mistake_is_looked_for() -> None:
    assert {mistake for mistake, _, _ in MISTAKES} == set(Mistake)
