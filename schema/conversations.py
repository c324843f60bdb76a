"""Conversations and their members."""

from datetime import datetime

import strawberry

from resolvers import conversations as resolvers
from schema.connections import Connection, Node
from schema.errors import Refusable
from schema.messages import Message
from schema.users import User
from schema.view import field, mutation, resolved, view
from services import state
from services.conversations import Snapshot
from services.entries import ConversationKind, MemberRole

strawberry.enum(
    ConversationKind,
    description="DIRECT: two people; GROUP: up to 500; CHANNEL: any number, where owners and moderators write.",
)
strawberry.enum(MemberRole, description="What a member may do in a conversation.")


@view(state.Member, "Somebody's membership in a conversation.")
class Member:
    user: User = resolved(resolvers.member_user, User, "Who it is.")
    role: MemberRole = field("What they may do.")
    joined_at: datetime = field("When they joined.")


@view(Snapshot, "A place where people talk; its log is numbered from 1 without holes.")
class Conversation(Node):
    kind: ConversationKind = field("Which kind it is.")
    title: str | None = field("Its title; null when it has none.")
    created_at: datetime = field("When it was made.")
    archived_at: datetime | None = field("When it was archived; null while it is not.")
    members: Connection[Member] = resolved(resolvers.members, Connection[Member], "Who is in it.")
    member_count: int = field("How many are in it.")
    last_sequence: int = field("The newest place in its log.")
    last_message: Message | None = resolved(
        resolvers.last_message, Message | None, "The newest message that the caller may read; null when there is none."
    )
    messages: Connection[Message] = resolved(
        resolvers.messages, Connection[Message], "What was said, in order, from the caller's joining on."
    )
    pinned_messages: list[Message] = resolved(
        resolvers.pinned_messages, list[Message], "The pinned ones of those that the caller may read, newest pin first."
    )
    cursor: str = resolved(
        resolvers.cursor, str, "Where a subscription has to start so that nothing after this read is missed."
    )
    viewer_membership: Member | None = resolved(
        resolvers.viewer_membership, Member | None, "The caller's own membership; null when not in."
    )


@strawberry.input(description="The input of `createConversation`.")
class CreateConversationInput:
    kind: ConversationKind = strawberry.field(default=ConversationKind.GROUP, description="Which kind to make.")
    title: str | None = strawberry.field(default=None, description="Its title; none for DIRECT.")
    member_ids: list[strawberry.ID] = field("The first members besides the caller; at most 100, one for DIRECT.")
    client_conversation_id: str | None = strawberry.field(
        default=None, description="Made by the client: with the same one a retry returns the conversation already made."
    )


@strawberry.input(description="The input of `addMembers`.")
class AddMembersInput:
    conversation_id: strawberry.ID = field("Where to add them.")
    user_ids: list[strawberry.ID] = field("Whom to add; at most 100. Who is in already stays as they are.")


@strawberry.input(description="The input of `removeMember`.")
class RemoveMemberInput:
    conversation_id: strawberry.ID = field("Where to remove them.")
    user_id: strawberry.ID = field("Whom to remove.")


@strawberry.input(description="The input of `leaveConversation`.")
class LeaveConversationInput:
    conversation_id: strawberry.ID = field("What to leave.")


@strawberry.type
class ConversationOutcome(Refusable):
    """What the payloads of conversations have."""

    conversation: Conversation | None = field("The conversation as it is now; null when refused.")


@strawberry.type(description="The outcome of `createConversation`.")
class CreateConversationPayload(ConversationOutcome):
    pass


@strawberry.type(description="The outcome of `addMembers`.")
class AddMembersPayload(ConversationOutcome):
    pass


@strawberry.type(description="The outcome of `removeMember`.")
class RemoveMemberPayload(ConversationOutcome):
    pass


@strawberry.type(description="The outcome of `leaveConversation`.")
class LeaveConversationPayload(ConversationOutcome):
    pass


@strawberry.type
class ConversationMutations:
    create_conversation = mutation(
        resolvers.create_conversation,
        CreateConversationInput,
        CreateConversationPayload,
        "Make a conversation. The DIRECT one of two people exists once: asking again returns it.",
    )
    add_members = mutation(resolvers.add_members, AddMembersInput, AddMembersPayload, "Add people to a conversation.")
    remove_member = mutation(
        resolvers.remove_member, RemoveMemberInput, RemoveMemberPayload, "Remove somebody from a conversation."
    )
    leave_conversation = mutation(
        resolvers.leave_conversation,
        LeaveConversationInput,
        LeaveConversationPayload,
        "Leave a conversation; the last owner cannot while others remain.",
    )
