"""What commands share: where the running stack is, MongoDB for a moment, and how they fail."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from services.config import Settings
    from services.mongo import Database

Data = Annotated[Path, typer.Option(help="Directory of all data and keys.")]


def running_on(data: Path) -> dict[str, Any]:
    """Return what `run.json` says; empty where nothing runs."""
    import json

    running: dict[str, Any] = {}
    with suppress(FileNotFoundError):
        running = json.loads((data / "run.json").read_text())
    return running


def settings_of(data: Path, part: str) -> "tuple[Settings, dict[str, Any]]":
    """Return settings for a command that needs one part of Parley, and what `run.json` says, empty where none runs."""
    from pydantic import ValidationError

    from services.config import Settings

    # The embedded stack's settings are complete without a key, and of the parts only one counts here.
    values: dict[str, Any] = {"embedded": True, "data": data, "mongo_url": "", "redis_url": "", "kafka_url": ""}
    del values[f"{part}_url"]  # where nothing runs here, PARLEY_<PART>_URL says it
    running = running_on(data)
    if running:
        values[f"{part}_url"] = running[part]["url"]
    try:
        return Settings.model_validate(values), running
    except ValidationError:
        fail(f"No Parley runs on {data.absolute()}, and PARLEY_{part.upper()}_URL is not set.")


def with_mongo[T](settings: "Settings", work: "Callable[[Database], Awaitable[T]]") -> T:
    """Return what work on the database returns."""
    import asyncio

    from pymongo.errors import PyMongoError

    from services.mongo import Database

    async def run() -> T:
        database = Database(settings)
        try:
            return await work(database)
        finally:
            database.close()

    try:
        return asyncio.run(run())
    except PyMongoError:
        fail("MongoDB does not answer.")


def fail(line: str) -> NoReturn:
    """End the command with a line about what is wrong."""
    typer.echo(f"parley: {line}", err=True)
    raise typer.Exit(1)
