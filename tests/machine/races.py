"""Pairs of calls that are in each other's way: what both are answered, and what the log then has, in either order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.api.test_messages import DELETE, EDIT, PIN, REACT, SEND, UNPIN, UNREACT
from tests.clients import ADD, BLOCK, LEAVE, MARK_READ, REMOVE, SET_ROLE, UPDATE, Api, Json, Person
from tests.machine.rules import Message, Refused, Role, Room

UNANSWERED = "nobody knows what came of it"

type Outcome = tuple[str, str, Sequence[str]]  # what the left and the right call are answered, and the log after it


@dataclass(frozen=True, slots=True)
class Scene:
    """Where one round takes place: Ann owns it, Bob and Cleo are in, Dan is not; Bob has said something."""

    people: dict[str, Person]
    conversation_id: str
    message_id: str

    def user(self, name: str) -> str:
        return self.people[name].id


@dataclass(frozen=True, slots=True)
class Call:
    """One mutation, as the API is asked for it and as the rules have it."""

    actor: str
    query: str
    given: Callable[[Scene], Json]
    made: Callable[[Room, Scene, str], object]

    async def ask(self, scene: Scene, api: Api, questions: int = 0) -> str:
        """Make the call, after some questions that only take time; return what was answered."""
        person = scene.people[self.actor].at(api)
        for _ in range(questions):
            await person.post("{ __typename }")
        response = await person.post(self.query, {"input": self.given(scene)})
        if any(error["extensions"].get("retryable") for error in response.get("errors", ())):
            return UNANSWERED  # on a busy machine
        (payload,) = response["data"].values()
        return answer([(error["code"], error["path"][-1]) for error in payload["userErrors"]])

    def apply(self, room: Room, scene: Scene) -> str:
        """Apply it to the rules; return what they answer."""
        try:
            self.made(room, scene, scene.user(self.actor))
        except Refused as refused:
            return answer([(refused.code, refused.part)])
        return answer([])


def answer(errors: list[tuple[str, str]]) -> str:
    return " ".join(f"{code} {part}" for code, part in errors) or "done"


def said(room: Room) -> Message:
    return next(iter(room.messages.values()))


# ---------------------------------------------------------------- the calls


def of_conversation(
    actor: str, query: str, made: Callable[[Room, Scene, str], object], given: Callable[[Scene], Json]
) -> Call:
    return Call(actor, query, lambda scene: {"conversationId": scene.conversation_id, **given(scene)}, made)


def of_message(actor: str, query: str, made: Callable[[Room, str], object], **given: object) -> Call:
    return Call(
        actor,
        query,
        lambda scene: {"messageId": scene.message_id, **given},
        lambda room, _, user_id: made(room, user_id),
    )


def send(actor: str, *, body: str = "news", reply: bool = False) -> Call:
    return of_conversation(
        actor,
        SEND,
        lambda room, _, user_id: room.send(user_id, "new", body, said(room) if reply else None, []),
        lambda scene: {
            "body": body,
            "clientMessageId": "new",
            "replyToId": scene.message_id if reply else None,
        },
    )


def edit(actor: str, body: str, version: int | None = None) -> Call:
    return of_message(
        actor, EDIT, lambda room, user: room.edit(user, said(room), body, version), body=body, expectedVersion=version
    )


def delete(actor: str) -> Call:
    return of_message(actor, DELETE, lambda room, user: room.delete(user, said(room)))


def react(actor: str) -> Call:
    return of_message(actor, REACT, lambda room, user: room.react(user, said(room), "👍"), emoji="👍")


def unreact(actor: str) -> Call:
    return of_message(actor, UNREACT, lambda room, user: room.unreact(user, said(room), "👍"), emoji="👍")


def pin(actor: str) -> Call:
    return of_message(actor, PIN, lambda room, user: room.pin(user, said(room)))


def unpin(actor: str) -> Call:
    return of_message(actor, UNPIN, lambda room, user: room.unpin(user, said(room)))


def add(actor: str, whom: str) -> Call:
    return of_conversation(
        actor,
        ADD,
        lambda room, scene, user: room.add(user, [scene.user(whom)]),
        lambda scene: {"userIds": [scene.user(whom)]},
    )


def remove(actor: str, whom: str) -> Call:
    return of_conversation(
        actor,
        REMOVE,
        lambda room, scene, user: room.remove(user, scene.user(whom)),
        lambda scene: {"userId": scene.user(whom)},
    )


def leave(actor: str) -> Call:
    return of_conversation(actor, LEAVE, lambda room, _, user: room.leave(user), lambda _: {})


def set_role(actor: str, whom: str, role: Role) -> Call:
    return of_conversation(
        actor,
        SET_ROLE,
        lambda room, scene, user: room.set_role(user, scene.user(whom), role),
        lambda scene: {"userId": scene.user(whom), "role": role},
    )


def archive(actor: str, *, archived: bool = True) -> Call:
    return of_conversation(
        actor,
        UPDATE,
        lambda room, _, user: room.change(user, {"archived": archived}),
        lambda _: {"archived": archived},
    )


def entitle(actor: str, title: str) -> Call:
    return of_conversation(
        actor, UPDATE, lambda room, _, user: room.change(user, {"title": title}), lambda _: {"title": title}
    )


def mark_read(actor: str) -> Call:
    return of_conversation(
        actor, MARK_READ, lambda room, _, user: room.mark(user, 2, read=True), lambda _: {"upToSequence": 2}
    )


def block(actor: str, whom: str) -> Call:
    return Call(
        actor,
        BLOCK,
        lambda scene: {"userId": scene.user(whom)},
        lambda room, scene, user: room.block(user, scene.user(whom), blocked=True),
    )


# ---------------------------------------------------------------- the table


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """Two calls, and what comes of them in either order."""

    before: Sequence[Call] = ()  # what is done before, in turn
    left: Call
    right: Call
    left_first: Outcome
    right_first: Outcome

    @property
    def lasts(self) -> bool:
        """Whether something of it outlives its conversation: a block."""
        return BLOCK in {self.left.query, self.right.query}


BOB_OWNS = [set_role("ann", "bob", "OWNER")]
BOB_MODERATES = [set_role("ann", "bob", "MODERATOR")]

RACES = {
    "remove, send": Race(
        left=remove("ann", "bob"),
        right=send("bob"),
        left_first=("done", "NOT_FOUND conversationId", ["ann MemberRemoved"]),
        right_first=("done", "done", ["bob MessageSent", "ann MemberRemoved"]),
    ),
    "leave, send": Race(
        left=leave("bob"),
        right=send("bob"),
        left_first=("done", "NOT_FOUND conversationId", ["bob MemberRemoved"]),
        right_first=("done", "done", ["bob MessageSent", "bob MemberRemoved"]),
    ),
    "send, send of one id with other words": Race(
        left=send("bob", body="one"),
        right=send("bob", body="other"),
        left_first=("done", "CONFLICT clientMessageId", ["bob MessageSent"]),
        right_first=("CONFLICT clientMessageId", "done", ["bob MessageSent"]),
    ),
    "remove, leave": Race(
        left=remove("ann", "bob"),
        right=leave("bob"),
        left_first=("done", "NOT_FOUND conversationId", ["ann MemberRemoved"]),
        right_first=("NOT_FOUND userId", "done", ["bob MemberRemoved"]),
    ),
    "remove, react": Race(
        left=remove("ann", "bob"),
        right=react("bob"),
        left_first=("done", "NOT_FOUND messageId", ["ann MemberRemoved"]),
        right_first=("done", "done", ["bob ReactionAdded", "ann MemberRemoved"]),
    ),
    "remove, edit": Race(
        left=remove("ann", "bob"),
        right=edit("bob", "better"),
        left_first=("done", "NOT_FOUND messageId", ["ann MemberRemoved"]),
        right_first=("done", "done", ["bob MessageEdited", "ann MemberRemoved"]),
    ),
    "remove, mark as read": Race(
        left=remove("ann", "bob"),
        right=mark_read("bob"),
        left_first=("done", "NOT_FOUND conversationId", ["ann MemberRemoved"]),
        right_first=("done", "done", ["ann MemberRemoved"]),
    ),
    "edit, delete": Race(
        left=edit("bob", "better"),
        right=delete("ann"),
        left_first=("done", "done", ["bob MessageEdited", "ann MessageDeleted"]),
        right_first=("FORBIDDEN messageId", "done", ["ann MessageDeleted"]),
    ),
    "edit, edit of one version": Race(
        left=edit("bob", "better", 1),
        right=edit("bob", "best", 1),
        left_first=("done", "CONFLICT expectedVersion", ["bob MessageEdited"]),
        right_first=("CONFLICT expectedVersion", "done", ["bob MessageEdited"]),
    ),
    "edit, edit": Race(
        left=edit("bob", "better"),
        right=edit("bob", "best"),
        left_first=("done", "done", ["bob MessageEdited", "bob MessageEdited"]),
        right_first=("done", "done", ["bob MessageEdited", "bob MessageEdited"]),
    ),
    "the last two owners leave": Race(
        before=BOB_OWNS,
        left=leave("ann"),
        right=leave("bob"),
        left_first=("done", "FORBIDDEN conversationId", ["ann MemberRemoved"]),
        right_first=("FORBIDDEN conversationId", "done", ["bob MemberRemoved"]),
    ),
    "the last two owners step down": Race(
        before=BOB_OWNS,
        left=set_role("ann", "ann", "MEMBER"),
        right=set_role("bob", "bob", "MEMBER"),
        left_first=("done", "FORBIDDEN role", ["ann MemberRoleChanged"]),
        right_first=("FORBIDDEN role", "done", ["bob MemberRoleChanged"]),
    ),
    "two owners demote each other": Race(
        before=BOB_OWNS,
        left=set_role("ann", "bob", "MEMBER"),
        right=set_role("bob", "ann", "MEMBER"),
        left_first=("done", "FORBIDDEN conversationId", ["ann MemberRoleChanged"]),
        right_first=("FORBIDDEN conversationId", "done", ["bob MemberRoleChanged"]),
    ),
    "leave, role": Race(
        left=leave("bob"),
        right=set_role("ann", "bob", "OWNER"),
        left_first=("done", "NOT_FOUND userId", ["bob MemberRemoved"]),
        right_first=("done", "done", ["ann MemberRoleChanged", "bob MemberRemoved"]),
    ),
    "role, delete what another said": Race(
        before=[set_role("ann", "cleo", "MODERATOR")],
        left=set_role("ann", "cleo", "MEMBER"),
        right=delete("cleo"),
        left_first=("done", "FORBIDDEN messageId", ["ann MemberRoleChanged"]),
        right_first=("done", "done", ["cleo MessageDeleted", "ann MemberRoleChanged"]),
    ),
    "role, pin": Race(
        before=BOB_MODERATES,
        left=set_role("ann", "bob", "MEMBER"),
        right=pin("bob"),
        left_first=("done", "FORBIDDEN messageId", ["ann MemberRoleChanged"]),
        right_first=("done", "done", ["bob MessagePinned", "ann MemberRoleChanged"]),
    ),
    "role, remove": Race(
        before=BOB_MODERATES,
        left=set_role("ann", "bob", "MEMBER"),
        right=remove("bob", "cleo"),
        left_first=("done", "FORBIDDEN conversationId", ["ann MemberRoleChanged"]),
        right_first=("done", "done", ["bob MemberRemoved", "ann MemberRoleChanged"]),
    ),
    "add, add": Race(
        before=BOB_MODERATES,
        left=add("ann", "dan"),
        right=add("bob", "dan"),
        left_first=("done", "done", ["ann MemberAdded"]),
        right_first=("done", "done", ["bob MemberAdded"]),
    ),
    "add, remove": Race(
        before=BOB_MODERATES,
        left=add("ann", "dan"),
        right=remove("bob", "dan"),
        left_first=("done", "done", ["ann MemberAdded", "bob MemberRemoved"]),
        right_first=("done", "NOT_FOUND userId", ["ann MemberAdded"]),
    ),
    "block, add": Race(
        left=block("dan", "ann"),
        right=add("ann", "dan"),
        left_first=("done", "NOT_FOUND userIds", []),
        right_first=("done", "done", ["ann MemberAdded"]),
    ),
    "archive, send": Race(
        left=archive("ann"),
        right=send("bob"),
        left_first=("done", "FORBIDDEN conversationId", ["ann ConversationChanged"]),
        right_first=("done", "done", ["bob MessageSent", "ann ConversationChanged"]),
    ),
    "archive, add": Race(
        before=BOB_MODERATES,
        left=archive("ann"),
        right=add("bob", "dan"),
        left_first=("done", "FORBIDDEN conversationId", ["ann ConversationChanged"]),
        right_first=("done", "done", ["bob MemberAdded", "ann ConversationChanged"]),
    ),
    "archive, react": Race(
        left=archive("ann"),
        right=react("bob"),
        left_first=("done", "FORBIDDEN messageId", ["ann ConversationChanged"]),
        right_first=("done", "done", ["bob ReactionAdded", "ann ConversationChanged"]),
    ),
    "archive, take that back": Race(
        before=BOB_MODERATES,
        left=archive("ann"),
        right=archive("bob", archived=False),
        left_first=("done", "done", ["ann ConversationChanged", "bob ConversationChanged"]),
        right_first=("done", "done", ["ann ConversationChanged"]),
    ),
    "title, title": Race(
        before=BOB_MODERATES,
        left=entitle("ann", "Engines"),
        right=entitle("bob", "Plans"),
        left_first=("done", "done", ["ann ConversationChanged", "bob ConversationChanged"]),
        right_first=("done", "done", ["bob ConversationChanged", "ann ConversationChanged"]),
    ),
    "pin, unpin": Race(
        before=BOB_MODERATES,
        left=pin("ann"),
        right=unpin("bob"),
        left_first=("done", "done", ["ann MessagePinned", "bob MessageUnpinned"]),
        right_first=("done", "done", ["ann MessagePinned"]),
    ),
    "react, unreact": Race(
        left=react("cleo"),
        right=unreact("cleo"),
        left_first=("done", "done", ["cleo ReactionAdded", "cleo ReactionRemoved"]),
        right_first=("done", "done", ["cleo ReactionAdded"]),
    ),
    "delete, delete": Race(
        left=delete("ann"),
        right=delete("bob"),
        left_first=("done", "done", ["ann MessageDeleted"]),
        right_first=("done", "done", ["bob MessageDeleted"]),
    ),
    "delete, pin": Race(
        left=delete("bob"),
        right=pin("ann"),
        left_first=("done", "FORBIDDEN messageId", ["bob MessageDeleted"]),
        right_first=("done", "done", ["ann MessagePinned", "bob MessageDeleted"]),
    ),
    "delete, unpin": Race(
        before=[pin("ann")],
        left=delete("bob"),
        right=unpin("ann"),
        left_first=("done", "FORBIDDEN messageId", ["bob MessageDeleted"]),
        right_first=("done", "done", ["ann MessageUnpinned", "bob MessageDeleted"]),
    ),
    "delete, react": Race(
        left=delete("bob"),
        right=react("cleo"),
        left_first=("done", "FORBIDDEN messageId", ["bob MessageDeleted"]),
        right_first=("done", "done", ["cleo ReactionAdded", "bob MessageDeleted"]),
    ),
    "delete, reply": Race(
        left=delete("bob"),
        right=send("cleo", reply=True),
        left_first=("done", "NOT_FOUND replyToId", ["bob MessageDeleted"]),
        right_first=("done", "done", ["cleo MessageSent", "bob MessageDeleted"]),
    ),
}
