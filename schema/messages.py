"""Messages."""

from datetime import datetime
from typing import Annotated

import strawberry

from resolvers import messages as resolvers
from resolvers import receipts
from schema.connections import Connection, Node
from schema.errors import Refusable
from schema.users import User
from schema.view import enumeration, field, mutation, resolved, view
from services import message_state, messages
from services.delivery import DeliveryStatus


@view(message_state.Attachment, "A file kept elsewhere; this is what a client needs to show it.")
class Attachment:
    name: str = field("What the file is called.")
    url: str = field("Where it is; always https.")
    media_type: str = field("What it is, as in `image/png`.")
    size_bytes: int = field("How large it is, as the sender says.")


@view(message_state.Reaction, "One emoji on a message, and who reacted with it.")
class ReactionGroup:
    emoji: str = field("The emoji.")
    count: int = field("How many reacted with it.")
    users: list[User] = resolved(resolvers.reaction_users, list[User], "Who reacted with it, the first one first.")
    viewer_has_reacted: bool = resolved(resolvers.viewer_has_reacted, bool, "Whether the caller reacted with it.")


enumeration(
    DeliveryStatus,
    "SENT once stored, DELIVERED and READ once that holds for every other active member.",
    SENT="It is stored for good.",
    DELIVERED="It has reached a device.",
    READ="It has been read.",
)


@view(receipts.Receipt, "How far a message has come with one member.")
class Receipt:
    user: User = resolved(receipts.user, User, "Who the member is.")
    status: DeliveryStatus = field("How far it has come with them.")
    read_version: int | None = resolved(
        receipts.read_version,
        int | None,
        "The version that was read, so that an edit after reading shows; null while it was not read.",
    )
    at: datetime | None = field("When it came so far; null where that is no longer known.")


@view(messages.Message, "Something that was said in a conversation.")
class Message(Node):
    conversation_id: strawberry.ID = field("The conversation it belongs to.")
    sequence: int = field("Its place in the conversation's log.")
    sender: User = resolved(resolvers.sender, User, "Who said it.")
    body: str | None = field("What was said; null once deleted.")
    client_message_id: str | None = field("The id that the sender's client gave it.")
    reply_to: Annotated["Message", strawberry.lazy("schema.messages")] | None = resolved(
        resolvers.reply_to,
        Annotated["Message", strawberry.lazy("schema.messages")] | None,
        "The quoted message as it is now, one hop deep: its own `replyTo` is null here. Null when nothing is quoted.",
    )
    attachments: list[Attachment] = field("The files that belong to it; none once deleted.")
    mentions: list[User] = resolved(
        resolvers.mentions,
        list[User],
        "The members whose `@handle` is in the body, in that order; at most 50, none once deleted.",
    )
    reactions: list[ReactionGroup] = field("The reactions by emoji, the first emoji first; none once deleted.")
    version: int = field("1 when sent, one more with each edit.")
    created_at: datetime = field("When it was stored.")
    edited_at: datetime | None = field("When it was last edited; null when it never was.")
    deleted_at: datetime | None = field("When it was deleted; null while it is not.")
    pinned_at: datetime | None = field("When it was pinned; null while it is not.")
    status: DeliveryStatus = resolved(
        receipts.status,
        DeliveryStatus,
        "How far it has come with every other active member who was in before it; SENT where there is none.",
    )
    receipts: Connection[Receipt] = resolved(
        receipts.of_message, Connection[Receipt], "How far it has come with each of these members."
    )
    viewer_can_edit: bool = resolved(resolvers.viewer_can_edit, bool, "Whether the caller may edit it.")
    viewer_can_delete: bool = resolved(resolvers.viewer_can_delete, bool, "Whether the caller may delete it.")


@strawberry.input(description="A file kept elsewhere.")
class AttachmentInput:
    name: str = field("What the file is called; 1 to 255 printable characters.")
    url: str = field("Where it is: an https address of at most 2 048 characters.")
    media_type: str = field("What it is, as in `image/png`.")
    size_bytes: int = field("How large it is; not negative.")


