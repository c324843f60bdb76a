"""Judges a history: what the clients saw against what was promised to them. It knows nothing of how Parley works.

`lost`           an acknowledged send or edit is not in the final log, or a subscriber did not get what it passed
`phantom`        something was delivered or stored that nobody sent or that was refused, or that is in no final log
`duplicate`      one send has two places or two ids, or one connection brought an entry twice
`divergence`     one place showed two contents, or a send's body is not the one that was sent
`order`          a subscriber received an entry after a later one
`realtime_order` a send has a place before one that was acknowledged before it left
`session`        a client's read misses its own acknowledged send, or what it has read before, on whatever instance
`late`           somebody who was live got an acknowledged message after more than 5 s, with no fault near
`authorisation`  an entry was shown to or made by somebody who was no member at that place
`effects`        an effect of an entry is missing or there twice, or an unread count is not what the log says
`presence`       30 s after the last fault somebody is shown otherwise than they are
`contiguity`     a final log has a hole, or does not begin at 1
`agreement`      two instances' final logs differ
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest

from tests.checker.afterwards import effects, presence, unread
from tests.checker.facts import Facts, Kind, Send, Violation
from tests.checker.figures import Latency, latency_of
from tests.checker.history import Answered, EditAcked, Entry, History, Read, SendAcked
from tests.checker.streams import Streams

__all__ = ["Kind", "Latency", "Report", "Violation", "check"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What is wrong with a history, and its figures."""

    violations: tuple[Violation, ...]
    sends: int  # messages that clients tried to send, each once
    acknowledged: int
    deliveries: int  # entries that subscribers received, each once for each subscriber
    latency: Latency | None  # None: no acknowledged send was received
    latency_by_fault: dict[str, Latency]  # of sends that the fault overlapped on their way; "none": the others
    latency_healed: dict[str, Latency]  # of sends from 10 s after a fault's end on, until the next fault
    answers_by_fault: dict[str, Latency]  # of requests that met one fault only; "several": of those that met more


def check(history: History) -> Report:
    """Return everything that is wrong with a history.

    Raises:
        ValueError: a conversation has no final read, so the history proves nothing about it.
    """
    facts = Facts(history)
    streams = Streams(facts)
    violations = (
        *_contents(facts),
        *_sends(facts),
        *_realtime_order(facts),
        *_session(facts),
        *_final_logs(facts),
        *_edits(facts),
        *effects(facts),
        *unread(facts),
        *presence(facts),
        *streams.violations,
    )
    acknowledged = [send for send in facts.sends.values() if send.acks]
    spans = [
        (send.acks[0].at, stable_at)
        for send in acknowledged
        if (stable_at := streams.last_received.get((send.invoked.conversation, send.acks[0].sequence)))
    ]
    answers = [(answer.invoked_at, answer.at) for answer in facts.all(Answered)]
    return Report(
        violations=violations,
        sends=len(facts.sends),
        acknowledged=len(acknowledged),
        deliveries=sum(len(subscriber.received) for subscriber in streams.subscribers.values()),
        latency=latency_of(spans),
        latency_by_fault=facts.faults.latencies(spans),
        latency_healed=facts.faults.latencies_healed(spans),
        answers_by_fault=facts.faults.latencies_of_single(answers),
    )


# ------------------------------------------------------------ what was stored and shown


def _contents(facts: Facts) -> Iterator[Violation]:
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
        if entry.edits is not None and (conversation, entry.edits, entry.body) not in facts.edits:
            yield Violation("phantom", f"{place} is an edit that nobody made")
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
    if one.edits != other.edits:
        return True
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
        edits=one.edits,
        body=other.body if one.body is None else one.body,
    )


def _sends(facts: Facts) -> Iterator[Violation]:
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


def _realtime_order(facts: Facts) -> Iterator[Violation]:
    by_conversation: dict[str, list[tuple[int, Send]]] = defaultdict(list)
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


def _session(facts: Facts) -> Iterator[Violation]:
    events: list[tuple[int, SendAcked | Read]] = [(ack.at, ack) for send in facts.sends.values() for ack in send.acks]
    events += [(read.invoked_at, read) for read in facts.reads]
    unseen: dict[tuple[str, str], list[SendAcked]] = defaultdict(list)  # by client: acknowledged since its last read
    for _, event in sorted(events, key=lambda pair: pair[0]):
        own = unseen[event.client, event.conversation]
        if isinstance(event, SendAcked):
            own.append(event)
            continue
        sequences = {entry.sequence for entry in event.entries}
        after = event.after if event.entries else max(event.after, _nothing_shown(facts, event))
        for ack in own:
            if ack.sequence > after and ack.sequence not in sequences:
                detail = f"{event.client} did not read {ack.conversation}/{ack.client_message_id} on {event.instance}"
                yield Violation("session", detail)
        own.clear()
    yield from _monotonic_reads(facts)


def _monotonic_reads(facts: Facts) -> Iterator[Violation]:
    """Report reads that show less than one which the same client had finished before."""
    by_client: dict[tuple[str, str], list[Read]] = defaultdict(list)
    for read in facts.reads:
        by_client[read.client, read.conversation].append(read)
    for (client, conversation), reads in by_client.items():
        finished, index, newest = sorted(reads, key=lambda read: read.at), 0, 0
        for read in sorted(reads, key=lambda read: read.invoked_at):
            while finished[index].at < read.invoked_at:
                newest = max(newest, _newest(finished[index]))
                index += 1
            shown = _newest(read) if read.entries else _nothing_shown(facts, read)
            if shown < newest:
                detail = f"{client} read {conversation} up to {shown} on {read.instance}, {newest} before"
                yield Violation("session", detail)


def _nothing_shown(facts: Facts, read: Read) -> int:
    """Return up to where a read may show nothing: before somebody was added, last, nothing is theirs to see."""
    return facts.memberships.last_joined(read.conversation, read.user)


def _newest(read: Read) -> int:
    return max((entry.sequence for entry in read.entries), default=0)


def _edits(facts: Facts) -> Iterator[Violation]:
    """Look for every acknowledged edit in the final logs."""
    logged = {
        (name, entry.edits, entry.body)
        for name, reads in facts.finals.items()
        for entry in reads[0].entries
        if entry.edits is not None
    }
    for ack in facts.all(EditAcked):
        if (ack.conversation, ack.sequence, ack.body) not in logged:
            yield Violation("lost", f"the edit of {ack.conversation}:{ack.sequence} that {ack.client} made")


def _final_logs(facts: Facts) -> Iterator[Violation]:
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
