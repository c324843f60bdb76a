"""Judges a history: what the clients saw against what was promised to them. It knows nothing of how Parley works.

`lost`           an acknowledged send is not in a final log, or a subscriber passed an entry without receiving it
`phantom`        something was delivered or stored that nobody sent or that was refused, or that is in no final log
`duplicate`      one send has two places or two ids, or one connection brought an entry twice
`divergence`     one place showed two contents, or a send's body is not the one that was sent
`order`          a subscriber received an entry after a later one
`realtime_order` a send has a place before one that was acknowledged before it left
`session`        a client's read misses its own acknowledged send
`authorisation`  an entry was shown to or made by somebody who was no member at that place
`contiguity`     a final log has a hole, or does not begin at 1
`agreement`      two instances' final logs differ
"""

import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, zip_longest
from typing import Literal, Self

from tests.checker.history import (
    CaughtUp,
    Closed,
    Entry,
    FaultChanged,
    History,
    MemberChanged,
    Read,
    Received,
    Record,
    Resynced,
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
    "authorisation",
    "contiguity",
    "agreement",
]


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken, and where."""

    kind: Kind
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """How long it took until everybody who was entitled had an acknowledged send."""

    count: int
    p50_ms: float
    p99_ms: float
    max_ms: float

    @classmethod
    def of(cls, nanoseconds: Sequence[int]) -> Self:
        ordered = sorted(nanoseconds)
        p50, p99, longest = (ordered[math.ceil(share * len(ordered)) - 1] / 1e6 for share in (0.5, 0.99, 1.0))
        return cls(count=len(ordered), p50_ms=p50, p99_ms=p99, max_ms=longest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What is wrong with a history, and its figures."""

    violations: tuple[Violation, ...]
    sends: int  # messages that clients tried to send, each once
    acknowledged: int
    deliveries: int  # entries that subscribers received, each once for each subscriber
    latency: Latency | None  # None: no acknowledged send was received
    latency_by_fault: dict[str, Latency]  # of sends that the fault overlapped on their way; "none": the others


@dataclass(slots=True)
class _Send:
    """One message, over all attempts."""

    invoked: SendInvoked  # the first attempt
    bodies: set[str] = field(default_factory=set)
    attempts: int = 0
    failures: int = 0
    acks: list[SendAcked] = field(default_factory=list)
    places: set[int] = field(default_factory=set)  # sequences at which it was seen


@dataclass(slots=True)
class _Subscriber:
    """One logical reader, over all its connections."""

    name: str
    user: str
    conversation: str
    received: set[int] = field(default_factory=set)
    position: int = 0


@dataclass(slots=True)
class _Connection:
    """One subscription of a subscriber."""

    name: str
    subscriber: _Subscriber
    opened_at: int
    start: int | None  # above which it is judged; None until it is known where "from now" is
    closed_at: float = math.inf
    received: set[int] = field(default_factory=set)
    newest: int = 0  # what it came to, by an entry or by being caught up

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


class _Memberships:
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

    def within(self, conversation: str, user: str, first: int, last: int) -> Iterator[tuple[int, float]]:
        """Yield the parts of a range at which the user was a member."""
        for joined, left in self._runs.get((conversation, user), []):
            if joined <= last and left >= first:
                yield max(first, joined), min(last, left)


class _Facts:
    """A history in order, by what it is about."""

    def __init__(self, history: History) -> None:
        self.records: list[Record] = sorted(history.records, key=lambda record: record.at)
        self.sends: dict[tuple[str, str], _Send] = {}
        self.reads = self._all(Read)
        self.memberships = _Memberships(self._all(MemberChanged))
        self.finals: dict[str, list[Read]] = defaultdict(list)
        for read in self.reads:
            if read.final:
                self.finals[read.conversation].append(read)
        self.subscriptions = {record.connection: record for record in self._all(Subscribed)}
        for invoked in self._all(SendInvoked):
            send = self.sends.setdefault((invoked.conversation, invoked.client_message_id), _Send(invoked))
            send.bodies.add(invoked.body)
            send.attempts += 1
        for failed in self._all(SendFailed):
            self.sends[failed.conversation, failed.client_message_id].failures += 1
        for acked in self._all(SendAcked):
            self.sends[acked.conversation, acked.client_message_id].acks.append(acked)
        used = {conversation for conversation, _ in self.sends} | {s.conversation for s in self.subscriptions.values()}
        if unread := used - self.finals.keys():
            raise ValueError(f"no final read of {', '.join(sorted(unread))}")
        self.heads = {
            conversation: max((entry.sequence for read in reads for entry in read.entries), default=0)
            for conversation, reads in self.finals.items()
        }

    def _all[R: Record](self, type_: type[R]) -> list[R]:
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


