"""What breaks when: a plan that the seed alone decides."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

APIS, WORKERS = 3, 2
EARLIEST_SECONDS = 3.0  # before that nothing breaks

# How long each lasts, in seconds, where that is not up to those who repair it.
LASTING = {
    "stop api": (2.0, 6.0),
    "stop worker": (2.0, 6.0),
    "stop mongo": (2.0, 6.0),
    "stop redis": (3.0, 10.0),
    "stop kafka": (3.0, 8.0),
    "cut mongo": (0.5, 2.0),
    "cut redis": (0.5, 4.0),
    "cut kafka": (0.5, 4.0),
    "hold mongo": (1.0, 5.0),
    "hold redis": (1.0, 8.0),
    "hold clients": (2.0, 6.0),
    "delay mongo": (4.0, 8.0),
    "delay redis": (4.0, 8.0),
    "cut answers": (3.0, 6.0),
    "slow readers": (5.0, 8.0),
}
KILLING = ("kill api", "kill worker", "kill mongo", "kill redis", "wipe kafka")
AT_ONCE = ("flush redis", "deafen", "cut clients", "half-open", "roll")
TWO = "two"
KINDS = (*KILLING, *LASTING, *AT_ONCE, TWO)

# The parts whose outage nobody may have to wait for longer than 6 s: a process that clients talk to themselves, and the
# way to it, are not among them.
_PARTS = ("mongo", "redis", "kafka", "worker")
OUTAGES = frozenset(f"{verb} {part}" for verb in ("kill", "wipe", "stop", "cut", "hold") for part in _PARTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that breaks, or two at once."""

    at: float  # seconds after the start of the load
    kinds: tuple[str, ...]
    index: int  # which process, where there are several
    seconds: float  # how long, where that is up to us

    @property
    def label(self) -> str:
        """What the report calls it."""
        return " + ".join(self.kinds)


def plan(seed: int, *, faults: int, seconds: float, kinds: Sequence[str] = KINDS) -> list[Fault]:
    """Return the faults of a run, in order and evenly spread; every kind comes before any comes again."""
    random = Random(seed)
    deck = _deck(random, kinds)
    step = (seconds - EARLIEST_SECONDS) / faults if faults else 0.0
    return [
        _fault(next(deck), EARLIEST_SECONDS + (number + random.uniform(0.0, 0.4)) * step, step, random)
        for number in range(faults)
    ]


def _deck(random: Random, kinds: Sequence[str]) -> Iterator[str]:
    while True:
        yield from random.sample(kinds, len(kinds))


def _fault(kind: str, at: float, step: float, random: Random) -> Fault:
    kinds: tuple[str, ...] = (kind,)
    if kind == TWO:
        first = random.choice(KILLING)
        second = random.choice(
            [
                other
                for other in (*KILLING, "stop redis", "stop mongo", "stop kafka")
                if other.split()[1] != first.split()[1]
            ]
        )
        kinds = (first, second)
    shortest, longest = LASTING.get(kinds[-1], (0.0, 0.0))
    return Fault(
        at=at,
        kinds=kinds,
        index=random.randrange(APIS),
        seconds=min(random.uniform(shortest, longest), max(shortest, step * 0.6)),
    )
