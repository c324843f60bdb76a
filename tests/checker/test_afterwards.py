"""What the checker says of edits, of reads one after the other, of lateness, and of what should be so in the end."""

from dataclasses import replace

import pytest

from tests.checker.check import Kind, check
from tests.checker.history import (
    CaughtUp,
    EditAcked,
    EditInvoked,
    Effects,
    Entry,
    FaultChanged,
    History,
    MemberChanged,
    PresenceShown,
    Read,
    Received,
    Record,
    SendAcked,
    SendInvoked,
    Subscribed,
    UnreadCounted,
)
from tests.checker.sample import INSTANCES, MESSAGE

SECOND = 1_000_000_000


def kinds(*records: Record) -> set[Kind]:
    return {violation.kind for violation in check(History(records)).violations}


class Talk:
    """A conversation of two in which all goes well: ann says three things, and bob hears them from the start."""

    def __init__(self) -> None:
        self.log = [Entry(sequence=1, kind="ConversationCreated")]
        self.records: list[Record] = [
            MemberChanged(at=0, conversation="cnv", user=user, sequence=1, joined=True) for user in ("ann", "bob")
        ]
        self.records += [
            Subscribed(at=1, connection="b#1", subscriber="b", client="bob", user="bob", conversation="cnv", after=1),
            CaughtUp(at=2, connection="b#1", sequence=1),
        ]
        for number in range(3):
            self.say(number, at=(10 + number) * SECOND)

    def say(self, number: int, *, at: int, took: int = 1) -> None:
        entry = Entry(sequence=len(self.log) + 1, kind=MESSAGE, client_message_id=f"m{number}", body="hello")
        self.log.append(entry)
        of = {"client": "ann", "conversation": "cnv", "client_message_id": f"m{number}"}
        self.records += [
            SendInvoked(at=at - 1, user="ann", body="hello", **of),
            SendAcked(at=at, sequence=entry.sequence, message_id=f"msg_{number}", **of),
            Received(at=at + took, connection="b#1", entry=entry),
        ]

    def add(self, entry: Entry, at: int) -> None:
        self.log.append(entry)
        self.records.append(Received(at=at, connection="b#1", entry=entry))

    @property
    def finished(self) -> list[Record]:
        """The records with a final read a minute later."""
        return [*self.records, self.read(at=60 * SECOND, final=True)]

    def read(self, *, at: int, upto: int | None = None, instance: str = INSTANCES[0], final: bool = False) -> Read:
        return Read(
            at=at,
            invoked_at=at - 1,
            client="reader" if final else "bob",
            user="bob",
            instance=instance,
            conversation="cnv",
            after=0,
            entries=tuple(self.log[:upto]),
            final=final,
        )


EDIT = Entry(sequence=5, kind="MessageEdited", body="hallo", edits=2)
INVOKED = EditInvoked(at=20 * SECOND, client="ann", conversation="cnv", sequence=2, body="hallo")
ACKED = EditAcked(at=21 * SECOND, client="ann", conversation="cnv", sequence=2, body="hallo")


def test_an_edit_that_is_in_the_log_is_no_violation() -> None:
    talk = Talk()
    talk.add(EDIT, at=20 * SECOND + 1)

    assert kinds(*talk.finished, INVOKED, ACKED) == set()


def test_an_acknowledged_edit_that_is_in_no_log_is_lost() -> None:
    assert kinds(*Talk().finished, INVOKED, ACKED) == {"lost"}


def test_an_edit_that_nobody_made_is_a_phantom() -> None:
    talk = Talk()
    talk.add(replace(EDIT, body="something else"), at=20 * SECOND + 1)

    assert kinds(*talk.finished, INVOKED) == {"phantom"}


def test_a_read_that_shows_less_than_the_one_before_breaks_the_session() -> None:
    talk = Talk()
    first = talk.read(at=30 * SECOND)
    second = talk.read(at=31 * SECOND, upto=3, instance=INSTANCES[1])

    assert kinds(*talk.finished, first, second) == {"session"}
    assert kinds(*talk.finished, first, replace(second, invoked_at=29 * SECOND)) == set()  # they were under way at once


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (None, {"late"}),
        ((20.0, 35.0), set()),
        ((28.0, 29.0), set()),  # it may take 5 s to heal
        ((10.0, 12.0), {"late"}),
        ((33.0, 34.0), set()),
    ],
)
def test_what_comes_after_more_than_five_seconds_is_late_unless_a_fault_excuses_it(
    fault: tuple[float, float] | None, expected: set[Kind]
) -> None:
    talk = Talk()
    talk.say(4, at=30 * SECOND, took=6 * SECOND)
    faults = [
        FaultChanged(at=round(at * SECOND), label="stop redis", active=active)
        for at, active in zip(fault or (), (True, False), strict=False)
    ]

    assert kinds(*talk.finished, *faults) == expected


def test_who_was_not_live_yet_cannot_be_told_late() -> None:
    talk = Talk()
    talk.say(4, at=30 * SECOND, took=6 * SECOND)
    records = [record for record in talk.finished if not isinstance(record, CaughtUp)]

    assert kinds(*records) == set()


WHOLE = (2, 3, 4)


@pytest.mark.parametrize(
    ("sequences", "once", "expected"),
    [
        (WHOLE, True, set()),
        (WHOLE[:-1], True, {"effects"}),
        ((*WHOLE, 4), True, {"effects"}),
        ((*WHOLE, 4), False, set()),
        ((*WHOLE, 9), False, {"effects"}),
    ],
)
def test_an_effect_is_there_once_for_each_entry_that_has_it(
    sequences: tuple[int, ...], once: bool, expected: set[Kind]
) -> None:
    effects = Effects(name="activity", conversation="cnv", on=MESSAGE, once=once, sequences=sequences)

    assert kinds(*Talk().finished, effects) == expected


@pytest.mark.parametrize(
    ("user", "read", "count", "expected"),
    [("bob", 1, 3, set()), ("bob", 3, 1, set()), ("bob", 3, 2, {"effects"}), ("ann", 1, 0, set())],
)
def test_an_unread_count_is_what_the_log_says(user: str, read: int, count: int, expected: set[Kind]) -> None:
    told = UnreadCounted(user=user, instance="api", conversation="cnv", read=read, count=count, most=1_000)

    assert kinds(*Talk().finished, told) == expected


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ([(70, "ONLINE")], set()),
        ([(70, "UNKNOWN"), (80, "AWAY")], set()),
        ([(70, "ONLINE"), (100, "OFFLINE")], {"presence"}),
        ([(70, "UNKNOWN"), (95, "ONLINE")], {"presence"}),  # it was right, but 45 s after the last fault
    ],
)
def test_who_has_a_connection_is_shown_so_soon_after_the_last_fault(
    shown: list[tuple[int, str]], expected: set[Kind]
) -> None:
    faults = [
        FaultChanged(at=at * SECOND, label="kill redis", active=active) for at, active in ((40, True), (50, False))
    ]
    presence = [PresenceShown(at=at * SECOND, user="bob", instance="api", status=status) for at, status in shown]

    assert kinds(*Talk().finished, *faults, *presence) == expected
