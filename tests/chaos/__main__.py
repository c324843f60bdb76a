"""`python -m tests.chaos`: break everything while people talk, and judge what they saw."""

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from tests.chaos import campaign, page
from tests.chaos.schedule import KINDS

REPORTS = Path(".parley") / "chaos"


def main(  # noqa: PLR0917  # options, which nobody gives by position
    seed: Annotated[int, typer.Option(help="What decides the plan of faults.")] = 1,
    faults: Annotated[int, typer.Option(min=0, help="How many; 0 for none.")] = 20,
    seconds: Annotated[float, typer.Option(min=1, help="How long people talk.")] = 240.0,
    clients: Annotated[int, typer.Option(min=4, help="People.")] = 200,
    rooms: Annotated[int, typer.Option(min=1, help="Conversations.")] = 12,
    rate: Annotated[float, typer.Option(min=0.1, help="Messages a second, as far as answers come.")] = 30.0,
    kind: Annotated[list[str] | None, typer.Option(help="Only faults of this kind; repeat it.")] = None,
    quick: Annotated[bool, typer.Option(help="Judge neither presence nor what jobs did.")] = False,
    soak: Annotated[float, typer.Option(min=0, help="Seconds of silence afterwards, to see what is left.")] = 0.0,
    report: Annotated[Path, typer.Option(help="Directory of the reports.")] = REPORTS,
) -> None:
    """Run three API processes and two workers, break them by a plan, and judge what everybody saw."""
    if unknown := set(kind or ()) - set(KINDS):
        raise typer.BadParameter(f"no such kind: {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
    wish = campaign.Wish(
        seed=seed,
        faults=faults,
        seconds=seconds,
        clients=clients,
        rooms=rooms,
        rate=rate,
        kinds=tuple(kind or KINDS),
        is_quick=quick,
        idle_seconds=soak,
    )
    data = Path(tempfile.mkdtemp(prefix="parley-chaos-"))
    outcome = uvloop.run(campaign.run(wish, data, _say))
    into = report / f"seed-{seed}"
    campaign.save(outcome, into)
    (into / "report.html").write_text(page.page(outcome))
    print(f"\n{page.verdict(outcome)}\n{into / 'report.html'}")
    if outcome.is_good:
        shutil.rmtree(data)
    else:
        print(f"the processes' logs: {data / 'logs'}")
    sys.exit(0 if outcome.is_good else 1)


def _say(line: str) -> None:
    """Show how far it is: over the last line where somebody watches, else now and then."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
    else:
        print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    typer.run(main)