def check(history: History) -> Report:
    """Return everything that is wrong with a history.

    Raises:
        ValueError: a conversation has no final read, so the history proves nothing about it.
    """
    facts = _Facts(history)
    streams = _Streams(facts)
    violations = (
        *_contents(facts),
        *_sends(facts),
        *_realtime_order(facts),
        *_session(facts),
        *_final_logs(facts),
        *streams.violations,
    )
    acknowledged = [send for send in facts.sends.values() if send.acks]
    spans = [
        (send.acks[0].at, stable_at)
        for send in acknowledged
        if (stable_at := streams.last_received.get((send.invoked.conversation, send.acks[0].sequence)))
    ]
    return Report(
        violations=violations,
        sends=len(facts.sends),
        acknowledged=len(acknowledged),
        deliveries=sum(len(subscriber.received) for subscriber in streams.subscribers.values()),
        latency=_latency(spans),
        latency_by_fault=_latency_by_fault(facts, spans),
    )


# ------------------------------------------------------------ what was stored and shown


def _contents(facts: _Facts) -> Iterator[Violation]:
    """Compare what every reader saw at every place, and note where each send was seen."""
    known: dict[tuple[str, int], Entry] = {}
    logged = {
        (name, entry.sequence) for name, reads in facts.finals.items() for read in reads for entry in read.entries
    }
    for conversation, user, entry, at in facts.shown():
        place = f"{conversation}:{entry.sequence}"
        if facts.memberships.run_at(conversation, user, entry.sequence) is None:
            yield Violation("authorisation", f"{user} saw {place}")
        if (conversation, entry.sequence) not in logged:
            yield Violation("phantom", f"{user} saw {place}, which is in no final log")
        before = known.get((conversation, entry.sequence), entry)
        if _differ(before, entry):
            yield Violation("divergence", f"{place} is {before} and {entry}")
        known[conversation, entry.sequence] = _merged(before, entry)
        if entry.client_message_id is None:
            continue
        send = facts.sends.get((conversation, entry.client_message_id))
        if send is None:
            yield Violation("phantom", f"{entry.client_message_id} at {place} was never sent")
            continue
        send.places.add(entry.sequence)
        if at < send.invoked.at:
            yield Violation("phantom", f"{entry.client_message_id} at {place} was seen before it was sent")
        if entry.body is not None and entry.body not in send.bodies:
            yield Violation("divergence", f"{entry.client_message_id} at {place} has a body that was never sent")


def _differ(one: Entry, other: Entry) -> bool:
    ids = {one.client_message_id, other.client_message_id} - {None}
    bodies = {one.body, other.body} - {None}
    return one.kind != other.kind or len(ids) > 1 or len(bodies) > 1


def _merged(one: Entry, other: Entry) -> Entry:
    if one.body is not None and one.client_message_id is not None:
        return one
    return Entry(
        sequence=one.sequence,
        kind=one.kind,
        client_message_id=one.client_message_id or other.client_message_id,
        body=other.body if one.body is None else one.body,
    )


