"""Who may do what: every cell of the table in `docs/roles.md`, tried against the API."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.api.test_messages import DELETE, EDIT, PIN, REACT, UNPIN
from tests.clients import ADD, LEAVE, MARK_READ, MUTE, REMOVE, SET_ROLE, UPDATE, Api, Json, Person
from tests.stack_process import StackProcess

READ = "query ($id: ID!) { conversation(id: $id) { id } }"


def table() -> dict[tuple[str, str], str]:
    """Return the cells of the document's table by action and column."""
    text = (Path(__file__).parents[2] / "docs" / "roles.md").read_text()
    header, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in re.findall(r"^\|.*\|$", text, re.MULTILINE)
    ]
    return {(row[0], column): cell for row in rows for column, cell in zip(header[1:], row[1:], strict=True)}


TABLE = table()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """People for all cells: who acts, and on whom."""

    actor: Person
    owner: Person
    moderator: Person
    member: Person
    newcomer: Person


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A conversation in which the actor is what a column says."""

    conversation_id: str
    cast: Cast
    is_direct: bool

    async def mutate(self, query: str, **fields: object) -> str:
        """Return how the actor's mutation was answered, in the table's words."""
        payload = await self.cast.actor.mutate(query, conversationId=self.conversation_id, **fields)
        return outcome(payload)

    async def change(self, query: str, **fields: object) -> str:
        """Return how the actor's change of another owner's message was answered."""
        said = await self.cast.owner.send(self.conversation_id, "hello")
        return outcome(await self.cast.actor.mutate(query, messageId=said["message"]["id"], **fields))

    def user(self, person: Person) -> str:
        """Return whom an action is about: in a DIRECT conversation there is only one other."""
        return (self.cast.owner if self.is_direct else person).id


def outcome(payload: Json) -> str:
    """Return a mutation's answer in the table's words."""
    if not payload["userErrors"]:
        return "yes"
    return {"FORBIDDEN": "no", "NOT_FOUND": "hidden"}[payload["userErrors"][0]["code"]]


async def read(scene: Scene) -> str:
    response = await scene.cast.actor.post(READ, {"id": scene.conversation_id})
    return "hidden" if response["data"]["conversation"] is None else "yes"


async def follow(scene: Scene) -> str:
    async with scene.cast.actor.socket() as socket:
        message = await (await socket.updates(scene.conversation_id)).message()
    if message["type"] == "next":
        return "yes"
    return {"FORBIDDEN": "no", "NOT_FOUND": "hidden"}[message["payload"][0]["extensions"]["code"]]


async def mute(scene: Scene) -> str:
    return await scene.mutate(MUTE, until=(datetime.now(UTC) + timedelta(hours=1)).isoformat())


async def send(scene: Scene) -> str:
    return outcome(await scene.cast.actor.send(scene.conversation_id, "hello"))


async def react(scene: Scene) -> str:
    return await scene.change(REACT, emoji="👍")


async def pin(scene: Scene) -> str:
    done = [await scene.change(mutation) for mutation in (PIN, UNPIN)]
    assert done[0] == done[1]
    return done[0]


async def edit_somebody_else_s(scene: Scene) -> str:
    return await scene.change(EDIT, body="not what was said")


async def delete_somebody_else_s(scene: Scene) -> str:
    return await scene.change(DELETE)


async def mark_read(scene: Scene) -> str:
    return await scene.mutate(MARK_READ, upToSequence=1)


async def change_title(scene: Scene) -> str:
    return await scene.mutate(UPDATE, title="another")


async def archive(scene: Scene) -> str:
    done = [await scene.mutate(UPDATE, archived=archived) for archived in (True, False)]
    assert done[0] == done[1]
    return done[0]


async def add(scene: Scene) -> str:
    return await scene.mutate(ADD, userIds=[scene.cast.newcomer.id])


async def remove_member(scene: Scene) -> str:
    return await scene.mutate(REMOVE, userId=scene.user(scene.cast.member))


async def remove_moderator(scene: Scene) -> str:
    return await scene.mutate(REMOVE, userId=scene.user(scene.cast.moderator))


async def remove_owner(scene: Scene) -> str:
    return await scene.mutate(REMOVE, userId=scene.cast.owner.id)


async def change_role_of_member(scene: Scene) -> str:
    return await scene.mutate(SET_ROLE, userId=scene.user(scene.cast.member), role="OWNER")


async def change_role_of_owner(scene: Scene) -> str:
    return await scene.mutate(SET_ROLE, userId=scene.cast.owner.id, role="MEMBER")


async def change_own_role(scene: Scene) -> str:
    return await scene.mutate(SET_ROLE, userId=scene.cast.actor.id, role="MODERATOR")


async def leave(scene: Scene) -> str:
    return await scene.mutate(LEAVE)


ACTIONS: dict[str, Callable[[Scene], Awaitable[str]]] = {
    "read the conversation": read,
    "follow it": follow,
    "mute it": mute,
    "mark it as read": mark_read,
    "send": send,
    "react to a message": react,
    "pin a message, and take that back": pin,
    "edit somebody else's message": edit_somebody_else_s,
    "delete somebody else's message": delete_somebody_else_s,
    "change the title": change_title,
    "archive it, and take that back": archive,
    "add somebody": add,
    "remove a MEMBER": remove_member,
    "remove a MODERATOR": remove_moderator,
    "remove an OWNER": remove_owner,
    "change the role of a MEMBER": change_role_of_member,
    "change the role of an OWNER": change_role_of_owner,
    "change one's own role": change_own_role,
    "leave": leave,
}


@pytest.fixture(scope="module")
async def cast(stack: StackProcess) -> AsyncIterator[Cast]:
    async with Api(stack.urls[0]) as api:
        yield Cast(
            actor=await api.register(),
            owner=await api.register(),
            moderator=await api.register(),
            member=await api.register(),
            newcomer=await api.register(),
        )


async def scene_of(cast: Cast, column: str) -> Scene:
    """Return a new conversation in which the actor is what the column says, beside another owner."""
    if column == "DIRECT":
        conversation = await cast.actor.talk(cast.owner, kind="DIRECT")
        return Scene(conversation_id=conversation["id"], cast=cast, is_direct=True)
    kind, _, role = column.partition(" ") if column != "outsider" else ("GROUP", "", "")
    others = [cast.moderator, cast.member, *([cast.actor] if role else [])]
    conversation = await cast.owner.talk(*others, kind=kind)
    for person, wanted in ((cast.moderator, "MODERATOR"), (cast.actor, role)):
        if wanted not in {"", "MEMBER"}:
            payload = await cast.owner.mutate(
                SET_ROLE, conversationId=conversation["id"], userId=person.id, role=wanted
            )
            assert payload["userErrors"] == []
    return Scene(conversation_id=conversation["id"], cast=cast, is_direct=False)


def test_every_action_of_the_table_is_tried() -> None:
    assert {action for action, _ in TABLE} == ACTIONS.keys()


@pytest.mark.parametrize(("action", "column"), TABLE, ids=[f"{action} - {column}" for action, column in TABLE])
async def test_the_table_says_what_the_api_does(cast: Cast, action: str, column: str) -> None:
    scene = await scene_of(cast, column)

    assert await ACTIONS[action](scene) == TABLE[action, column]
