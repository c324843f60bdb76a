"""The alert rules, all of them in `RULES`: what must not go on for how long, and how bad it is when it does.

Workers judge by them (`services/alerting.py`), and Prometheus gets the same ones (`parley alert-rules`).
docs/alerts.md says of each what it means and what to do. A rule holds while its value is above its threshold.
"""

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from services.meter import Name


class AlertSeverity(StrEnum):
    WARNING = "WARNING"
    CRITICAL = "CRITICAL"


@dataclass(frozen=True, slots=True)
class Level:
    """A gauge as it is now: of some the largest of all processes, of others the sum."""

    gauge: str


@dataclass(frozen=True, slots=True)
class Growth:
    """How much a count has grown in the last seconds."""

    count: Name
    seconds: int


@dataclass(frozen=True, slots=True)
class Tail:
    """How long the slowest hundredth takes at least, in seconds; nothing while there are too few to say so."""

    times: Name
    seconds: int
    least: int = 100


@dataclass(frozen=True, slots=True)
class Burn:
    """How many times faster errors come than the promise of 99.9 % allows, in a long and a short time.

    What counts is the smaller of the two: the long one says that it matters, the short one that it goes on.
    """

    long_seconds: int
    short_seconds: int
    budget: float = 0.001  # share of the answers that may fail
    least: int = 100  # answers in the long time; of fewer, one is not yet a share


@dataclass(frozen=True, slots=True)
class Absent:
    """1 while no API process reports, else 0."""


type Measure = Level | Growth | Tail | Burn | Absent


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRule:
    """One rule."""

    name: str
    severity: AlertSeverity
    measure: Measure
    threshold: float = 0.0
    for_seconds: float  # how long it has to hold before it fires, and not to hold before it is resolved
    message: str  # `{value}` and `{threshold}` stand for numbers

    def said(self, value: float) -> str:
        """Return the message, given the value."""
        return self.message.format(value=f"{value:.3g}", threshold=f"{self.threshold:g}")


_WARNING, _CRITICAL = AlertSeverity

RULES: Final[tuple[AlertRule, ...]] = (
    AlertRule(
        name="ErrorsBurnFast",
        severity=_CRITICAL,
        measure=Burn(3_600, 300),
        threshold=14.4,  # 2 % of what is allowed in 30 days is used up in an hour
        for_seconds=60,
        message="Errors come {value} times as fast as 99.9 % allows, for an hour and now.",
    ),
    AlertRule(
        name="ErrorsBurnSlowly",
        severity=_WARNING,
        measure=Burn(21_600, 1_800),
        threshold=6,  # 5 % in six hours
        for_seconds=60,
        message="Errors come {value} times as fast as 99.9 % allows, for six hours and now.",
    ),
    AlertRule(
        name="AnswersSlow",
        severity=_WARNING,
        measure=Tail("answered_ms", 300),
        threshold=1,
        for_seconds=120,
        message="One answer in a hundred takes {value} s or longer; {threshold} s is too long.",
    ),
    AlertRule(
        name="DeliveriesSlow",
        severity=_WARNING,
        measure=Tail("delivered_ms", 300),
        threshold=2,
        for_seconds=120,
        message="One update in a hundred takes {value} s or longer from its commit to subscribers; {threshold} s is "
        "too long.",
    ),
    AlertRule(
        name="JobsBehind",
        severity=_WARNING,
        measure=Level("consumer_lag"),
        threshold=1_000,
        for_seconds=300,
        message="{value} events wait for jobs; {threshold} are too many.",
    ),
    AlertRule(
        name="OutboxOld",
        severity=_WARNING,
        measure=Level("outbox_oldest_seconds"),
        threshold=60,
        for_seconds=60,
        message="The oldest entry has been waiting for Kafka for {value} s; {threshold} s is too long.",
    ),
    AlertRule(
        name="DeadLetters",
        severity=_WARNING,
        measure=Level("dead_letters"),
        for_seconds=0,
        message="{value} events could not be taken by a job and wait for somebody.",
    ),
    AlertRule(
        name="LoopLate",
        severity=_WARNING,
        measure=Level("loop_lag_seconds"),
        threshold=0.25,
        for_seconds=60,
        message="An event loop is {value} s late; {threshold} s is too much.",
    ),
    AlertRule(
        name="MongodbDown",
        severity=_CRITICAL,
        measure=Level("mongodb_down"),
        for_seconds=30,
        message="MongoDB does not answer {value} of the processes.",
    ),
    AlertRule(
        name="RedisDown",
        severity=_CRITICAL,
        measure=Level("redis_down"),
        for_seconds=30,
        message="Redis does not answer {value} of the processes.",
    ),
    AlertRule(
        name="KafkaDown",
        severity=_WARNING,
        measure=Level("kafka_down"),
        for_seconds=30,
        message="Kafka does not answer {value} of the processes.",
    ),
    AlertRule(
        name="ApiDown",
        severity=_CRITICAL,
        measure=Absent(),
        for_seconds=30,
        message="There is no API process.",
    ),
    AlertRule(
        name="CanaryFailing",
        severity=_CRITICAL,
        measure=Level("canary_down"),
        for_seconds=15,
        message="What the canary sends is lost, doubled or refused.",
    ),
    AlertRule(
        name="RefreshTokenReused",
        severity=_WARNING,
        measure=Growth("token_reused", 300),
        for_seconds=0,
        message="{value} refresh tokens were shown again in five minutes; each may be a stolen one.",
    ),
    AlertRule(
        name="FsckFindings",
        severity=_CRITICAL,
        measure=Level("fsck_violations"),
        for_seconds=0,
        message="{value} violations were found in what is stored.",
    ),
)

_NUMBER = r"\d{1,9}(?:\.\d{1,6})?"
_ENTRY: Final = re.compile(rf"(?P<name>[A-Za-z]{{1,40}})=(?:off|(?P<threshold>{_NUMBER})(?:/(?P<seconds>{_NUMBER}))?)")


def parsed(text: object) -> object:
    """Return the rules of a setting's text: changes such as `OutboxOld=120, JobsBehind=5000/600, LoopLate=off`.

    Raises:
        ValueError: an entry is none, or names no rule.
    """
    if not isinstance(text, str):
        return text
    rules, named = {rule.name: rule for rule in RULES}, set[str]()
    for entry in filter(None, map(str.strip, text.split(","))):
        found = _ENTRY.fullmatch(entry)
        if found is None:
            raise ValueError(f"{entry!r} is not `Rule=threshold`, `Rule=threshold/seconds` or `Rule=off`")
        rule = rules.pop(found["name"], None)
        if rule is None or rule.name in named:
            raise ValueError(f"there is no rule {found['name']}, or it is named twice")
        named.add(rule.name)
        if found["threshold"] is not None:
            seconds = rule.for_seconds if found["seconds"] is None else float(found["seconds"])
            rules[rule.name] = replace(rule, threshold=float(found["threshold"]), for_seconds=seconds)
    return tuple(rules[rule.name] for rule in RULES if rule.name in rules)
