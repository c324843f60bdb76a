"""The checker passes correct histories, and finds what each mutant of one breaks, by name."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.checker.check import Kind, Latency, check
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
from tests.checker.sample import INSTANCES, MESSAGE, Sample

type Records = list[Record]
type Mutant = Callable[[Records, Random], Records]

MILLISECOND = 1_000_000
samples = st.builds(lambda seed: (Sample(Random(seed)).run(150), Random(seed)), st.integers(0, 2**32))


def kinds(records: Records) -> set[Kind]:
    return {violation.kind for violation in check(History(records)).violations}


def only[R: Record](type_: type[R], records: Records) -> list[R]:
    return [record for record in records if isinstance(record, type_)]


def some[T](candidates: Sequence[T], random: Random) -> T:
    """Choose one; a history without any is no example."""
    assume(candidates)
    return random.choice(candidates)


def swapped(records: Records, old: Record, *new: Record) -> Records:
    """Put other records in the place of one."""
    index = next(index for index, record in enumerate(records) if record is old)
    return [*records[:index], *new, *records[index + 1 :]]


def changed_logs(records: Records, change: Callable[[tuple[Entry, ...]], tuple[Entry, ...]]) -> Records:
    """Change the final log alike on all instances."""
    return [
        replace(record, entries=change(record.entries)) if isinstance(record, Read) and record.final else record
        for record in records
    ]


def final_log(records: Records) -> tuple[Entry, ...]:
    return only(Read, records)[-1].entries


def deliveries(records: Records) -> list[tuple[Subscribed, Received]]:
    subscriptions = {record.connection: record for record in only(Subscribed, records)}
    return [(subscriptions[record.connection], record) for record in only(Received, records)]


def followed(records: Records) -> list[tuple[Subscribed, Received]]:
    """Deliveries above the connection's cursor that another one follows: their loss shows."""
    newest = {received.connection: received.entry.sequence for _, received in deliveries(records)}
    return [
        (subscription, received)
        for subscription, received in deliveries(records)
        if subscription.after is not None and received.entry.sequence < newest[received.connection]
    ]


def resumed(records: Records) -> list[Subscribed]:
    """Subscriptions that brought the very entry after what their subscriber had."""
    brought = {(received.connection, received.entry.sequence - 1) for received in only(Received, records)}
    subscribers: dict[str, str] = {}
    positions: dict[str, int] = {}
    found: list[Subscribed] = []
    for record in records:
        match record:
            case Subscribed():
                subscribers[record.connection] = record.subscriber
                position = positions.get(record.subscriber)
                if record.after is not None and record.after == position and (record.connection, position) in brought:
                    found.append(record)
            case Received(entry=Entry(sequence=sequence)) | CaughtUp(sequence=sequence) | Resynced(sequence=sequence):
                subscriber = subscribers[record.connection]
                positions[subscriber] = max(positions.get(subscriber, 0), sequence)
    return found


# ------------------------------------------------------------ mutants


def dropped_delivery(records: Records, random: Random) -> Records:
    _, received = some(followed(records), random)
    return swapped(records, received)


def dropped_last_delivery(records: Records, random: Random) -> Records:
    """The newest entry does not come, and nothing after it shows that."""
    head = final_log(records)[-1].sequence
    last = {received.connection: received for s, received in deliveries(records) if s.after not in {None, head}}
    closed = {record.connection for record in only(Closed, records)}
    newest = [one for one in last.values() if one.entry.sequence == head and one.connection not in closed]
    received = some(newest, random)
    return [
        record
        for record in records
        if record is not received and not (isinstance(record, CaughtUp) and record.connection == received.connection)
    ]


def dropped_removal(records: Records, random: Random) -> Records:
    """The removed member is sent away without the entry of its removal."""
    subscriptions = {record.connection: record for record in only(Subscribed, records)}
    ends = [
        received
        for received, closed in pairwise(records)
        if isinstance(received, Received) and isinstance(closed, Closed) and closed.code is None
        if subscriptions[received.connection].after is not None
    ]
    return swapped(records, some(ends, random))


