"""What should be so in the end: effects of entries, unread counts, presence."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator

from tests.checker.facts import Facts, Violation
from tests.checker.history import Closed, Effects, PresenceShown, Subscribed, UnreadCounted

SETTLED_SECONDS = 30  # after the last fault, and after somebody came or went, presence is right
MESSAGE = "MessageSent"


def effects(facts: Facts) -> Iterator[Violation]:
    """Compare each effect with the entries that should have it."""
    for found in facts.all(Effects):
        name = f"{found.name} of {found.conversation}"
        log = facts.finals[found.conversation][0].entries
        wanted = {entry.sequence for entry in log if found.on is None or entry.kind == found.on}
        times = Counter(found.sequences)
        if missing := wanted - times.keys():
            yield Violation("effects", f"{name}: {len(missing)} missing, among them {min(missing)}")
        if strange := times.keys() - wanted:
            yield Violation("effects", f"{name}: {len(strange)} of nothing, among them {min(strange)}")
        if found.once and (doubled := [sequence for sequence, count in times.items() if count > 1]):
            yield Violation("effects", f"{name}: {len(doubled)} more than once, among them {min(doubled)}")


def unread(facts: Facts) -> Iterator[Violation]:
    """Compare each count with the messages of others above the marker."""
    for told in facts.all(UnreadCounted):
        senders = [
            facts.sends[told.conversation, entry.client_message_id].invoked.user
            for entry in facts.finals[told.conversation][0].entries
            if entry.kind == MESSAGE
            and entry.sequence > told.read
            and entry.client_message_id is not None
            and (told.conversation, entry.client_message_id) in facts.sends
        ]
        wanted = min(told.most, len(senders) - senders.count(told.user))
        if told.count != wanted:
            detail = f"{told.user} has {told.count} unread in {told.conversation} on {told.instance}, not {wanted}"
            yield Violation("effects", detail)


def presence(facts: Facts) -> Iterator[Violation]:
    """Compare what was shown in time, and at last, with who had a connection."""
    lives = _lives(facts)
    shown: dict[tuple[str, str], list[PresenceShown]] = defaultdict(list)
    for record in facts.all(PresenceShown):
        shown[record.user, record.instance].append(record)
    for (user, instance), records in shown.items():
        wanted = _wanted(lives[user], records[-1].at)
        if wanted is None:
            continue  # coming and going all the time: nothing is promised
        statuses, since = wanted
        deadline = max(facts.faults.last_end, since) + SETTLED_SECONDS * 1e9
        right = [record.at for record in records if record.status in statuses and record.at >= since]
        if records[-1].status not in statuses or (right and right[0] > deadline and records[0].at < deadline):
            yield Violation("presence", f"{user} is {records[-1].status} on {instance}, not {' or '.join(statuses)}")


def _lives(facts: Facts) -> dict[str, list[tuple[int, float]]]:
    """Return when each user had which connection."""
    opened = {record.connection: record for record in facts.all(Subscribed)}
    closed = {record.connection: record.at for record in facts.all(Closed)}
    lives: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for connection, record in opened.items():
        lives[record.user].append((record.at, closed.get(connection, math.inf)))
    return lives


def _wanted(lives: list[tuple[int, float]], at: int) -> tuple[tuple[str, ...], float] | None:
    """Return how somebody should be shown and since when that is so; None where it has just changed."""
    settled = at - SETTLED_SECONDS * 1e9
    if open_ := [opened for opened, closed in lives if opened <= settled and closed > at]:
        return ("ONLINE", "AWAY"), min(open_)
    last = max((min(closed, at) for _, closed in lives), default=-math.inf)
    return (("OFFLINE",), last) if last < settled else None
