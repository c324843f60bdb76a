"""The commands about people: their accounts, and what was done to these. What one needs is imported when it runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from parley.commands import Data, fail, running_on, settings_of, with_mongo

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from services.accounts import Accounts
    from services.audit import AuditEvent
    from services.mongo import Database

user = typer.Typer(help="Accounts.", no_args_is_help=True)


@user.command()
def reset_link(
    handle: Annotated[str, typer.Argument(help="Whose password is lost.")],
    data: Data = Path(".parley"),
    url: Annotated[str | None, typer.Option(help="Address of the API; that of the running stack if left out.")] = None,
) -> None:
    """Print a one-time link that sets a new password, good for an hour; the last line is its token alone.

    Where no stack runs on the data directory, PARLEY_MONGO_URL says where the accounts are.
    """
    from services.audit import Audit, AuditEventKind
    from services.clock import now
    from services.resets import Resets
    from services.users import Users

    settings, running = settings_of(data, "mongo")
    url = url or next((api["url"] for api in running.get("api", ())), "http://127.0.0.1:8000")

    async def make(database: "Database") -> str | None:
        found = await Users(database).by_handle(handle)
        if found is None:
            return None
        token = await Resets(database).create(found.id, now())
        await Audit(database).record(AuditEventKind.RESET_LINK_CREATED, subject_id=found.id)
        return token

    token = with_mongo(settings, make)
    if token is None:
        _no_account(handle)
    typer.echo(f"{url.rstrip('/')}/reset?token={token}\n{token}")


@user.command()
def promote(
    handle: Annotated[str, typer.Argument(help="Who gets the role.")],
    role: Annotated[Literal["USER", "OPERATOR", "ADMIN"], typer.Argument(case_sensitive=False, help="The role.")],
    data: Data = Path(".parley"),
) -> None:
    """Give an account a role in place of the one that it has; its tokens show it from their next renewal on."""
    from services.users import Role

    _change_account(data, handle, lambda accounts: accounts.promote(handle, Role(role)))
    typer.echo(f"{handle} is {role}")


@user.command()
def suspend(handle: Annotated[str, typer.Argument(help="Who is suspended.")], data: Data = Path(".parley")) -> None:
    """Suspend an account: its sessions end, nobody can sign in to it, and it cannot send."""
    from services.clock import now

    _change_account(data, handle, lambda accounts: accounts.suspend(handle, now()))
    typer.echo(f"{handle} is suspended")


@user.command()
def restore(
    handle: Annotated[str, typer.Argument(help="Whose suspension ends.")], data: Data = Path(".parley")
) -> None:
    """End an account's suspension; its user signs in anew."""
    _change_account(data, handle, lambda accounts: accounts.restore(handle))
    typer.echo(f"{handle} is restored")


@user.command()
def export(
    handle: Annotated[str, typer.Argument(help="Whose data it is.")],
    out: Annotated[Path | None, typer.Option(help="A new file to write; standard output if left out.")] = None,
    data: Data = Path(".parley"),
) -> None:
    """Write all that is held of a person: a JSON object a line, each with its `kind`, the profile first."""
    import sys
    from contextlib import nullcontext

    import orjson

    from services.export import Export
    from services.users import Users

    settings, _ = settings_of(data, "mongo")

    async def write(database: "Database") -> bool:
        found = await Users(database).by_handle(handle)
        if found is None:
            return False
        with nullcontext(sys.stdout.buffer) if out is None else out.open("xb") as file:
            async for item in Export(database).of(found):
                file.write(orjson.dumps(item, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE))
        return True

    try:
        if not with_mongo(settings, write):
            _no_account(handle)
    except OSError as error:
        fail(f"{out} cannot be written: {error.strerror}.")


@user.command()
def erase(
    name: Annotated[str, typer.Argument(metavar="HANDLE", help="Whose account it is; a user's id will do as well.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data: Data = Path(".parley"),
) -> None:
    """Erase a person for good: their messages become tombstones, their account "Deleted user", all else of them goes.

    Where it stopped midway, the same command goes on. Where no stack runs on the data directory, PARLEY_… variables say
    where all is, as for an API process.
    """
    import asyncio

    from pydantic import ValidationError
    from pymongo.errors import PyMongoError

    from services.clock import now
    from services.config import Settings
    from services.erasure import Erased
    from services.errors import ChatError
    from services.services import open_services

    running = running_on(data)
    urls = {f"{part}_url": running[part]["url"] for part in ("mongo", "redis", "kafka")} if running else {}
    try:
        settings = Settings.model_validate({"embedded": True, "data": data, **urls} if running else {})
    except ValidationError:
        fail(f"No Parley runs on {data.absolute()}, and PARLEY_MONGO_URL, _REDIS_URL and _KAFKA_URL are not all set.")
    if not yes:
        typer.confirm(f"Erase {name} for good?", abort=True)

    async def run() -> Erased | str | None:
        async with open_services(settings) as services:
            user_id = await services.erasures.find(name)
            return await services.erasures.erase(user_id, now()) if user_id else user_id

    try:
        erased = asyncio.run(run())
    except (ChatError, PyMongoError) as error:
        fail(f"Not all is done: {type(error).__name__}. Run it again: it goes on.")
    if erased is None:
        _no_account(name)
    if isinstance(erased, str):
        typer.echo(f"{name} was erased before")
        return
    typer.echo(
        f"{erased.user_id} is erased: {erased.messages} messages and {erased.reactions} reactions "
        f"in {erased.conversations} conversations"
    )


def audit(
    of: Annotated[str | None, typer.Option("--user", help="Only what this handle, or user's id, is in.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only events of this kind, as SIGNED_IN.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many of the newest.")] = 100,
    data: Data = Path(".parley"),
) -> None:
    """Print what was done to accounts and sessions, a JSON object a line, the newest last."""
    import orjson

    from services.audit import Audit, AuditEventKind
    from services.users import Users

    try:
        wanted = None if kind is None else AuditEventKind(kind.upper())
    except ValueError:
        fail(f"There is no kind {kind!r}; there are {', '.join(AuditEventKind)}.")
    settings, _ = settings_of(data, "mongo")

    async def read(database: "Database") -> "list[AuditEvent] | None":
        user_id = of
        if of is not None and not of.startswith("usr_"):
            found = await Users(database).by_handle(of)
            if found is None:
                return None
            user_id = found.id
        return await Audit(database).newest(limit, kind=wanted, user_id=user_id)

    events = with_mongo(settings, read)
    if events is None:
        assert of is not None  # nobody else is looked for
        _no_account(of)
    for event in reversed(events):
        typer.echo(orjson.dumps(event.model_dump(exclude_none=True), option=orjson.OPT_UTC_Z))


def _change_account(data: Path, handle: str, change: "Callable[[Accounts], Awaitable[bool]]") -> None:
    from services.accounts import Accounts

    settings, _ = settings_of(data, "mongo")
    if not with_mongo(settings, lambda database: change(Accounts(database))):
        _no_account(handle)


def _no_account(handle: str) -> NoReturn:
    fail(f"Nobody has the handle {handle!r}.")
