"""What happens in a conversation."""

from datetime import datetime
from typing import Annotated, Union

import strawberry

from resolvers import conversations, events, messages
from schema.conversations import Conversation, Member
from schema.messages import Message
from schema.receipts import ReceiptMoved
from schema.users import User
from schema.view import enumeration, field, resolved, view
from services import entries, streams
from services.streams import ResyncReason

enumeration(
    ResyncReason,
    "Why a cursor cannot be served.",
    TOO_FAR_BEHIND="More has happened since than is sent again.",
    EPOCH_CHANGED="It is of another log, as before a restored backup.",
    NOT_VISIBLE="It is of before the caller joined, or joined again.",
)


@strawberry.interface(
    description="An entry of a conversation's log: in order, without holes, never lost, sent again after a reconnect."
)
class ConversationEvent:
    conversation_id: strawberry.ID = field("The conversation it happened in.")
    sequence: int = field("Its place in the conversation's log.")
    cursor: str = resolved(events.cursor, str, "Where a subscription goes on after this entry.")
    at: datetime = field("When it was stored.")
    actor: User = resolved(events.actor, User, "Who did it.")


@view(entries.MessageSent, "Somebody said something.")
class MessageSent(ConversationEvent):
    message: Message = resolved(messages.sent_message, Message, "What was said, as it was sent.")


@view(entries.MessageEdited, "A message was given another body.")
class MessageEdited(ConversationEvent):
    message: Message = resolved(messages.edited_message, Message, "The message, with the body of this edit.")


@view(entries.MessageDeleted, "A message was deleted: its body, mentions, attachments, reactions and pin are gone.")
class MessageDeleted(ConversationEvent):
    message_id: strawberry.ID = field("Which message.")


@view(entries.MessagePinned, "A message was pinned.")
class MessagePinned(ConversationEvent):
    message: Message = resolved(messages.changed_message, Message, "The message as it is now.")


@view(entries.MessageUnpinned, "A message is no longer pinned.")
class MessageUnpinned(ConversationEvent):
    message_id: strawberry.ID = field("Which message.")


@view(entries.ReactionAdded, "The actor reacted to a message.")
class ReactionAdded(ConversationEvent):
    message_id: strawberry.ID = field("Which message.")
    emoji: str = field("With which emoji.")


@view(entries.ReactionRemoved, "The actor took a reaction back.")
class ReactionRemoved(ConversationEvent):
    message_id: strawberry.ID = field("Which message.")
    emoji: str = field("Which emoji it was.")


@view(entries.MemberAdded, "Somebody joined.")
class MemberAdded(ConversationEvent):
    member: Member = resolved(conversations.added_member, Member, "The new membership.")


@view(entries.MemberRemoved, "Somebody was removed, or left when the actor is the member.")
class MemberRemoved(ConversationEvent):
    user_id: strawberry.ID = field("Who is no longer in.")


@view(entries.MemberRoleChanged, "A member got another role.")
class MemberRoleChanged(ConversationEvent):
    member: Member = resolved(conversations.changed_member, Member, "The membership with its new role.")


@view(
    (entries.ConversationCreated, entries.ConversationChanged),
    "The conversation itself changed; its first entry is its creation.",
)
class ConversationChanged(ConversationEvent):
    conversation: Conversation = resolved(
        conversations.changed_conversation, Conversation, "The conversation as it is now."
    )


@view(streams.CaughtUp, "All of the past has been sent; what follows is live.")
class CaughtUp:
    conversation_id: strawberry.ID = field("The conversation.")
    sequence: int = field("The last place of the past.")
    cursor: str = resolved(events.cursor, str, "Where a subscription goes on after the past.")


@view(streams.ResyncRequired, "The cursor cannot be served: read the conversation again.")
class ResyncRequired:
    conversation_id: strawberry.ID = field("The conversation.")
    reason: ResyncReason = field("Why it cannot be served.")
    cursor: str = resolved(events.cursor, str, "Where this subscription goes on.")


ConversationUpdate = Annotated[
    Union[  # noqa: UP007  # Strawberry names unions by this spelling
        MessageSent,
        MessageEdited,
        MessageDeleted,
        MessagePinned,
        MessageUnpinned,
        ReactionAdded,
        ReactionRemoved,
        MemberAdded,
        MemberRemoved,
        MemberRoleChanged,
        ConversationChanged,
        ReceiptMoved,
        CaughtUp,
        ResyncRequired,
    ],
    strawberry.union("ConversationUpdate", description="What a subscriber of a conversation gets."),
]
