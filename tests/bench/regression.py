"""Compares two sets of results, of a base and of a change: `python -m tests.bench.regression BASE CHANGE`.

Each is a `results/` of runs that took turns on one machine. Prints a table in Markdown, and ends with 1 where something
became dearer by more than noise, or anything was lost. Only CPU time counts: on shared machines latency and throughput
say more of the neighbours than of Parley.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.bench import results

NOISE = 0.10  # medians of three runs of the same code differ by 4 to 6 % on a shared machine


@dataclass(frozen=True, slots=True)
class Change:
    """A figure before and after, in microseconds of CPU time."""

    name: str
    before: float
    after: float

    @property
    def share(self) -> float:
        """By how much it became dearer, as a share of what it was."""
        return self.after / self.before - 1

    @property
    def is_worse(self) -> bool:
        return self.share > NOISE


def figures(directory: Path) -> dict[str, float]:
    """Return the median of each figure over all runs that a directory has.

    Raises:
        ValueError: a run lost something.
    """
    found: dict[str, list[float]] = {}
    for name, value in _every(directory):
        found.setdefault(name, []).append(value)
    return {name: median(values) for name, values in found.items()}


def _every(directory: Path) -> Iterator[tuple[str, float]]:
    for line in _lines(directory / "send.jsonl"):
        for run in line["runs"]:
            yield f"a send to one of {run['conversations']} conversations", run["cpu_us"]["api"]
    for line in _lines(directory / "fanout.jsonl"):
        for run in line["medians"]:
            if any(run[fault] for fault in results.FAULTS):
                raise ValueError(f"{directory}: a run of {run['subscribers']} subscribers has faults: {run}")
            if run["server"] == "parley":
                yield f"a delivery to one of {run['subscribers']} subscribers", run["cpu_us"]


def _lines(file: Path) -> list[results.Json]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def compare(base: Path, change: Path) -> list[Change]:
    """Return what both have.

    Raises:
        ValueError: they have nothing in common, or a run lost something.
    """
    before, after = figures(base), figures(change)
    found = [Change(name, before[name], after[name]) for name in before if name in after]
    if not found:
        raise ValueError("there is nothing to compare")
    return found


def report(changes: list[Change]) -> str:
    """Return a table of them."""
    rows = (
        (each.name, f"{each.before:,.1f}", f"{each.after:,.1f}", f"{each.share:+.1%}{' dearer' * each.is_worse}")
        for each in changes
    )
    return results.table(("CPU µs of the API for", "base", "change", "by"), rows)


def main(base: str, change: str) -> int:
    """Print the comparison; return the status that the command ends with."""
    changes = compare(Path(base), Path(change))
    print(report(changes))
    return int(any(each.is_worse for each in changes))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
