"""`python -m tests.chaos.mutation [NAME…]`: plant each mistake into a Parley, and see whether the checker finds it."""

import json
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

import uvloop

from tests.chaos import campaign
from tests.chaos.__main__ import REPORTS
from tests.chaos.mutants import MUTANTS

FAR_SECONDS = 0.05


async def found(name: str, directory: Path) -> Counter[str]:
    """Return the violations of a short run with this mistake, by kind."""
    mutant = MUTANTS[name]
    wish = campaign.Wish(
        seed=1,
        faults=0 if not mutant.faults else 1 if mutant.is_calm else 4,
        seconds=15.0,
        clients=16,
        rooms=8 if mutant.is_calm else 2,
        rate=3.0 if mutant.is_calm else 10.0,
        kinds=mutant.faults or ("kill api",),
        mutant=name,
        far_redis_seconds=FAR_SECONDS if mutant.needs_far_redis else 0.0,
        is_quick=True,
    )
    outcome = await campaign.run(wish, directory, lambda _: None)
    return Counter(violation.kind for violation in outcome.report.violations)


def main() -> None:
    """Try the mutants that are named, or all."""
    results: dict[str, dict[str, int]] = {}
    for name in sys.argv[1:] or MUTANTS:
        data = Path(tempfile.mkdtemp(prefix="parley-mutant-"))
        kinds = uvloop.run(found(name, data))
        shutil.rmtree(data)
        results[name] = dict(kinds)
        is_caught = bool(MUTANTS[name].breaks & kinds.keys())
        print(f"{name:24}{'caught' if is_caught else 'MISSED':8}{dict(kinds)}", flush=True)
    REPORTS.mkdir(parents=True, exist_ok=True)
    (REPORTS / "mutants.json").write_text(json.dumps(results, indent=2))
    missed = [name for name, kinds in results.items() if not MUTANTS[name].breaks & kinds.keys()]
    sys.exit(f"missed: {', '.join(missed)}" if missed else 0)


if __name__ == "__main__":
    main()
