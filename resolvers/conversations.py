"""Conversations and their members."""

from collections.abc import Sequence
from typing import Annotated

import strawberry

from resolvers.connections import After, Before, Connection, First, Last, connection
from resolvers.context import Info
from resolvers.payload import Payload, refusable
from resolvers.users import Viewer
from services.conversations import Snapshot
from services.entries import ConversationCreated, ConversationKind, MemberAdded
from services.messages import Message
from services.paging import window
from services.state import Member, joined
from services.users import User

Archived = Annotated[
    bool | None,
    strawberry.argument(description="True for archived ones only, false for the others only; both when left out."),
]


async def conversation(
    info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="The conversation's id.")]
) -> Snapshot | None:
    return await info.context.services.conversations.visible(info.context.viewer_id, id)


async def of_viewer(
    root: strawberry.Parent[Viewer],
    info: Info,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
    archived: Archived = None,
) -> Connection:
    page = await info.context.services.conversations.of_user(
        root.claims.user_id, window(first, after, last, before), archived=archived
    )
    return connection(page)


async def members(
    root: strawberry.Parent[Snapshot],
    info: Info,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
) -> Connection:
    page = await info.context.services.conversations.members(root.id, window(first, after, last, before))
    return connection(page)


async def messages(
    root: strawberry.Parent[Snapshot],
    info: Info,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
) -> Connection:
    page = await info.context.services.messages.page(
        info.context.viewer_id, root.id, window(first, after, last, before)
    )
    return connection(page)


async def last_message(root: strawberry.Parent[Snapshot], info: Info) -> Message | None:
    return await info.context.services.messages.last(info.context.viewer_id, root.id)


async def pinned_messages(root: strawberry.Parent[Snapshot], info: Info) -> list[Message]:
    return await info.context.services.messages.pinned(info.context.viewer_id, root.id)


async def cursor(root: strawberry.Parent[Snapshot], info: Info) -> str:
    return info.context.services.conversations.cursor(root.id, root.last_sequence)


async def viewer_membership(root: strawberry.Parent[Snapshot], info: Info) -> Member | None:
    return await info.context.services.conversations.membership(info.context.viewer_id, root.id)


async def member_user(root: strawberry.Parent[Member], info: Info) -> User | None:
    return await info.context.loaders.users.load(root.user_id)


@refusable
async def create_conversation(
    info: Info,
    kind: ConversationKind,
    title: str | None,
    member_ids: Sequence[str],
    client_conversation_id: str | None,
) -> Payload:
    snapshot = await info.context.services.conversations.create(
        info.context.viewer_id, kind, title=title, member_ids=member_ids, client_id=client_conversation_id
    )
    return Payload(conversation=snapshot)


@refusable
async def add_members(info: Info, conversation_id: str, user_ids: Sequence[str]) -> Payload:
    conversations = info.context.services.conversations
    return Payload(conversation=await conversations.add_members(info.context.viewer_id, conversation_id, user_ids))


@refusable
async def remove_member(info: Info, conversation_id: str, user_id: str) -> Payload:
    conversations = info.context.services.conversations
    return Payload(conversation=await conversations.remove_member(info.context.viewer_id, conversation_id, user_id))


@refusable
async def leave_conversation(info: Info, conversation_id: str) -> Payload:
    conversations = info.context.services.conversations
    return Payload(conversation=await conversations.leave(info.context.viewer_id, conversation_id))


async def changed_conversation(root: strawberry.Parent[ConversationCreated], info: Info) -> Snapshot:
    return await info.context.services.conversations.snapshot(root.conversation_id)


async def added_member(root: strawberry.Parent[MemberAdded]) -> Member:
    return joined(root, root.user_id, root.role)
