"""Receipts: how far members have got, and what that says of a message."""

from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import datetime

import strawberry

from loaders.later import Later
from resolvers.connections import After, Before, Connection, First, Last, connection
from resolvers.context import Info
from resolvers.payload import Payload, refusable
from services.conversations import Snapshot
from services.delivery import DeliveryStatus
from services.messages import Message
from services.paging import window
from services.receipts import Receipts
from services.state import Member
from services.users import User


@dataclass(frozen=True, slots=True)
class Receipt:
    """How far one message has come with one member."""

    message: Message
    receipts: Receipts

    @property
    def status(self) -> DeliveryStatus:
        return self.receipts.status_of(self.message.sequence)

    @property
    def at(self) -> datetime | None:
        marker = self.receipts.read if self.status is DeliveryStatus.READ else self.receipts.delivered
        return marker.time_at(self.message.sequence)


async def delivered_sequence(root: strawberry.Parent[Member], info: Info) -> int:
    receipts = await info.context.loaders.receipts.load((root.conversation_id, root.user_id))
    return receipts.delivered.sequence if receipts else root.joined_sequence


async def read_sequence(root: strawberry.Parent[Member], info: Info) -> int:
    receipts = await info.context.loaders.receipts.load((root.conversation_id, root.user_id))
    return receipts.read.sequence if receipts else root.joined_sequence


def status(root: strawberry.Parent[Message], info: Info) -> Awaitable[DeliveryStatus]:
    floor = info.context.loaders.floors.load(root.conversation_id)
    return Later(floor, lambda floor: floor.status_of(root.sequence, root.sender_id))


async def of_message(
    root: strawberry.Parent[Message],
    info: Info,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
) -> Connection:
    asked = window(first, after, last, before)
    page = await info.context.services.conversations.audience(
        root.conversation_id, asked, sequence=root.sequence, sender_id=root.sender_id
    )
    found = await info.context.services.receipts.of_members([member for _, member in page.items])
    return connection(page, lambda member: Receipt(root, found[member.user_id]))


async def user(root: strawberry.Parent[Receipt], info: Info) -> User | None:
    return await info.context.loaders.users.load(root.receipts.user_id)


async def read_version(root: strawberry.Parent[Receipt], info: Info) -> int | None:
    if root.status is not DeliveryStatus.READ:
        return None
    return await info.context.services.messages.version_at(root.message, root.receipts.read.sequence)


async def viewer_unread_count(root: strawberry.Parent[Snapshot], info: Info) -> int:
    return await info.context.services.unread.of(info.context.viewer_id, root.id)


@refusable
async def mark_delivered(info: Info, conversation_id: str, up_to_sequence: int) -> Payload:
    return await _mark(info, conversation_id, up_to_sequence, read=False)


@refusable
async def mark_read(info: Info, conversation_id: str, up_to_sequence: int) -> Payload:
    return await _mark(info, conversation_id, up_to_sequence, read=True)


async def _mark(info: Info, conversation_id: str, upto: int, *, read: bool) -> Payload:
    services, viewer_id = info.context.services, info.context.viewer_id
    await services.receipts.mark(viewer_id, conversation_id, upto, read=read)
    return Payload(
        member=await services.conversations.membership(viewer_id, conversation_id),
        viewer_unread_count=await services.unread.of(viewer_id, conversation_id),
    )