def skipped_on_resume(records: Records, random: Random) -> Records:
    subscription = some(resumed(records), random)
    assert subscription.after is not None
    missed = subscription.after + 1
    return [
        replace(record, after=missed) if record is subscription else record
        for record in records
        if not (isinstance(record, Received) and record.connection == subscription.connection)
        or record.entry.sequence > missed
    ]


def acknowledged_before_stored(records: Records, random: Random) -> Records:
    acked = some(only(SendAcked, records), random)
    unstored = replace(acked, client_message_id="new", sequence=final_log(records)[-1].sequence + 1, message_id="new")
    invoked = SendInvoked(
        at=acked.at, client=acked.client, user="ann", conversation=acked.conversation, client_message_id="new", body=""
    )
    return [*records, invoked, unstored]


def overwritten(records: Records, random: Random) -> Records:
    """What `save()` in place of `insert_one` does to an acknowledged message."""
    acked = some(only(SendAcked, records), random)
    other = replace(final_log(records)[acked.sequence - 1], client_message_id="other", body="other")
    return changed_logs(records, lambda log: (*log[: acked.sequence - 1], other, *log[acked.sequence :]))


def never_sent(records: Records, random: Random) -> Records:
    last = some([received for received in only(Received, records) if received.entry.kind == MESSAGE], random)
    invented = replace(last.entry, client_message_id="invented")
    return swapped(records, last, replace(last, entry=invented))


def delivered_before_stored(records: Records, random: Random) -> Records:
    """What a publish before the commit shows: an entry that never comes to be."""
    received = some(only(Received, records), random)
    beyond = replace(received.entry, sequence=final_log(records)[-1].sequence + 1, client_message_id=None)
    return swapped(records, received, received, replace(received, entry=beyond))


def refused_but_stored(records: Records, random: Random) -> Records:
    invoked = [record.client_message_id for record in only(SendInvoked, records)]
    once = [record for record in only(SendAcked, records) if invoked.count(record.client_message_id) == 1]
    acked = some(once, random)
    key = acked.client_message_id
    failed = SendFailed(
        at=acked.at, client=acked.client, conversation=acked.conversation, client_message_id=key, code="FORBIDDEN"
    )
    return swapped(records, acked, failed)


def seen_before_sent(records: Records, random: Random) -> Records:
    received = some([received for received in only(Received, records) if received.entry.kind == MESSAGE], random)
    return [
        replace(record, at=received.at + 1)
        if isinstance(record, SendInvoked) and record.client_message_id == received.entry.client_message_id
        else record
        for record in records
    ]


def delivered_twice(records: Records, random: Random) -> Records:
    received = some(only(Received, records), random)
    return swapped(records, received, received, replace(received, at=received.at + 1))


def stored_twice(records: Records, random: Random) -> Records:
    entry = some([entry for entry in final_log(records) if entry.kind == MESSAGE], random)
    return changed_logs(records, lambda log: (*log, replace(entry, sequence=len(log) + 1)))


def acknowledged_twice(records: Records, random: Random) -> Records:
    acked = some(only(SendAcked, records), random)
    return swapped(records, acked, acked, replace(acked, message_id="another"))


def changed_body(records: Records, random: Random) -> Records:
    received = some([received for received in only(Received, records) if received.entry.kind == MESSAGE], random)
    return swapped(records, received, replace(received, entry=replace(received.entry, body="changed")))


def body_nobody_sent(records: Records, random: Random) -> Records:
    """The same wrong body everywhere: no two readers disagree."""
    entry = some([entry for entry in final_log(records) if entry.kind == MESSAGE], random)
    wrong = replace(entry, body="wrong")
    changed: Records = []
    for record in records:
        match record:
            case Received() if record.entry == entry:
                changed.append(replace(record, entry=wrong))
            case Read():
                changed.append(replace(record, entries=tuple(wrong if one == entry else one for one in record.entries)))
            case _:
                changed.append(record)
    return changed


def swapped_deliveries(records: Records, random: Random) -> Records:
    followed = {(record.connection, record.entry.sequence): record for record in only(Received, records)}
    pairs = [
        (record, later)
        for (connection, sequence), record in followed.items()
        if (later := followed.get((connection, sequence + 1)))
    ]
    first, second = some(pairs, random)
    records = swapped(records, first, replace(first, entry=second.entry))
    return swapped(records, second, replace(second, entry=first.entry))


