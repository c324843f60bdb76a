"""What somebody reads of a conversation, brought into a plain form; and the same as the rules have it."""

from collections.abc import Callable
from typing import Any

from tests.clients import Json, Person
from tests.machine.rules import Message, Room

FOREVER = "2999-01-01T00:00:00.000Z"

MESSAGE = """id sequence sender { id } body clientMessageId replyTo { id body version replyTo { id } }
  attachments { name url mediaType sizeBytes } mentions { id } reactions { emoji count users { id } viewerHasReacted }
  version createdAt editedAt deletedAt pinnedAt"""
_CONVERSATION = (
    """conversation(id: $id) {
  id kind title createdAt archivedAt memberCount lastSequence cursor viewerUnreadCount
  viewerMembership { role deliveredSequence readSequence mutedUntil } viewerCanSend { allowed }
  members { nodes { user { id } role joinedAt deliveredSequence readSequence mutedUntil } }
  lastMessage { id } pinnedMessages { id }
  messages(last: 100) { nodes { """
    + MESSAGE
    + " status viewerCanEdit viewerCanDelete } } }"
)
READ = "query ($id: ID!) { viewer { unreadCount } " + _CONVERSATION + " }"
READ_CONVERSATION = "query ($id: ID!) { " + _CONVERSATION + " }"
RECEIPTS = """query ($id: ID!) { node(id: $id) { ... on Message {
  receipts { nodes { user { id } status readVersion } } } } }"""

type TimeOf = Callable[[int | None], str | None]  # when the entry with a sequence was made


async def read(person: Person, conversation_id: str) -> Json:
    """Return everything that somebody reads, as one query."""
    return await _data(person, READ, conversation_id)


async def read_conversation(person: Person, conversation_id: str) -> Json | None:
    """Return what somebody reads of a conversation, without counting all others."""
    conversation: Json | None = (await _data(person, READ_CONVERSATION, conversation_id))["conversation"]
    return conversation


async def read_receipts(person: Person, message_id: str) -> dict[str, tuple[str, int | None]]:
    """Return how far a message has come with whom, and in which version it was read."""
    nodes = (await _data(person, RECEIPTS, message_id))["node"]["receipts"]["nodes"]
    return {node["user"]["id"]: (node["status"], node["readVersion"]) for node in nodes}


async def _data(person: Person, query: str, id_: str) -> Json:
    response = await person.post(query, {"id": id_})
    assert "errors" not in response, response
    data: Json = response["data"]
    return data


# ---------------------------------------------------------------- as the rules have it


def expected(room: Room, viewer: str, conversation_id: str, at: TimeOf, *, cursor: str, elsewhere: int) -> Json:
    """Return what a read should show; `elsewhere` is unread in other conversations."""
    return {
        "viewer": {"unreadCount": elsewhere + room.counted(viewer)},
        "conversation": None
        if viewer not in room.members
        else _expected_conversation(room, viewer, conversation_id, at, cursor),
    }


def _expected_conversation(room: Room, viewer: str, conversation_id: str, at: TimeOf, cursor: str) -> Json:
    own, messages = room.members[viewer], room.visible(viewer)
    muted_until = FOREVER if viewer in room.muted else None
    return {
        "id": conversation_id,
        "kind": room.kind,
        "title": room.title,
        "createdAt": at(1),
        "archivedAt": at(room.archived),
        "memberCount": len(room.members),
        "lastSequence": room.sequence,
        "cursor": cursor,
        "viewerUnreadCount": room.unread(viewer),
        "viewerMembership": {
            "role": own.role,
            "deliveredSequence": own.delivered,
            "readSequence": own.read,
            "mutedUntil": muted_until,
        },
        "viewerCanSend": {"allowed": room.may_send(viewer)},
        "members": _nodes(
            [
                {
                    "user": {"id": user_id},
                    "role": member.role,
                    "joinedAt": at(member.joined),
                    "deliveredSequence": member.delivered,
                    "readSequence": member.read,
                    "mutedUntil": muted_until if user_id == viewer else None,
                }
                for user_id, member in sorted(room.members.items())
            ]
        ),
        "lastMessage": {"id": messages[-1].id} if messages else None,
        "pinnedMessages": [{"id": message.id} for message in room.pinned(viewer)],
        "messages": _nodes(
            [
                {
                    **expected_message(room, viewer, message, at),
                    "status": room.status(message),
                    "viewerCanEdit": room.may_edit(viewer, message),
                    "viewerCanDelete": room.may_delete(viewer, message),
                }
                for message in messages
            ]
        ),
    }


def expected_message(room: Room, viewer: str, message: Message, at: TimeOf) -> Json:
    """Return a message as a mutation's answer should show it to somebody."""
    words = message.words(message.version)
    return {
        **{name: words[name] for name in ("id", "version", "body", "attachments")},
        "sequence": message.sequence,
        "sender": {"id": message.sender},
        "clientMessageId": message.client_id,
        "replyTo": _expected_quotation(room, message),
        "mentions": [{"id": user_id} for user_id in words["mentions"]],
        "reactions": [
            {
                "emoji": emoji,
                "count": len(user_ids),
                "users": [{"id": user_id} for user_id in user_ids],
                "viewerHasReacted": viewer in user_ids,
            }
            for emoji, user_ids in message.reactions.items()
        ],
        "createdAt": at(message.sequence),
        "editedAt": at(message.edited),
        "deletedAt": at(message.deleted),
        "pinnedAt": at(message.pinned),
    }


def _expected_quotation(room: Room, message: Message) -> Json | None:
    quoted_id = message.sent["replyTo"]
    quoted = next((other for other in room.messages.values() if other.id == quoted_id), None)
    if quoted_id is None or quoted is None:
        return None
    words = quoted.words(quoted.version)
    return {"id": quoted.id, "body": words["body"], "version": quoted.version, "replyTo": None}


def _nodes(nodes: list[Any]) -> Json:
    return {"nodes": nodes}


def differences(wanted: object, found: object, path: str = "") -> list[str]:
    """Return where two plain values differ, one line each."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        names = sorted(wanted.keys() | found.keys())
        return [
            line
            for name in names
            for line in differences(wanted.get(name, "absent"), found.get(name, "absent"), f"{path}.{name}")
        ]
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        pairs = enumerate(zip(wanted, found, strict=True))
        return [line for index, pair in pairs for line in differences(*pair, f"{path}[{index}]")]
    return [] if wanted == found else [f"{path}: {wanted!r} was wanted, {found!r} was found"]
