"""What a process counts: numbers that can be added up over processes and over time, and nothing about anybody.

Counting must cost next to nothing: a number in a list grows, and nobody waits. Times are counted in buckets whose
bounds grow by a fixed factor, so quantiles of many processes can be had from their sums, right to within one bucket.
Names of what was counted are made when somebody asks, every two seconds, and not while it is.
"""

import math
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Literal, Self, override

import orjson

from services.entries import Entry, MessageSent

FIRST_BOUND_MS: Final = 0.1  # of the first bucket
PER_OCTAVE: Final = 4  # buckets until the bound has doubled: each is 19 % above the last
BUCKETS: Final = 92  # the last one is for all above 13 minutes

# What is counted, each with what its key has behind the name. Times have a bucket's number last.
type Name = Literal[
    "answered",  # status of HTTP; an operation on a socket counts as what it would have had there
    "answered_ms",  # how long that took, from the first byte to the last
    "request",  # kind, root field: operations that were executed, or subscriptions that began
    "request_ms",  # kind, root field: how long that took
    "refused",  # kind, root field: requests with an error
    "failed",  # requests with an error that is not their caller's
    "error",  # code: errors that clients were told of, in payloads too
    "sent",  # messages that were acknowledged, once each
    "delivered",  # updates of logs that were handed to subscribers
    "delivered_ms",  # how long after the commit they were
    "executed",  # executions for updates of logs, each for all who ask the same
    "opened",  # sockets that were let in
    "closed",  # code: sockets that were closed, by whom ever
    "cache_hit",  # kind of what was asked for
    "cache_miss",
    "tracked",  # product events that were taken
    "token_reused",  # refresh tokens that were shown after they were used up
]
type Key = tuple[str, ...]

# Of these the largest of all processes counts, of other gauges the sum.
LARGEST: Final = frozenset(
    {"outbox_oldest_seconds", "dead_letters", "loop_lag_seconds", "online_users", "fsck_violations"}
)
SEPARATOR: Final = " "
KEYS: Final = 8_192  # that are known apart
OURS: Final = frozenset(
    {"INTERNAL", "UNAVAILABLE", "OVERLOADED", "TIMEOUT", "COMMIT_UNKNOWN"}
)  # not the caller's fault


def bound(number: int) -> float:
    """Return the upper bound of a bucket, in milliseconds."""
    return float(FIRST_BOUND_MS * 2 ** (number / PER_OCTAVE))


_BOUNDS_MS: Final = tuple(bound(number) for number in range(BUCKETS - 1))  # of all but the last, which has none


