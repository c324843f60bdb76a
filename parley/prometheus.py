"""The alert rules as Prometheus reads them, and two that only it can judge by."""

import json
from collections.abc import Iterable, Iterator
from typing import Final

from parley.exposition import COMPONENT, COUNTERS, GAUGES, HISTOGRAMS
from services.alert_rules import Absent, AlertRule, AlertSeverity, Burn, Growth, Level, Tail
from services.alerting import ANSWERED, FAILED
from services.health import DOWN
from services.meter import LARGEST, Name

API_JOB: Final = "parley-api"  # what prometheus.yml calls them
WORKER_JOB: Final = "parley-worker"

# Each: name, severity, expression, for how many seconds, what is said.
_ITS_OWN: Final = (
    (
        "ProcessDown",
        AlertSeverity.WARNING,
        f'up{{job=~"{API_JOB}|{WORKER_JOB}"}} == 0',
        60,
        "{{ $labels.instance }} does not answer.",
    ),
    (
        "WorkersDown",
        AlertSeverity.CRITICAL,
        f'absent(up{{job="{WORKER_JOB}"}} == 1)',
        60,
        "There is no worker: Parley itself judges by no rule.",
    ),
)


def rules_text(rules: Iterable[AlertRule]) -> str:
    """Return a file of rules."""
    lines = ["# Made by `parley alert-rules`; docs/alerts.md says what each one means.", "groups:"]
    lines += ["  - name: parley", "    rules:"]
    for rule in rules:
        said = rule.message.format(value='{{ printf "%.3g" $value }}', threshold=f"{rule.threshold:g}")
        lines += _rule(rule.name, rule.severity, _holds(rule), rule.for_seconds, said)
    lines += ["  - name: prometheus", "    rules:"]
    for name, severity, expression, seconds, said in _ITS_OWN:
        lines += _rule(name, severity, expression, seconds, said)
    return "\n".join(lines) + "\n"


def _rule(name: str, severity: AlertSeverity, expression: str, seconds: float, said: str) -> Iterator[str]:
    yield f"      - alert: {name}"
    yield f"        expr: {json.dumps(expression)}"
    if seconds:
        yield f"        for: {_duration(seconds)}"
        yield f"        keep_firing_for: {_duration(seconds)}"
    yield f"        labels: {{severity: {severity.lower()}}}"
    yield "        annotations:"
    yield f"          summary: {json.dumps(said)}"
    yield f"          runbook: docs/alerts.md#{name.lower()}"


def _holds(rule: AlertRule) -> str:
    above = f"> {rule.threshold:g}"
    match rule.measure:
        case Level(gauge) if gauge.endswith(DOWN):
            return f'sum(1 - {COMPONENT}{{component="{gauge.removesuffix(DOWN)}"}}) {above}'
        case Level(gauge):
            return f"{'max' if gauge in LARGEST else 'sum'}({GAUGES[gauge][0]}) {above}"
        case Absent():
            return f'absent(up{{job="{API_JOB}"}} == 1)'
        case Growth(count, seconds):
            return f"sum(increase({_counter(count)}[{_duration(seconds)}])) {above}"
        case Tail(times, seconds, least):
            name, span = HISTOGRAMS[times][0], f"[{_duration(seconds)}]"
            return (
                f"(histogram_quantile(0.99, sum by (le) (rate({name}_bucket{span}))) {above})"
                f" and (sum(increase({name}_count{span})) >= {least})"
            )
        case Burn(long_seconds, short_seconds, budget, least):
            failed, answered = _counter(FAILED), _counter(ANSWERED)
            burns = [
                f"(sum(rate({failed}[{span}])) / sum(rate({answered}[{span}])) / {budget:g} {above})"
                for span in map(_duration, (long_seconds, short_seconds))
            ]
            enough = f"(sum(increase({answered}[{_duration(long_seconds)}])) >= {least})"
            return " and ".join([*burns, enough])


def _counter(count: Name) -> str:
    return f"{COUNTERS[count][0]}_total"


def _duration(seconds: float) -> str:
    whole = round(seconds * 1_000)
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1_000)):
        if whole % size == 0:
            return f"{whole // size}{unit}"
    return f"{whole}ms"
