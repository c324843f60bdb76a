"""The command `parley`. What a command needs is imported when it runs: `parley --version` waits for nothing."""

from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from parley.stack.stack import Urls
    from services.config import Settings

app = typer.Typer(
    help="A chat backend with a GraphQL API.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

user = typer.Typer(help="Accounts.", no_args_is_help=True)
app.add_typer(user, name="user")
bench = typer.Typer(help="Measurements, each on a stack of its own.", no_args_is_help=True)
app.add_typer(bench, name="bench")

Data = Annotated[Path, typer.Option(help="Directory of all data and keys.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"parley {version('parley-chat')}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


@app.command()
def up(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the first API process.")] = 8000,
    data: Data = Path(".parley"),
    replicas: Annotated[int, typer.Option(min=1, help="API processes, on the port and those after it.")] = 1,
) -> None:
    """Run everything on this machine: the embedded servers and the API."""

    def show(urls: "Urls") -> None:
        first, *others = urls.apis
        lines = [
            ("API and GraphiQL", f"{first}/graphql"),
            *(("Replica", f"{url}/graphql") for url in others),
            ("Health", f"{first}/health"),
            ("MongoDB", urls.mongo),
            ("Redis", urls.redis),
            ("Data", str(data.absolute())),
        ]
        typer.echo("\n".join(f"{name:18}{value}" for name, value in lines) + "\n\nCtrl-C stops everything.")

    _run_stack(data, port=port, replicas=replicas, ready=show)


@app.command()
def stack(data: Data = Path(".parley")) -> None:
    """Run the embedded servers alone; print their URLs."""

    def show(urls: "Urls") -> None:
        typer.echo(f"PARLEY_MONGO_URL={urls.mongo}\nPARLEY_REDIS_URL={urls.redis}")

    _run_stack(data, port=0, replicas=0, ready=show)


@app.command()
def api(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
) -> None:
    """Run one API process, set up by PARLEY_… variables."""
    from parley.server import serve
    from services.config import Settings

    serve(Settings.model_validate({}), host=host, port=port)


@app.command()
def schema() -> None:
    """Print the GraphQL schema."""
    from schema.api import sdl

    typer.echo(sdl(), nl=False)


@bench.callback()
def _measurements() -> None:
    pass  # with it, a single command keeps its name


@bench.command()
def send(
    messages: Annotated[int, typer.Option(min=100, help="Messages in each run.")] = 4_000,
    conversations: Annotated[list[int] | None, typer.Option(min=1, help="Conversations of a run; repeat it.")] = None,
    at_once: Annotated[int, typer.Option(min=1, help="Sends under way at any time.")] = 64,
) -> None:
    """Measure sending: acknowledgements per second, latency, and CPU a message by part."""
    try:
        from tests.bench.send import main as measure
    except ModuleNotFoundError:
        _fail("The benchmarks come with a checkout and its development packages.")
    measure(messages, conversations or [1, 20], at_once)


@user.command()
def reset_link(
    handle: Annotated[str, typer.Argument(help="Whose password is lost.")],
    data: Data = Path(".parley"),
    url: Annotated[str | None, typer.Option(help="Address of the API; that of the running stack if left out.")] = None,
) -> None:
    """Print a one-time link that sets a new password, good for an hour; the last line is its token alone.

    Where no stack runs on the data directory, PARLEY_MONGO_URL says where the accounts are.
    """
    import asyncio
    import json

    from pydantic import ValidationError
    from pymongo.errors import PyMongoError

    from services.config import Settings

    # Of all settings only MongoDB's count here, and the embedded stack's are complete without a key.
    values: dict[str, object] = {"embedded": True, "data": data, "redis_url": ""}
    try:
        running = json.loads((data / "run.json").read_text())
        values["mongo_url"] = running["mongo"]["url"]
        url = url or next((api["url"] for api in running["api"]), None)
    except FileNotFoundError:
        pass
    try:
        token = asyncio.run(_reset_token(Settings.model_validate(values), handle))
    except ValidationError:
        _fail(f"No Parley runs on {data.absolute()}, and PARLEY_MONGO_URL is not set.")
    except PyMongoError:
        _fail("MongoDB does not answer.")
    if token is None:
        _fail(f"Nobody has the handle {handle!r}.")
    typer.echo(f"{(url or 'http://127.0.0.1:8000').rstrip('/')}/reset?token={token}\n{token}")


async def _reset_token(settings: "Settings", handle: str) -> str | None:
    """Return a new reset token for whoever has the handle, or None where nobody has it."""
    from services.clock import now
    from services.mongo import open_client, open_database
    from services.resets import Resets
    from services.users import Users

    client = open_client(settings)
    try:
        database = open_database(client, settings)
        found = await Users(database).by_handle(handle)
        return None if found is None else await Resets(database).create(found.id, now())
    finally:
        client.close()


def _fail(line: str) -> NoReturn:
    typer.echo(f"parley: {line}", err=True)
    raise typer.Exit(1)


def _run_stack(data: Path, *, port: int, replicas: int, ready: "Callable[[Urls], None]") -> None:
    from parley.stack.stack import run
    from parley.stack.supervisor import StartError

    def say(line: str) -> None:
        with suppress(OSError):  # nobody listens any more
            typer.echo(f"parley: {line}", err=True)

    try:
        run(data.absolute(), port=port, replicas=replicas, ready=ready, say=say)
    except StartError as error:
        _fail(str(error))


def main() -> None:
    """Run the command line."""
    app()
