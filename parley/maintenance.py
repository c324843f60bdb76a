"""Commands that look after what is stored: `fsck`, `rebuild`. The page docs/maintenance.md has more."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from parley.commands import Data, fail, settings_of, with_mongo

if TYPE_CHECKING:
    from services.fsck import Violation
    from services.mongo import Database


class What(StrEnum):
    """What can be made anew."""

    PROJECTIONS = "projections"
    KAFKA = "kafka"


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (fsck, rebuild):
        app.command()(command)


def fsck(
    conversation: Annotated[str | None, typer.Argument(help="Only this one; all if left out.")] = None,
    data: Data = Path(".parley"),
) -> None:
    """Look whether all logs, and all that follows from them, are as they should be, while Parley runs or not.

    Prints a line of JSON for each violation, and fails if there is one. It writes nothing. Where no stack runs on the
    data directory, PARLEY_MONGO_URL says where the logs are.
    """
    from services.fsck import Fsck

    async def look(database: "Database") -> int:
        fsck_, count = Fsck(database), 0
        if conversation is not None:
            for violation in await fsck_.conversation(conversation):
                _print(violation)
                count += 1
            return count
        async for violation in fsck_.sweep():
            _print(violation)
            count += 1
        return count

    count = with_mongo(settings_of(data, "mongo")[0], look)
    if count:
        fail(f"{count} violations")
    typer.echo("parley: all is as it should be", err=True)


def rebuild(
    what: Annotated[What, typer.Argument(help="What is made anew.")] = What.PROJECTIONS, data: Data = Path(".parley")
) -> None:
    """Make anew from the logs what follows from them, while Parley runs or not.

    `projections`: conversations, members, inboxes, what became of messages, search, and who wrote how much. What only
    people can mend is printed as `fsck` prints it. `kafka`: a worker sends all events of their retention time again.
    Where no stack runs on the data directory, PARLEY_MONGO_URL says where the logs are.
    """
    from services.migration import make_indexes
    from services.rebuild import Rebuild, refill_kafka

    settings = settings_of(data, "mongo")[0]
    if what is What.KAFKA:
        with_mongo(settings, refill_kafka)
        typer.echo("a worker sends all events again")
        return

    async def build(database: "Database") -> tuple[int, int]:
        await make_indexes(database)
        building = Rebuild(database)
        left = await building.all()
        for violation in left:
            _print(violation)
        return building.written, len(left)

    written, left = with_mongo(settings, build)
    typer.echo(f"{written} documents written", err=True)
    if left:
        fail(f"{left} violations are left")


def _print(violation: "Violation") -> None:
    typer.echo(
        json.dumps(
            {
                "code": violation.code,
                "conversation": violation.conversation_id,
                "id": violation.id,
                "detail": violation.detail,
            },
            ensure_ascii=False,
        )
    )