@strawberry.input(description="The input of `sendMessage`.")
class SendMessageInput:
    conversation_id: strawberry.ID = field("Where to say it.")
    body: str = field("1 to 10 000 characters and at most 32 768 bytes, not only white space.")
    client_message_id: str = field(
        "Made by the client, one for each message, 1 to 64 printable ASCII characters: sending it again, at any time "
        "and to any instance, returns the message already stored; with another body, quotation or attachment it is "
        "refused with CONFLICT."
    )
    reply_to_id: strawberry.ID | None = strawberry.field(
        default=None, description="A message of the same conversation to quote; not a deleted one."
    )
    attachments: list[AttachmentInput] | None = strawberry.field(default=None, description="At most 10 files.")


@strawberry.input(description="The input of `editMessage`.")
class EditMessageInput:
    message_id: strawberry.ID = field("Which message.")
    body: str = field("The new body, as in `sendMessage`; the one that it has already changes nothing.")
    expected_version: int | None = strawberry.field(
        default=None, description="Refused with CONFLICT when the message has moved on."
    )


@strawberry.input(description="The input of `deleteMessage`.")
class DeleteMessageInput:
    message_id: strawberry.ID = field("Which message.")


@strawberry.input(description="The input of `addReaction`.")
class AddReactionInput:
    message_id: strawberry.ID = field("Which message.")
    emoji: str = field("Exactly one emoji.")


@strawberry.input(description="The input of `removeReaction`.")
class RemoveReactionInput:
    message_id: strawberry.ID = field("Which message.")
    emoji: str = field("The emoji to take back.")


@strawberry.input(description="The input of `pinMessage`.")
class PinMessageInput:
    message_id: strawberry.ID = field("Which message.")


@strawberry.input(description="The input of `unpinMessage`.")
class UnpinMessageInput:
    message_id: strawberry.ID = field("Which message.")


@strawberry.type
class MessageOutcome(Refusable):
    """What the payloads of messages have."""

    message: Message | None = field("The message as it is now; null when refused.")


@strawberry.type(description="The outcome of `sendMessage`.")
class SendMessagePayload(MessageOutcome):
    pass


@strawberry.type(description="The outcome of `editMessage`.")
class EditMessagePayload(MessageOutcome):
    pass


@strawberry.type(description="The outcome of `deleteMessage`.")
class DeleteMessagePayload(MessageOutcome):
    pass


@strawberry.type(description="The outcome of `addReaction`.")
class AddReactionPayload(MessageOutcome):
    pass


@strawberry.type(description="The outcome of `removeReaction`.")
class RemoveReactionPayload(MessageOutcome):
    pass


@strawberry.type(description="The outcome of `pinMessage`.")
class PinMessagePayload(MessageOutcome):
    pass


@strawberry.type(description="The outcome of `unpinMessage`.")
class UnpinMessagePayload(MessageOutcome):
    pass


@strawberry.type
class MessageMutations:
    send_message = mutation(
        resolvers.send_message,
        SendMessageInput,
        SendMessagePayload,
        "Say something; answered when it is stored for good.",
    )
    edit_message = mutation(
        resolvers.edit_message, EditMessageInput, EditMessagePayload, "Give one's own message another body."
    )
    delete_message = mutation(
        resolvers.delete_message,
        DeleteMessageInput,
        DeleteMessagePayload,
        "Delete one's own message, or as an owner or moderator of a group or channel anybody's. A tombstone stays.",
    )
    add_reaction = mutation(
        resolvers.add_reaction, AddReactionInput, AddReactionPayload, "React to a message with an emoji."
    )
    remove_reaction = mutation(
        resolvers.remove_reaction, RemoveReactionInput, RemoveReactionPayload, "Take one's own reaction back."
    )
    pin_message = mutation(
        resolvers.pin_message,
        PinMessageInput,
        PinMessagePayload,
        "Pin a message; in a group or channel owners and moderators may. At most 50 are pinned in a conversation.",
    )
    unpin_message = mutation(
        resolvers.unpin_message, UnpinMessageInput, UnpinMessagePayload, "Take a pin away; for those who may pin."
    )
