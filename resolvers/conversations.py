"""Conversations and their members."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import strawberry

from resolvers.connections import After, Before, Connection, First, Last, connection
from resolvers.context import Info
from resolvers.payload import Payload, given, not_null, refusable
from resolvers.users import Viewer
from services.clock import now
from services.conversations import Snapshot
from services.entries import (
    ConversationChanged,
    ConversationCreated,
    ConversationKind,
    MemberAdded,
    MemberRole,
    MemberRoleChanged,
)
from services.limit_rules import Bucket
from services.messages import Message
from services.paging import window
from services.senders import SendPermission
from services.state import Member, joined, with_role
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


async def viewer_can_send(root: strawberry.Parent[Snapshot], info: Info) -> SendPermission:
    permission = await info.context.loaders.send_permissions.load((info.context.viewer_id, root.id))
    standing = await info.context.loaders.standings.load(Bucket.MESSAGES) if permission.allowed else None
    return permission if standing is None else permission.within(standing)


async def member_user(root: strawberry.Parent[Member], info: Info) -> User | None:
    return await info.context.loaders.users.load(root.user_id)


async def muted_until(root: strawberry.Parent[Member], info: Info) -> datetime | None:
    claims = info.context.claims  # None in an execution that is shared: there nobody's membership is one's own
    if claims is None or root.user_id != claims.user_id:
        return None
    return await info.context.loaders.mutes.load((root.user_id, root.conversation_id))


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
async def update_conversation(info: Info, conversation_id: str, title: str | None, archived: bool | None) -> Payload:
    changes = given(title=title) | not_null(archived=archived)
    conversations = info.context.services.conversations
    return Payload(conversation=await conversations.update(info.context.viewer_id, conversation_id, changes))


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


@refusable
async def set_member_role(info: Info, conversation_id: str, user_id: str, role: MemberRole) -> Payload:
    conversations = info.context.services.conversations
    return Payload(conversation=await conversations.set_role(info.context.viewer_id, conversation_id, user_id, role))


@refusable
async def mute_conversation(info: Info, conversation_id: str, until: datetime | None) -> Payload:
    mutes = info.context.services.mutes
    return Payload(conversation=await mutes.set(info.context.viewer_id, conversation_id, until, now()))


async def changed_conversation(
    root: strawberry.Parent[ConversationCreated | ConversationChanged], info: Info
) -> Snapshot:
    return await info.context.services.conversations.snapshot(root.conversation_id)


async def added_member(root: strawberry.Parent[MemberAdded]) -> Member:
    return joined(root, root.user_id, root.role)


async def changed_member(root: strawberry.Parent[MemberRoleChanged]) -> Member:
    return with_role(root)