def bucket(milliseconds: float) -> int:
    """Return the number of the bucket of a time."""
    return bisect_left(_BOUNDS_MS, milliseconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Times in milliseconds; quantiles are upper bounds of their buckets, and never above the largest time."""

    count: int = 0
    mean_ms: float = 0.0
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    p99_ms: float = 0.0
    max_ms: float = 0.0


@dataclass(slots=True)
class Totals:
    """What was counted, somewhere and for a while."""

    counts: Counter[Key] = field(default_factory=Counter)
    sums: Counter[Key] = field(default_factory=Counter)  # of times, in microseconds
    maxima: dict[Key, float] = field(default_factory=dict)  # of times, in milliseconds
    gauges: dict[str, float] = field(default_factory=dict)  # as they were at the end
    parts: int = 1  # how many reports are in it

    def add(self, other: "Totals", *, is_later: bool) -> None:
        """Add what was counted elsewhere at the same time, or later: then gauges are those of the fuller time."""
        self.counts.update(other.counts)
        self.sums.update(other.sums)
        for key, value in other.maxima.items():
            self.maxima[key] = max(value, self.maxima.get(key, 0.0))
        for name, value in other.gauges.items():
            known = self.gauges.get(name, 0.0)
            self.gauges[name] = max(known, value) if is_later or name in LARGEST else known + value
        self.parts += other.parts

    def total(self, *key: str) -> int:
        """Return the sum of all that is counted under keys that begin so."""
        size = len(key)
        return sum(count for other, count in self.counts.items() if other[:size] == key)

    def only(self, names: Container[str]) -> "Totals":
        """Return the part of it that is counted under these names, with all gauges."""
        return Totals(
            counts=Counter({key: count for key, count in self.counts.items() if key[0] in names}),
            sums=Counter({key: total for key, total in self.sums.items() if key[0] in names}),
            maxima={key: value for key, value in self.maxima.items() if key[0] in names},
            gauges=self.gauges,
            parts=self.parts,
        )

    def by(self, *key: str) -> Counter[str]:
        """Return the sums by what comes next in the keys that begin so."""
        size, found = len(key), Counter[str]()
        for other, count in self.counts.items():
            if other[:size] == key and len(other) > size:
                found[other[size]] += count
        return found

    def latency(self, *key: str) -> Latency:
        """Return the times that were counted under keys that begin so."""
        size, found = len(key), Counter[int]()
        for other, count in self.counts.items():
            if other[:size] == key:
                found[int(other[-1])] += count
        count = found.total()
        if not count:
            return Latency()
        largest = max((value for other, value in self.maxima.items() if other[:size] == key), default=0.0)
        total_us = sum(value for other, value in self.sums.items() if other[:size] == key)
        p50, p95, p99 = (min(_quantile(found, count, share), largest) for share in (0.5, 0.95, 0.99))
        return Latency(
            count=count, mean_ms=total_us / count / 1_000, p50_ms=p50, p95_ms=p95, p99_ms=p99, max_ms=largest
        )

    def to_bytes(self) -> bytes:
        """Return it as JSON."""
        return orjson.dumps(
            {
                "counts": {SEPARATOR.join(key): count for key, count in self.counts.items()},
                "sums": {SEPARATOR.join(key): total for key, total in self.sums.items()},
                "maxima": {SEPARATOR.join(key): value for key, value in self.maxima.items()},
                "gauges": self.gauges,
                "parts": self.parts,
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Return what was made into JSON."""
        content = orjson.loads(data)
        return cls(
            counts=Counter({_key(key): count for key, count in content["counts"].items()}),
            sums=Counter({_key(key): total for key, total in content["sums"].items()}),
            maxima={_key(key): value for key, value in content["maxima"].items()},
            gauges=content["gauges"],
            parts=content["parts"],
        )

    @classmethod
    def of(cls, others: Iterable["Totals"], *, is_later: bool) -> Self:
        """Return the sum of what was counted at the same time, or one after the other."""
        found = cls(parts=0)
        for other in others:
            found.add(other, is_later=is_later)
        return found


class Times:
    """How long one kind of thing took, each time since the process began."""

    __slots__ = ("buckets", "largest_ms", "total_ms")

    def __init__(self) -> None:
        self.buckets = [0] * BUCKETS
        self.total_ms = 0.0
        self.largest_ms = 0.0  # since a slot began

    def add(self, milliseconds: float, times: int = 1) -> None:
        """Count a time."""
        self.buckets[bisect_left(_BOUNDS_MS, milliseconds)] += times
        self.total_ms += milliseconds * times
        if milliseconds > self.largest_ms:  # noqa: PLR1730  # a call of `max` costs three times as much
            self.largest_ms = milliseconds


class Meter:
    """This process's counts since it began."""

    def __init__(self) -> None:
        self.gauges: dict[str, Callable[[], float]] = {}
        self.counted_elsewhere: dict[Name, Counter[str]] = {}  # by their label, by whoever counts them
        self.active: set[str] = set()  # users who did something since somebody took them
        self._counts = Counter[Key]()
        self._statuses = defaultdict[int, int](int)
        self._answered = Times()
        self._delivered = Times()
        self._requests = defaultdict[tuple[str, str], Times](Times)  # by kind and root field

    def totals(self) -> Totals:
        """Return all that was counted, and the gauges as they are."""
        counts = Counter(self._counts)
        counts.update({("answered", str(status)): count for status, count in self._statuses.items()})
        for name, labelled in self.counted_elsewhere.items():
            counts.update({(name, label): count for label, count in labelled.items()})
        sums, maxima = Counter[Key](), dict[Key, float]()
        for key, times in self._times():
            found = {str(number): count for number, count in enumerate(times.buckets) if count}
            counts.update({(*key, number): count for number, count in found.items()})
            if key[0] == "request_ms":
                counts["request", *key[1:]] = sum(found.values())
            if found:
                sums[key], maxima[key] = round(times.total_ms * 1_000), times.largest_ms
        return Totals(counts, sums, maxima, {name: gauge() for name, gauge in self.gauges.items()})

    def forget_largest(self) -> None:
        """Begin anew to look for the largest times."""
        for _, times in self._times():
            times.largest_ms = 0.0

    def _times(self) -> Iterator[tuple[Key, Times]]:
        yield ("answered_ms",), self._answered
        yield ("delivered_ms",), self._delivered
        for labels, times in self._requests.items():
            yield ("request_ms", *labels), times

    def count(self, name: Name, *labels: str, times: int = 1) -> None:
        """Count something."""
        self._counts[name, *labels] += times

    def answered(self, status: int, milliseconds: float) -> None:
        """Count an answer."""
        self._statuses[status] += 1
        self._answered.add(milliseconds)

    def delivered(self, milliseconds: float, times: int) -> None:
        """Count an update that was handed to so many subscribers, so long after it was committed."""
        self._counts["delivered",] += times
        self._delivered.add(milliseconds, times)

    def request(
        self, kind: str, root: str, milliseconds: float, user_id: str | None, codes: Sequence[str] = ()
    ) -> None:
        """Count an operation that was executed, or a subscription that began, with the codes of its errors."""
        if user_id is not None:
            self.active.add(user_id)
        self._requests[kind, root].add(milliseconds)
        if codes:
            self.count("refused", kind, root)
            self.errors(codes)

    def errors(self, codes: Sequence[str]) -> None:
        """Count the errors of one answer."""
        for code in codes:
            self.count("error", code)
        if not OURS.isdisjoint(codes):
            self.count("failed")


class SilentMeter(Meter):
    """Counts nothing: to measure what counting costs."""

    @override
    def count(self, name: Name, *labels: str, times: int = 1) -> None:
        pass

    @override
    def answered(self, status: int, milliseconds: float) -> None:
        pass

    @override
    def delivered(self, milliseconds: float, times: int) -> None:
        pass

    @override
    def request(
        self, kind: str, root: str, milliseconds: float, user_id: str | None, codes: Sequence[str] = ()
    ) -> None:
        pass

    @override
    def errors(self, codes: Sequence[str]) -> None:
        pass


class SentMessages:
    """Counts the messages that this process appends to logs."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def publish(self, conversation_id: str, entries: Sequence[Entry]) -> None:
        """Count the messages among entries that were committed."""
        del conversation_id
        self._meter.count("sent", times=sum(isinstance(entry, MessageSent) for entry in entries))


def _quantile(counts: Counter[int], total: int, share: float) -> float:
    wanted, seen = math.ceil(total * share), 0
    for number in sorted(counts):
        seen += counts[number]
        if seen >= wanted:
            return bound(number)
    return bound(BUCKETS - 1)


@lru_cache(KEYS)  # the reports of all processes and times have the same ones
def _key(text: str) -> Key:
    return tuple(text.split(SEPARATOR))