def overtaken(records: Records, random: Random) -> Records:
    """A send that left after another was acknowledged gets the lower place."""
    acks = only(SendAcked, records)
    pairs = [(low, high) for low in acks for high in acks if low.sequence < high.sequence]
    low, high = some(pairs, random)
    return [
        replace(record, at=high.at + 1)
        if isinstance(record, SendInvoked) and record.client_message_id == low.client_message_id
        else record
        for record in records
    ]


def unread_own_send(records: Records, random: Random) -> Records:
    acked = some([acked for acked in only(SendAcked, records) if acked.client == "ann-phone"], random)
    stale = Read(
        at=acked.at + 1,
        invoked_at=acked.at + 1,
        client=acked.client,
        user="ann",
        instance=INSTANCES[1],
        conversation=acked.conversation,
        after=0,
        entries=final_log(records)[: acked.sequence - 1],
    )
    return [*records, stale]


def delivered_after_removal(records: Records, random: Random) -> Records:
    removal = some([record for record in only(MemberChanged, records) if not record.joined], random)
    joined = {r.sequence for r in only(MemberChanged, records) if r.joined and r.user == removal.user}
    assume(removal.sequence < len(final_log(records)) and removal.sequence + 1 not in joined)
    last = some([r for s, r in deliveries(records) if s.user == removal.user], random)
    return swapped(records, last, last, replace(last, entry=final_log(records)[removal.sequence]))


def stored_after_removal(records: Records, random: Random) -> Records:
    """The author of a stored message turns out to be somebody who was never in."""
    acked = some(only(SendAcked, records), random)
    return [
        replace(record, user="eve")
        if isinstance(record, SendInvoked) and record.client_message_id == acked.client_message_id
        else record
        for record in records
    ]


def hole(records: Records, random: Random) -> Records:
    gone = random.randrange(1, len(final_log(records)))
    return changed_logs(records, lambda log: (*log[: gone - 1], *log[gone:]))


def other_content_elsewhere(records: Records, random: Random) -> Records:
    read = only(Read, records)[-1]
    index = random.randrange(len(read.entries))
    entries = list(read.entries)
    entries[index] = replace(entries[index], kind="Other")
    return swapped(records, read, replace(read, entries=tuple(entries)))


def shorter_log_elsewhere(records: Records, _: Random) -> Records:
    read = only(Read, records)[-1]
    return swapped(records, read, replace(read, entries=read.entries[:-1]))


@pytest.mark.parametrize(
    ("mutant", "kind"),
    [
        (dropped_delivery, "lost"),
        (dropped_last_delivery, "lost"),
        (dropped_removal, "lost"),
        (skipped_on_resume, "lost"),
        (acknowledged_before_stored, "lost"),
        (overwritten, "lost"),
        (never_sent, "phantom"),
        (delivered_before_stored, "phantom"),
        (refused_but_stored, "phantom"),
        (seen_before_sent, "phantom"),
        (delivered_twice, "duplicate"),
        (stored_twice, "duplicate"),
        (acknowledged_twice, "duplicate"),
        (changed_body, "divergence"),
        (body_nobody_sent, "divergence"),
        (swapped_deliveries, "order"),
        (overtaken, "realtime_order"),
        (unread_own_send, "session"),
        (delivered_after_removal, "authorisation"),
        (stored_after_removal, "authorisation"),
        (hole, "contiguity"),
        (other_content_elsewhere, "agreement"),
        (shorter_log_elsewhere, "agreement"),
    ],
)
@settings(max_examples=25, deadline=None)
@given(sample=samples)
def test_a_mutant_is_found_by_its_check(mutant: Mutant, kind: Kind, sample: tuple[Records, Random]) -> None:
    records, random = sample

    assert kind in kinds(mutant(records, random))


@settings(max_examples=200, deadline=None)
@given(sample=samples)
def test_a_correct_history_passes(sample: tuple[Records, Random]) -> None:
    records, _ = sample
    report = check(History(records))

    assert report.violations == ()
    assert report.acknowledged == len({acked.client_message_id for acked in only(SendAcked, records)})
    assert report.deliveries == len({(s.subscriber, r.entry.sequence) for s, r in deliveries(records)})


