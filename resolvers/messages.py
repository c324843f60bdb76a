"""Messages."""

from collections.abc import Awaitable, Sequence
from typing import Annotated

import strawberry

from resolvers.connections import After, Before, Connection, First, Last, connection
from resolvers.context import Info
from resolvers.payload import Payload, refusable
from services.entries import MessageChange, MessageEdited, MessageSent
from services.limit_rules import Bucket
from services.message_state import Attachment, Reaction
from services.messages import Message, message_as_edited, message_as_sent
from services.paging import window
from services.users import User


def sender(root: strawberry.Parent[Message], info: Info) -> Awaitable[User | None]:
    return info.context.loaders.users.load(root.sender_id)


async def reply_to(root: strawberry.Parent[Message], info: Info) -> Message | None:
    if root.reply_to is None:
        return None
    quoted = await info.context.loaders.messages.load((root.conversation_id, root.reply_to))
    return None if quoted is None else quoted._replace(reply_to=None)


async def mentions(root: strawberry.Parent[Message], info: Info) -> list[User | None]:
    return await info.context.loaders.users.load_many(root.mentions)


async def reaction_users(root: strawberry.Parent[Reaction], info: Info) -> list[User | None]:
    return await info.context.loaders.users.load_many(root.user_ids)


async def viewer_has_reacted(root: strawberry.Parent[Reaction], info: Info) -> bool:
    return info.context.viewer_id in root.user_ids


async def viewer_can_edit(root: strawberry.Parent[Message], info: Info) -> bool:
    viewer_id = info.context.viewer_id
    if not await info.context.services.messages.can_edit(viewer_id, root):
        return False
    # A block is in no log. Suspension is not asked for: it ends the sessions.
    return not await info.context.loaders.blocks.load((viewer_id, root.conversation_id))


async def viewer_can_delete(root: strawberry.Parent[Message], info: Info) -> bool:
    return await info.context.services.messages.can_delete(info.context.viewer_id, root)


async def sent_message(root: strawberry.Parent[MessageSent]) -> Message:
    return message_as_sent(root)


async def edited_message(root: strawberry.Parent[MessageEdited], info: Info) -> Message | None:
    message = await info.context.loaders.messages.load((root.conversation_id, root.message))
    return None if message is None else message_as_edited(message, root)


async def changed_message(root: strawberry.Parent[MessageChange], info: Info) -> Message | None:
    return await info.context.loaders.messages.load((root.conversation_id, root.message))


async def search(
    info: Info,
    query: Annotated[
        str,
        strawberry.argument(
            description="Words that the messages must have, in any order, whatever their case and accents; between "
            'quotation marks (`"`) in a row. At most 256 characters and 16 words.'
        ),
    ],
    conversation_id: Annotated[
        strawberry.ID | None, strawberry.argument(description="Where to look; everywhere when left out.")
    ] = None,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
) -> Connection:
    viewer_id, search = info.context.viewer_id, info.context.services.search
    return connection(await search.messages(viewer_id, query, conversation_id, window(first, after, last, before)))


@refusable
async def send_message(
    info: Info,
    conversation_id: str,
    body: str,
    client_message_id: str,
    reply_to_id: str | None,
    attachments: Sequence[object] | None,
) -> Payload:
    message = await info.context.services.messages.send(
        info.context.viewer_id,
        conversation_id,
        body=body,
        client_message_id=client_message_id,
        reply_to_id=reply_to_id,
        attachments=[Attachment(**vars(attachment)) for attachment in attachments or ()],
        admit=lambda: info.context.allowance.take(Bucket.MESSAGES),
    )
    return Payload(message=message)


@refusable
async def edit_message(info: Info, message_id: str, body: str, expected_version: int | None) -> Payload:
    messages = info.context.services.messages
    return Payload(
        message=await messages.edit(info.context.viewer_id, message_id, body=body, expected_version=expected_version)
    )


@refusable
async def delete_message(info: Info, message_id: str) -> Payload:
    return Payload(message=await info.context.services.messages.delete(info.context.viewer_id, message_id))


@refusable
async def add_reaction(info: Info, message_id: str, emoji: str) -> Payload:
    return Payload(message=await info.context.services.messages.react(info.context.viewer_id, message_id, emoji))


@refusable
async def remove_reaction(info: Info, message_id: str, emoji: str) -> Payload:
    return Payload(message=await info.context.services.messages.unreact(info.context.viewer_id, message_id, emoji))


@refusable
async def pin_message(info: Info, message_id: str) -> Payload:
    return Payload(message=await info.context.services.messages.pin(info.context.viewer_id, message_id))


@refusable
async def unpin_message(info: Info, message_id: str) -> Payload:
    return Payload(message=await info.context.services.messages.unpin(info.context.viewer_id, message_id))
