"""Commands that look after what is stored; the page docs/maintenance.md has more."""

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
    for command in (fsck, rebuild, replay, backup, restore):
        app.command()(command)


def fsck(
    conversation: Annotated[str | None, typer.Argument(help="Only this one; all if left out.")] = None,
    data: Data = Path(".parley"),
) -> None:
    """Look whether all logs, and all that follows from them, are as they should be, while Parley runs or not.

    Prints a line of JSON for each violation, and fails if there is one. It mends nothing; how many there are of all
    is noted for alerts. Where no stack runs on the data directory, PARLEY_MONGO_URL says where the logs are.
    """
    from services.fsck import Fsck
    from services.fsck_watch import note

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
        await note(database, count)
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


class Show(StrEnum):
    """What can be seen as it was."""

    CONVERSATION = "conversation"
    MEMBERS = "members"
    MESSAGES = "messages"


def replay(
    conversation: Annotated[str, typer.Argument(help="The conversation's id.")],
    until: Annotated[int, typer.Option(min=1, help="The sequence of the last entry that counts.")],
    show: Annotated[Show, typer.Option(help="What is printed.")] = Show.CONVERSATION,
    unread: Annotated[str | None, typer.Option(help="Print what the user with this id had not read instead.")] = None,
    data: Data = Path(".parley"),
) -> None:
    """Print what a conversation was right after one of its entries, as lines of JSON; nothing is written.

    Words that were deleted later are gone for good, and read markers are those of now. Where no stack runs on the data
    directory, PARLEY_MONGO_URL says where the logs are.
    """
    from services.replay import Replay

    async def run(database: "Database") -> bool:
        past = Replay(database, conversation, until)
        metadata = await past.conversation()
        if metadata is None:
            return False
        if unread is not None:
            found = await past.unread(unread)
            typer.echo(_json(found))
        elif show is Show.CONVERSATION:
            typer.echo(_json(metadata))
        else:
            async for document in past.members() if show is Show.MEMBERS else past.messages():
                typer.echo(_json(document))
        return True

    if not with_mongo(settings_of(data, "mongo")[0], run):
        fail(f"There is no entry {until} of {conversation}.")


def backup(
    file: Annotated[Path, typer.Argument(help="Where it is written.")],
    data: Data = Path(".parley"),
) -> None:
    """Write all that cannot be made from something else to a file, while Parley runs or not.

    It has every message that was acknowledged before it began. Keys are not in it. Where no stack runs on the data
    directory, PARLEY_MONGO_URL says what is backed up.
    """
    from services.backup import back_up

    settings = settings_of(data, "mongo")[0]
    try:
        summary = with_mongo(settings, lambda database: back_up(database, file))
    except OSError as error:
        fail(f"{file} cannot be written: {error.strerror}")
    typer.echo(f"{summary.conversations} conversations, {summary.documents} documents")


def restore(
    file: Annotated[Path, typer.Argument(help="A file that `parley backup` has written.")],
    data: Data = Path(".parley"),
) -> None:
    """Restore a backup into an empty database, before any API or worker starts; `parley stack` runs an embedded one.

    Clients that come back with what they had before read anew. Where no stack runs on the data directory,
    PARLEY_MONGO_URL says where the database is.
    """
    from services.backup import BackupError
    from services.backup import restore as restore_all

    settings, stack = settings_of(data, "mongo")
    if stack.get("api") or stack.get("workers"):
        fail("An API or a worker runs there; stop it first, and run `parley stack` alone.")
    try:
        summary = with_mongo(settings, lambda database: restore_all(database, file))
    except BackupError as error:
        fail(str(error))
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}")
    typer.echo(f"{summary.conversations} conversations, {summary.documents} documents")


def _json(document: object) -> str:
    import orjson

    return orjson.dumps(document, option=orjson.OPT_UTC_Z).decode()


def _print(violation: "Violation") -> None:
    typer.echo(
        _json(
            {
                "code": violation.code,
                "conversation": violation.conversation_id,
                "id": violation.id,
                "detail": violation.detail,
            }
        )
    )
