"""How long things took, split by the faults that they met."""

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from tests.checker.history import FaultChanged, Record

NONE = "none"  # no fault
SEVERAL = "several"
HEALED_SECONDS = 10  # after a fault's end

type Span = tuple[int, int]  # from and until when, in monotonic nanoseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """How long some things of one kind took."""

    count: int
    p50_ms: float
    p99_ms: float
    max_ms: float

    @classmethod
    def of(cls, nanoseconds: Sequence[int]) -> Self:
        ordered = sorted(nanoseconds)
        p50, p99, longest = (ordered[math.ceil(share * len(ordered)) - 1] / 1e6 for share in (0.5, 0.99, 1.0))
        return cls(count=len(ordered), p50_ms=p50, p99_ms=p99, max_ms=longest)


class Faults:
    """When each fault was active; the same fault twice at a time is one."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.windows: dict[str, list[tuple[int, float]]] = defaultdict(list)
        active: dict[str, int] = defaultdict(int)
        for record in records:
            match record:
                case FaultChanged(label=label, active=True):
                    if not active[label]:
                        self.windows[label].append((record.at, math.inf))
                    active[label] += 1
                case FaultChanged(label=label):
                    active[label] -= 1
                    if not active[label]:
                        self.windows[label][-1] = (self.windows[label][-1][0], record.at)

    @property
    def last_end(self) -> float:
        """When the last fault ended that has; minus infinity where none has."""
        ends = (end for windows in self.windows.values() for _, end in windows if end < math.inf)
        return max(ends, default=-math.inf)

    def met_by(self, start: float, end: float) -> list[str]:
        """Return the faults that were active at some time of a span."""
        return [label for label, windows in self.windows.items() if _overlaps(windows, start, end)]

    def latencies(self, spans: Iterable[Span]) -> dict[str, Latency]:
        """Return the figures of each fault's spans; one that met two faults is in both."""
        return _latencies((label, span) for span in spans for label in self.met_by(*span) or [NONE])

    def latencies_of_single(self, spans: Iterable[Span]) -> dict[str, Latency]:
        """Return the figures of the spans that met one fault; those of more than one are together."""

        def label(span: Span) -> str:
            labels = self.met_by(*span)
            return SEVERAL if len(labels) > 1 else (labels or [NONE])[0]

        return _latencies((label(span), span) for span in spans)

    def latencies_healed(self, spans: Iterable[Span]) -> dict[str, Latency]:
        """Return the figures of the spans that began 10 s or more after a fault had ended and met no other."""
        ends = sorted((end, label) for label, windows in self.windows.items() for _, end in windows if end < math.inf)
        healed: list[tuple[str, Span]] = []
        for span in spans:
            index = bisect_left(ends, (span[0] - HEALED_SECONDS * 1e9, "")) - 1
            if index >= 0 and not self.met_by(ends[index][0] + 1, span[1]):
                healed.append((ends[index][1], span))
        return _latencies(iter(healed))


def latency_of(spans: Sequence[Span]) -> Latency | None:
    """Return the figures of all; None where there is none."""
    return Latency.of([max(0, end - start) for start, end in spans]) if spans else None


def _latencies(labelled: Iterator[tuple[str, Span]]) -> dict[str, Latency]:
    split: dict[str, list[int]] = defaultdict(list)
    for label, (start, end) in labelled:
        split[label].append(max(0, end - start))
    return {label: Latency.of(some) for label, some in split.items()}


def _overlaps(windows: Sequence[tuple[int, float]], start: float, end: float) -> bool:
    index = bisect_left([end for _, end in windows], start)
    return index < len(windows) and windows[index][0] <= end
