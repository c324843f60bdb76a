"""A history in order, by what it is about, and what a violation is."""

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tests.checker.figures import Faults
from tests.checker.history import (
    EditInvoked,
    Entry,
    History,
    MemberChanged,
    Read,
    Received,
    Record,
    SendAcked,
    SendFailed,
    SendInvoked,
    Subscribed,
)

type Kind = Literal[
    "lost",
    "phantom",
    "duplicate",
    "divergence",
    "order",
    "realtime_order",
    "session",
    "late",
    "authorisation",
    "effects",
    "presence",
    "contiguity",
    "agreement",
]


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken, and where."""

    kind: Kind
    detail: str


@dataclass(slots=True)
class Send:
    """One message, over all attempts."""

    invoked: SendInvoked  # the first attempt
    bodies: set[str] = field(default_factory=set)
    attempts: int = 0
    failures: int = 0
    acks: list[SendAcked] = field(default_factory=list)
    places: set[int] = field(default_factory=set)  # sequences at which it was seen


class Memberships:
    """Who was a member, at which places of a log: from the entry of joining to the one of removal, both included."""

    def __init__(self, changes: Sequence[MemberChanged]) -> None:
        self._runs: dict[tuple[str, str], list[tuple[int, float]]] = defaultdict(list)
        for change in sorted(changes, key=lambda change: change.sequence):
            runs = self._runs[change.conversation, change.user]
            if change.joined:
                runs.append((change.sequence, math.inf))
            else:
                runs[-1] = (runs[-1][0], change.sequence)

    def run_at(self, conversation: str, user: str, sequence: int) -> tuple[int, float] | None:
        """Return the first and last place of the membership at this place."""
        runs = self._runs.get((conversation, user), [])
        index = bisect_right(runs, (sequence, math.inf)) - 1
        return runs[index] if index >= 0 and sequence <= runs[index][1] else None

    def last_joined(self, conversation: str, user: str) -> int:
        """Return the place at which the user became a member last, 0 where that never was."""
        runs = self._runs.get((conversation, user), [])
        return runs[-1][0] if runs else 0

    def within(self, conversation: str, user: str, first: int, last: int) -> Iterator[tuple[int, float]]:
        """Yield the parts of a range at which the user was a member."""
        for joined, left in self._runs.get((conversation, user), []):
            if joined <= last and left >= first:
                yield max(first, joined), min(last, left)


class Facts:
    """A history in order, by what it is about."""

    def __init__(self, history: History) -> None:
        self.records: list[Record] = sorted(history.records, key=lambda record: record.at)
        self.sends: dict[tuple[str, str], Send] = {}
        self.reads = self.all(Read)
        self.faults = Faults(self.records)
        self.edits = {(edit.conversation, edit.sequence, edit.body) for edit in self.all(EditInvoked)}
        self.memberships = Memberships(self.all(MemberChanged))
        self.finals: dict[str, list[Read]] = defaultdict(list)
        for read in self.reads:
            if read.final:
                self.finals[read.conversation].append(read)
        self.subscriptions = {record.connection: record for record in self.all(Subscribed)}
        for invoked in self.all(SendInvoked):
            send = self.sends.setdefault((invoked.conversation, invoked.client_message_id), Send(invoked))
            send.bodies.add(invoked.body)
            send.attempts += 1
        for failed in self.all(SendFailed):
            self.sends[failed.conversation, failed.client_message_id].failures += 1
        for acked in self.all(SendAcked):
            self.sends[acked.conversation, acked.client_message_id].acks.append(acked)
        used = {conversation for conversation, _ in self.sends} | {s.conversation for s in self.subscriptions.values()}
        if unread := used - self.finals.keys():
            raise ValueError(f"no final read of {', '.join(sorted(unread))}")
        self.heads = {
            conversation: max((entry.sequence for read in reads for entry in read.entries), default=0)
            for conversation, reads in self.finals.items()
        }

    def all[R: Record](self, type_: type[R]) -> list[R]:
        """Return the records of a type."""
        return [record for record in self.records if isinstance(record, type_)]

    def shown(self) -> Iterator[tuple[str, str, Entry, int]]:
        """Yield every entry that anybody saw: the conversation, the user, the entry and when."""
        for record in self.records:
            match record:
                case Received(connection=connection, entry=entry):
                    subscription = self.subscriptions[connection]
                    yield subscription.conversation, subscription.user, entry, record.at
                case Read(entries=entries):
                    for entry in entries:
                        yield record.conversation, record.user, entry, record.at
