"""Messages."""

import strawberry

from resolvers.context import Info
from resolvers.payload import Payload, refusable
from services.entries import MessageSent
from services.messages import Message, message_of
from services.users import User


async def sender(root: strawberry.Parent[Message], info: Info) -> User | None:
    return await info.context.loaders.users.load(root.sender_id)


async def sent_message(root: strawberry.Parent[MessageSent]) -> Message:
    return message_of(root)


@refusable
async def send_message(info: Info, conversation_id: str, body: str, client_message_id: str) -> Payload:
    message = await info.context.services.messages.send(
        info.context.viewer_id, conversation_id, body=body, client_message_id=client_message_id
    )
    return Payload(message=message)
