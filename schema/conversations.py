"""Conversations and their members."""

from datetime import datetime

import strawberry

from resolvers import conversations as resolvers
from resolvers import receipts, typing
from schema.connections import Connection, Node
from schema.errors import Refusable
from schema.messages import Message
from schema.users import User
from schema.view import enumeration, field, mutation, resolved, view
from services import senders, state
from services.conversations import Snapshot
from services.entries import ConversationKind, MemberRole

enumeration(
    ConversationKind,
    "DIRECT: two people; GROUP: up to 500; CHANNEL: any number, where owners and moderators write.",
    DIRECT="Two people, who stay in it; it exists once.",
    GROUP="Up to 500 people, who all write.",
    CHANNEL="Any number of people, of whom owners and moderators write.",
)
enumeration(
    MemberRole,
    "What a member may do in a conversation.",
    OWNER="Everything, also giving roles.",
    MODERATOR="Writing in a channel, and looking after messages and members.",
    MEMBER="Reading; and writing, but in a channel.",
)


@view(state.Member, "Somebody's membership in a conversation.")
class Member:
    user: User = resolved(resolvers.member_user, User, "Who it is.")
    role: MemberRole = field("What they may do.")
    joined_at: datetime = field("When they joined.")
    delivered_sequence: int = resolved(
        receipts.delivered_sequence, int, "Everything up to and including this has reached them."
    )
    read_sequence: int = resolved(
        receipts.read_sequence, int, "Everything up to and including this has been read by them."
    )
    muted_until: datetime | None = resolved(
        resolvers.muted_until,
        datetime | None,
        "Until when the caller has muted the conversation. Only for the caller's own membership; null for all others, "
        "and in events unless they ask for `viewerMembership`.",
    )


@view(senders.SendPermission, "Whether the caller may write.")
class SendPermission:
    allowed: bool = field("Whether a message would be taken now.")
    reason: str | None = field("Why not, for people; null when it would.")
    retry_after_ms: int | None = field(
        "In how many milliseconds it would; null when it would, or waiting does not help."
    )


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
    typing: list[User] = resolved(typing.of_conversation, list[User], "Who is typing in it now.")
    cursor: str = resolved(
        resolvers.cursor, str, "Where a subscription has to start so that nothing after this read is missed."
    )
    viewer_unread_count: int = resolved(
        receipts.viewer_unread_count,
        int,
        "How many messages of others the caller has not read; exact up to 1 000, then 1 000.",
    )
    viewer_membership: Member | None = resolved(
        resolvers.viewer_membership, Member | None, "The caller's own membership; null when not in."
    )
    viewer_can_send: SendPermission = resolved(
        resolvers.viewer_can_send, SendPermission, "Whether the caller may write in it now."
    )


@strawberry.input(description="The input of `createConversation`.")
class CreateConversationInput:
    kind: ConversationKind = strawberry.field(default=ConversationKind.GROUP, description="Which kind to make.")
    title: str | None = strawberry.field(default=None, description="Its title; none for DIRECT.")
    member_ids: list[strawberry.ID] = field("The first members besides the caller; at most 100, one for DIRECT.")
    client_conversation_id: str | None = strawberry.field(
        default=None, description="Made by the client: with the same one a retry returns the conversation already made."
    )


@strawberry.input(description="The input of `updateConversation`; what is left out stays.")
class UpdateConversationInput:
    conversation_id: strawberry.ID = field("Which to change.")
    title: str | None = strawberry.field(
        default=strawberry.UNSET, description="Its title, of 1 to 200 characters; null takes it away. None for DIRECT."
    )
    archived: bool | None = strawberry.field(
        default=None,
        description="True archives it for all: nobody can write or be added. False ends that; null changes nothing.",
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


@strawberry.input(description="The input of `setMemberRole`.")
class SetMemberRoleInput:
    conversation_id: strawberry.ID = field("Where.")
    user_id: strawberry.ID = field("Whose role; it can be the caller.")
    role: MemberRole = field("The new role; there may be several owners.")


@strawberry.input(description="The input of `muteConversation`.")
class MuteConversationInput:
    conversation_id: strawberry.ID = field("What to mute, for the caller alone.")
    until: datetime | None = strawberry.field(default=None, description="Until when, in the future; null unmutes.")


@strawberry.type
class ConversationOutcome(Refusable):
    """What the payloads of conversations have."""

    conversation: Conversation | None = field("The conversation as it is now; null when refused.")


@strawberry.type(description="The outcome of `createConversation`.")
class CreateConversationPayload(ConversationOutcome):
    pass


@strawberry.type(description="The outcome of `updateConversation`.")
class UpdateConversationPayload(ConversationOutcome):
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


@strawberry.type(description="The outcome of `setMemberRole`.")
class SetMemberRolePayload(ConversationOutcome):
    pass


@strawberry.type(description="The outcome of `muteConversation`.")
class MuteConversationPayload(ConversationOutcome):
    pass


@strawberry.type
class ConversationMutations:
    create_conversation = mutation(
        resolvers.create_conversation,
        CreateConversationInput,
        CreateConversationPayload,
        "Make a conversation. The DIRECT one of two people exists once: asking again returns it.",
    )
    update_conversation = mutation(
        resolvers.update_conversation,
        UpdateConversationInput,
        UpdateConversationPayload,
        "Change a conversation's title, or archive it for all.",
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
    set_member_role = mutation(
        resolvers.set_member_role,
        SetMemberRoleInput,
        SetMemberRolePayload,
        "Give a member another role; the last owner cannot step down.",
    )
    mute_conversation = mutation(
        resolvers.mute_conversation,
        MuteConversationInput,
        MuteConversationPayload,
        "Mute a conversation for the caller, or unmute it.",
    )
