"""What the benchmarks have in common after the measuring: medians, tables, and the lines of JSON in `results/`."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from tests.bench import machine

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

RESULTS = Path(__file__).parent / "results"
FAULTS = frozenset({"lost", "doubled", "disordered", "strange"})  # one run with some is not made good by two without

type Json = dict[str, Any]


def medians[Run: DataclassInstance](runs: Sequence[Run]) -> Run:
    """Return a run with the median of each figure, and the worst of each fault."""
    figures: dict[str, float] = {}
    for name in (field.name for field in fields(runs[0])):
        values = [getattr(run, name) for run in runs]
        if isinstance(values[0], (int, float)):
            figures[name] = max(values) if name in FAULTS else median(values)
    return replace(runs[0], **figures)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown; all but the first column are figures."""
    rule = f"|---|{'---:|' * (len(head) - 1)}"
    first, *others = (f"| {' | '.join(line)} |" for line in (head, *rows))
    return "\n".join((first, rule, *others))


def keep(bench: str, content: Json) -> None:
    """Print a line of JSON, and put it at the end of the bench's file."""
    line = json.dumps({"bench": bench, "machine": machine.facts(), **content})
    print(line)
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / f"{bench}.jsonl").open("a") as file:
        file.write(line + "\n")


def newest(bench: str) -> Json:
    """Return what the last line says."""
    content: Json = json.loads((RESULTS / f"{bench}.jsonl").read_text().splitlines()[-1])
    return content
