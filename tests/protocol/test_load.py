"""What an overloaded process refuses, and when it takes it on again."""

import pytest

from parley.execution import Engine
from parley.load import IN_FLIGHT, LAG_SECONDS, PATIENCE_SECONDS, Criticality, Load, criticality
from schema.api import graphql_schema
from services.errors import Overloaded

SEND = """mutation { sendMessage(input: {conversationId: "c", body: "b", clientMessageId: "i"}) { message { id } } }"""
TYPE = """mutation { setTyping(input: {conversationId: "c", typing: true}) { userErrors { code } } }"""
HISTORY = """{ conversation(id: "c") { messages(last: 5) { edges { node { body } } } } }"""
UPDATES = """subscription { conversationUpdates(conversationId: "c") { __typename } }"""
PRESENCE = """subscription { presence(userIds: ["u"]) { status } }"""
HEALTH = "{ health { status } }"


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(graphql_schema())


class Late:
    """A load whose event loop is as late as a test says."""

    def __init__(self) -> None:
        self.now = 0.0
        self.load = Load(lambda: self.now)

    def goes_on(self, seconds: float, *, lag: float) -> None:
        ends = self.now + seconds
        while self.now < ends:
            self.now += 0.25 + lag
            self.load.note(lag)

    @property
    def refused(self) -> list[Criticality]:
        return [level for level in Criticality if not self.load.takes(level)]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (TYPE, Criticality.OPTIONAL),
        (PRESENCE, Criticality.OPTIONAL),
        (HISTORY, Criticality.READING),
        (UPDATES, Criticality.ARRIVING),
        (SEND, Criticality.WRITING),
        (HEALTH, None),
    ],
)
def test_what_matters_least_is_named(engine: Engine, document: str, expected: Criticality | None) -> None:
    assert criticality(engine.operation(document, None)) is expected


def test_a_loop_that_stays_late_refuses_more_and_more_and_sends_last() -> None:
    late, seen = Late(), list[list[Criticality]]()

    for _ in range(40):
        late.goes_on(0.5, lag=2 * LAG_SECONDS)
        if not seen or seen[-1] != late.refused:
            seen.append(late.refused)

    levels = list(Criticality)
    assert seen == [levels[:count] for count in range(5)]


def test_it_takes_everything_on_again_when_it_is_in_time() -> None:
    late = Late()
    late.goes_on(60.0, lag=2 * LAG_SECONDS)

    late.goes_on(PATIENCE_SECONDS * 5, lag=0.0)

    assert late.refused == []


def test_one_long_pause_is_no_overload() -> None:
    late = Late()

    late.goes_on(1.0, lag=60.0)
    late.goes_on(1.0, lag=0.0)

    assert late.refused == []


def test_a_loop_that_is_late_now_and_then_refuses_nothing() -> None:
    late = Late()

    for _ in range(20):
        late.goes_on(2.0, lag=2 * LAG_SECONDS)
        late.goes_on(0.25, lag=0.0)

    assert late.refused == []


def test_too_much_under_way_refuses_by_criticality_and_says_when_to_come_back(engine: Engine) -> None:
    load, send, history = Load(), engine.operation(SEND, None), engine.operation(HISTORY, None)

    load.in_flight = IN_FLIGHT[Criticality.READING - 1]
    load.admit(send)
    with pytest.raises(Overloaded) as refused:
        load.admit(history)
    load.in_flight = IN_FLIGHT[Criticality.WRITING - 1]
    with pytest.raises(Overloaded):
        load.admit(send)
    load.admit(engine.operation(HEALTH, None))

    assert refused.value.retry_after_ms is not None
    assert refused.value.retry_after_ms >= 1_000