def _sends(facts: _Facts) -> Iterator[Violation]:
    """Judge each send by its answers and by where it was seen; `_contents` comes first."""
    logs = {
        conversation: [(read.instance, {entry.sequence: entry for entry in read.entries}) for read in reads]
        for conversation, reads in facts.finals.items()
    }
    for (conversation, client_message_id), send in facts.sends.items():
        name = f"{conversation}/{client_message_id}"
        if send.places and send.failures == send.attempts:
            yield Violation("phantom", f"{name} was refused, and is at {sorted(send.places)}")
        sequences = send.places | {ack.sequence for ack in send.acks}
        if len(sequences) > 1:
            yield Violation("duplicate", f"{name} is at {sorted(sequences)}")
        if len(ids := {ack.message_id for ack in send.acks}) > 1:
            yield Violation("duplicate", f"{name} was acknowledged as {sorted(ids)}")
        for sequence in {ack.sequence for ack in send.acks}:
            for instance, log in logs[conversation]:
                entry = log.get(sequence)
                if entry is None or entry.client_message_id not in {None, client_message_id}:
                    yield Violation("lost", f"{name}, acknowledged at {sequence}, is not in the log of {instance}")
        for sequence in send.places:
            membership = facts.memberships.run_at(conversation, send.invoked.user, sequence - 1)
            if membership is None or membership[1] < sequence:
                yield Violation("authorisation", f"{name} at {sequence}: {send.invoked.user} was no member then")


def _realtime_order(facts: _Facts) -> Iterator[Violation]:
    by_conversation: dict[str, list[tuple[int, _Send]]] = defaultdict(list)
    for send in facts.sends.values():
        sequences = send.places | {ack.sequence for ack in send.acks}
        by_conversation[send.invoked.conversation] += [(sequence, send) for sequence in sequences]
    for conversation, placed in by_conversation.items():
        placed.sort(key=lambda pair: pair[0])
        latest = placed[0][1].invoked if placed else None
        for sequence, send in placed:
            assert latest is not None
            if send.acks and send.acks[0].at < latest.at:
                detail = f"{conversation}: {latest.client_message_id} is before {sequence}, acknowledged before it left"
                yield Violation("realtime_order", detail)
            latest = max(latest, send.invoked, key=lambda invoked: invoked.at)


def _session(facts: _Facts) -> Iterator[Violation]:
    events: list[tuple[int, SendAcked | Read]] = [(ack.at, ack) for send in facts.sends.values() for ack in send.acks]
    events += [(read.invoked_at, read) for read in facts.reads]
    unseen: dict[tuple[str, str], list[SendAcked]] = defaultdict(list)  # by client: acknowledged since its last read
    for _, event in sorted(events, key=lambda pair: pair[0]):
        own = unseen[event.client, event.conversation]
        if isinstance(event, SendAcked):
            own.append(event)
            continue
        sequences = {entry.sequence for entry in event.entries}
        for ack in own:
            if ack.sequence > event.after and ack.sequence not in sequences:
                detail = f"{event.client} did not read {ack.conversation}/{ack.client_message_id} on {event.instance}"
                yield Violation("session", detail)
        own.clear()


def _final_logs(facts: _Facts) -> Iterator[Violation]:
    for conversation, (first, *others) in facts.finals.items():
        for read in (first, *others):
            for expected, entry in enumerate(read.entries, 1):
                if entry.sequence != expected:
                    detail = f"{conversation} on {read.instance} has {entry.sequence} in place of {expected}"
                    yield Violation("contiguity", detail)
                    break
        for read in others:
            for one, other in zip_longest(first.entries, read.entries):
                if one is None or other is None or one.sequence != other.sequence or _differ(one, other):
                    detail = f"{conversation}: {one} on {first.instance}, {other} on {read.instance}"
                    yield Violation("agreement", detail)
                    break


# ------------------------------------------------------------ what subscribers received