def test_a_history_without_a_final_read_proves_nothing() -> None:
    records = [record for record in Sample(Random(1)).run(50) if not (isinstance(record, Read) and record.final)]

    with pytest.raises(ValueError, match="no final read of cnv"):
        check(History(records))


def final_read(user: str, entries: Sequence[Entry], *, at: int) -> Read:
    """Return what somebody reads of a whole log when nothing moves any more."""
    return Read(
        at=at,
        invoked_at=at,
        client=user,
        user=user,
        instance="api-1",
        conversation="cnv",
        after=0,
        entries=tuple(entries),
        final=True,
    )


def test_latency_counts_up_to_the_last_receiver_and_is_split_by_fault() -> None:
    entries = [Entry(sequence=1, kind="MemberAdded"), Entry(sequence=2, kind="MemberAdded")]
    records: Records = [
        MemberChanged(at=0, conversation="cnv", user=user, sequence=sequence, joined=True)
        for sequence, user in enumerate(("ann", "bob"), 1)
    ]
    records += [
        Subscribed(at=1, connection=user, subscriber=user, client=user, user=user, conversation="cnv", after=2)
        for user in ("ann", "bob")
    ]
    records += [CaughtUp(at=2, connection="bob", sequence=2)]
    for sequence, sent_ms, slow_ms in ((3, 10, 20), (4, 100, 300), (5, 1_000, 50)):
        key = f"m{sequence}"
        entry = Entry(sequence=sequence, kind=MESSAGE, client_message_id=key, body="hello")
        entries.append(entry)
        at = sent_ms * MILLISECOND
        records += [
            SendInvoked(at=at - 1, client="ann", user="ann", conversation="cnv", client_message_id=key, body="hello"),
            Received(at=at, connection="ann", entry=entry),
            SendAcked(
                at=at, client="ann", conversation="cnv", client_message_id=key, sequence=sequence, message_id=key
            ),
            Received(at=at + slow_ms * MILLISECOND, connection="bob", entry=entry),
        ]
    for at_ms, active in ((200, True), (300, False)):
        records.append(FaultChanged(at=at_ms * MILLISECOND, label="stop redis", active=active))
    final = final_read("ann", entries, at=2_000 * MILLISECOND)
    report = check(History([*records, final]))

    assert report.violations == ()
    assert report.latency == Latency(count=3, p50_ms=50, p99_ms=300, max_ms=300)
    assert report.latency_by_fault == {
        "stop redis": Latency(count=1, p50_ms=300, p99_ms=300, max_ms=300),
        "none": Latency(count=2, p50_ms=20, p99_ms=50, max_ms=50),
    }


@pytest.mark.parametrize("is_added_again", [True, False])
def test_who_was_added_again_may_be_shown_nothing_and_nobody_else(is_added_again: bool) -> None:
    entries = [
        Entry(sequence=1, kind="MemberAdded"),
        Entry(sequence=2, kind=MESSAGE, client_message_id="m", body="hello"),
        Entry(sequence=3, kind="MemberRemoved"),
        Entry(sequence=4, kind="MemberAdded"),
    ][: 4 if is_added_again else 2]
    whole = final_read("bob", entries, at=9)
    records: Records = [
        MemberChanged(at=0, conversation="cnv", user=user, sequence=1, joined=True) for user in ("ann", "bob")
    ]
    records += [
        MemberChanged(at=0, conversation="cnv", user="ann", sequence=entry.sequence, joined=entry.kind == "MemberAdded")
        for entry in entries[2:]
    ]
    records += [
        SendInvoked(at=1, client="ann", user="ann", conversation="cnv", client_message_id="m", body="hello"),
        SendAcked(at=2, client="ann", conversation="cnv", client_message_id="m", sequence=2, message_id="m"),
        replace(whole, at=6, invoked_at=5, client="ann", user="ann", entries=(), final=False),
        whole,
    ]

    found = {violation.kind for violation in check(History(records)).violations}

    assert found == (set() if is_added_again else {"session"})
