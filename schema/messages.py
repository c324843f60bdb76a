"""Messages."""

from datetime import datetime

import strawberry

from resolvers import messages as resolvers
from schema.connections import Node
from schema.errors import Refusable
from schema.users import User
from schema.view import field, mutation, resolved, view
from services import messages


@view(messages.Message, "Something that was said in a conversation.")
class Message(Node):
    conversation_id: strawberry.ID = field("The conversation it belongs to.")
    sequence: int = field("Its place in the conversation's log.")
    sender: User = resolved(resolvers.sender, User, "Who said it.")
    body: str | None = field("What was said; null once deleted.")
    client_message_id: str | None = field("The id that the sender's client gave it.")
    version: int = field("1 when sent, one more with each edit.")
    created_at: datetime = field("When it was stored.")


@strawberry.input(description="The input of `sendMessage`.")
class SendMessageInput:
    conversation_id: strawberry.ID = field("Where to say it.")
    body: str = field("1 to 10 000 characters and at most 32 768 bytes, not only white space.")
    client_message_id: str = field(
        "Made by the client, one for each message, 1 to 64 printable ASCII characters: sending it again, at any time "
        "and to any instance, returns the message already stored; with another body it is refused with CONFLICT."
    )


@strawberry.type(description="The outcome of `sendMessage`.")
class SendMessagePayload(Refusable):
    message: Message | None = field("The stored message; null when refused.")


@strawberry.type
class MessageMutations:
    send_message = mutation(
        resolvers.send_message,
        SendMessageInput,
        SendMessagePayload,
        "Say something; answered when it is stored for good.",
    )