class _Streams:
    """Goes through what came on each connection, in the order in which it came."""

    def __init__(self, facts: _Facts) -> None:
        self.subscribers: dict[str, _Subscriber] = {}
        self.last_received: dict[tuple[str, int], int] = {}  # when the last subscriber received an entry first
        self.violations: list[Violation] = []
        self._facts = facts
        self._connections: dict[str, _Connection] = {}
        for record in facts.records:
            match record:
                case Subscribed():
                    self._subscribed(record)
                case Received():
                    self._received(self._connections[record.connection], record)
                case CaughtUp():
                    self._connections[record.connection].come_to(record.sequence, start=record.sequence)
                case Resynced():
                    connection = self._connections[record.connection]
                    self._judge(connection)
                    connection.resync(record.sequence)
                case Closed():
                    self._closed(self._connections[record.connection], record)
        for connection in self._connections.values():
            self._end(connection)

    def _subscribed(self, record: Subscribed) -> None:
        new = _Subscriber(record.subscriber, record.user, record.conversation)
        subscriber = self.subscribers.setdefault(record.subscriber, new)
        if subscriber is not new and record.after is not None:
            self._lost(subscriber, subscriber.received, subscriber.position, record.after)
        subscriber.position = max(subscriber.position, record.after or 0)
        self._connections[record.connection] = _Connection(record.connection, subscriber, record.at, record.after)

    def _received(self, connection: _Connection, record: Received) -> None:
        subscriber, sequence = connection.subscriber, record.entry.sequence
        place = f"{subscriber.conversation}:{sequence}"
        if sequence in connection.received:
            self.violations.append(Violation("duplicate", f"{connection.name} brought {place} twice"))
        elif sequence <= connection.newest:
            self.violations.append(Violation("order", f"{subscriber.name} received {place} late on {connection.name}"))
        if sequence not in subscriber.received:
            self.last_received[subscriber.conversation, sequence] = record.at
        connection.received.add(sequence)
        subscriber.received.add(sequence)
        connection.come_to(sequence, start=sequence - 1)

    def _closed(self, connection: _Connection, record: Closed) -> None:
        """Note the end of a connection; a removed member's is completed, after the entry of the removal."""
        connection.closed_at = record.at
        if record.code is None and connection.start is not None:
            subscriber = connection.subscriber
            position = max(connection.start, connection.newest)
            membership = self._facts.memberships.run_at(subscriber.conversation, subscriber.user, position)
            if membership is not None and membership[1] < math.inf:
                connection.newest = max(connection.newest, int(membership[1]))

    def _end(self, connection: _Connection) -> None:
        """Judge a connection; one that is open when the log is read at last should have brought all of it."""
        conversation = connection.subscriber.conversation
        final_at = min(read.invoked_at for read in self._facts.finals[conversation])
        if connection.opened_at <= final_at < connection.closed_at and connection.start is not None:
            connection.newest = max(connection.newest, self._facts.heads[conversation])
        self._judge(connection)

    def _judge(self, connection: _Connection) -> None:
        if connection.start is not None:
            self._lost(connection.subscriber, connection.received, connection.start, connection.newest)

    def _lost(self, subscriber: _Subscriber, received: set[int], start: int, end: int) -> None:
        """Report what a member should have received above `start` up to `end`, and did not."""
        conversation = subscriber.conversation
        end = min(end, self._facts.heads[conversation])
        places = sorted(sequence for sequence in received if start < sequence <= end)
        for before, after in pairwise((start, *places, end + 1)):
            if after > before + 1:
                for lost in self._facts.memberships.within(conversation, subscriber.user, before + 1, after - 1):
                    detail = f"{subscriber.name} did not receive {conversation}:{lost[0]} to {lost[1]}"
                    self.violations.append(Violation("lost", detail))


# ------------------------------------------------------------ figures


def _latency(spans: Sequence[tuple[int, int]]) -> Latency | None:
    return Latency.of([max(0, end - start) for start, end in spans]) if spans else None


def _latency_by_fault(facts: _Facts, spans: Sequence[tuple[int, int]]) -> dict[str, Latency]:
    faults = _faults(facts)
    split: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for start, end in spans:
        labels = [label for label, windows in faults.items() if _overlaps(windows, start, end)]
        for label in labels or ["none"]:
            split[label].append((start, end))
    return {label: Latency.of([max(0, end - start) for start, end in some]) for label, some in split.items()}


def _faults(facts: _Facts) -> dict[str, list[tuple[int, float]]]:
    """Return when each fault was active, in order; the same fault twice at a time is one."""
    windows: dict[str, list[tuple[int, float]]] = defaultdict(list)
    active: dict[str, int] = defaultdict(int)
    for record in facts.records:
        match record:
            case FaultChanged(label=label, active=True):
                if not active[label]:
                    windows[label].append((record.at, math.inf))
                active[label] += 1
            case FaultChanged(label=label):
                active[label] -= 1
                if not active[label]:
                    windows[label][-1] = (windows[label][-1][0], record.at)
    return windows


def _overlaps(windows: Sequence[tuple[int, float]], start: int, end: int) -> bool:
    index = bisect_left([end for _, end in windows], start)
    return index < len(windows) and windows[index][0] <= end
