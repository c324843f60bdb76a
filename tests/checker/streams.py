"""What subscribers received, and what they should have: in the order in which it came on each connection."""

import math
from dataclasses import dataclass, field
from itertools import pairwise

from tests.checker.facts import Facts, Violation
from tests.checker.history import CaughtUp, Closed, Received, Resynced, Subscribed

LATE_SECONDS = 5  # within which everybody who is live has an acknowledged message, no fault being near
HEALED_SECONDS = 5  # after which a fault that has ended is no excuse any more


@dataclass(slots=True)
class Subscriber:
    """One logical reader, over all its connections."""

    name: str
    user: str
    conversation: str
    received: set[int] = field(default_factory=set)
    position: int = 0


@dataclass(slots=True)
class Connection:
    """One subscription of a subscriber."""

    name: str
    subscriber: Subscriber
    opened_at: int
    start: int | None  # above which it is judged; None until it is known where "from now" is
    closed_at: float = math.inf
    received: set[int] = field(default_factory=set)
    newest: int = 0  # what it came to, by an entry or by being caught up
    live_at: float = math.inf  # since when it is caught up

    def come_to(self, sequence: int, start: int) -> None:
        """Note that all up to `sequence` should have come; `start` is used where the connection has none."""
        if self.start is None:
            self.start = start
        self.newest = max(self.newest, sequence)
        self.subscriber.position = max(self.subscriber.position, sequence)

    def resync(self, start: int) -> None:
        """Go on elsewhere: what lies between is no part of the stream."""
        self.start = start
        self.newest = 0
        self.received.clear()
        self.subscriber.position = max(self.subscriber.position, start)


class Streams:
    """Goes through what came on each connection, in the order in which it came."""

    def __init__(self, facts: Facts) -> None:
        self.subscribers: dict[str, Subscriber] = {}
        # When the last of those who were live at its acknowledgement got an entry.
        self.last_received: dict[tuple[str, int], int] = {}
        self.violations: list[Violation] = []
        self._facts = facts
        self._acked = {(name, ack.sequence): ack.at for (name, _), send in facts.sends.items() for ack in send.acks[:1]}
        self._connections: dict[str, Connection] = {}
        for record in facts.records:
            match record:
                case Subscribed():
                    self._subscribed(record)
                case Received():
                    self._received(self._connections[record.connection], record)
                case CaughtUp():
                    connection = self._connections[record.connection]
                    connection.come_to(record.sequence, start=record.sequence)
                    connection.live_at = min(connection.live_at, record.at)
                case Resynced():
                    connection = self._connections[record.connection]
                    self._judge(connection)
                    connection.resync(record.sequence)
                case Closed():
                    self._closed(self._connections[record.connection], record)
        for connection in self._connections.values():
            self._end(connection)

    def _subscribed(self, record: Subscribed) -> None:
        new = Subscriber(record.subscriber, record.user, record.conversation)
        subscriber = self.subscribers.setdefault(record.subscriber, new)
        if subscriber is not new and record.after is not None:
            self._lost(subscriber, subscriber.received, subscriber.position, record.after)
        subscriber.position = max(subscriber.position, record.after or 0)
        self._connections[record.connection] = Connection(record.connection, subscriber, record.at, record.after)

    def _received(self, connection: Connection, record: Received) -> None:
        subscriber, sequence = connection.subscriber, record.entry.sequence
        place = f"{subscriber.conversation}:{sequence}"
        if sequence in connection.received:
            self.violations.append(Violation("duplicate", f"{connection.name} brought {place} twice"))
        elif sequence <= connection.newest:
            self.violations.append(Violation("order", f"{subscriber.name} received {place} late on {connection.name}"))
        if sequence not in subscriber.received:
            acked_at = self._acked.get((subscriber.conversation, sequence))
            if acked_at is not None and connection.live_at <= acked_at:
                self.last_received[subscriber.conversation, sequence] = record.at
                self._judge_time(connection, place, acked_at, record.at)
        connection.received.add(sequence)
        subscriber.received.add(sequence)
        connection.come_to(sequence, start=sequence - 1)

    def _judge_time(self, connection: Connection, place: str, acked_at: int, at: int) -> None:
        """Report what came late to somebody who was live when it was acknowledged, with no fault to excuse it."""
        if at - acked_at > LATE_SECONDS * 1e9 and not self._facts.faults.met_by(acked_at - HEALED_SECONDS * 1e9, at):
            seconds = (at - acked_at) / 1e9
            detail = f"{connection.name} received {place} {seconds:.1f} s after it was acknowledged"
            self.violations.append(Violation("late", detail))

    def _closed(self, connection: Connection, record: Closed) -> None:
        """Note the end of a connection; a removed member's is completed, after the entry of the removal."""
        connection.closed_at = record.at
        if record.code is None and connection.start is not None:
            subscriber = connection.subscriber
            position = max(connection.start, connection.newest)
            membership = self._facts.memberships.run_at(subscriber.conversation, subscriber.user, position)
            if membership is not None and membership[1] < math.inf:
                connection.newest = max(connection.newest, int(membership[1]))

    def _end(self, connection: Connection) -> None:
        """Judge a connection; one that is open when the log is read at last should have brought all of it."""
        conversation = connection.subscriber.conversation
        final_at = min(read.invoked_at for read in self._facts.finals[conversation])
        if connection.opened_at <= final_at < connection.closed_at and connection.start is not None:
            connection.newest = max(connection.newest, self._facts.heads[conversation])
        self._judge(connection)

    def _judge(self, connection: Connection) -> None:
        if connection.start is not None:
            self._lost(connection.subscriber, connection.received, connection.start, connection.newest)

    def _lost(self, subscriber: Subscriber, received: set[int], start: int, end: int) -> None:
        """Report what a member should have received above `start` up to `end`, and did not."""
        conversation = subscriber.conversation
        end = min(end, self._facts.heads[conversation])
        places = sorted(sequence for sequence in received if start < sequence <= end)
        for before, after in pairwise((start, *places, end + 1)):
            if after > before + 1:
                for lost in self._facts.memberships.within(conversation, subscriber.user, before + 1, after - 1):
                    detail = f"{subscriber.name} did not receive {conversation}:{lost[0]} to {lost[1]}"
                    self.violations.append(Violation("lost", detail))
