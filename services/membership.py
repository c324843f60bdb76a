"""What members may do: pure functions of a log's prefix, which run again after each lost race and never read or write.

`docs/roles.md` is the table of these rules, and a test tries every cell of it.
"""

from typing import TypedDict

from services.append import Decide
from services.entries import (
    ConversationChanged,
    ConversationKind,
    Draft,
    MemberAdded,
    MemberRemoved,
    MemberRole,
    MemberRoleChanged,
)
from services.errors import ChatError, Conflict, Forbidden, InvalidInput, NotFound
from services.state import Conversation, Member, State

PAIR = 2  # members of a direct conversation, until the account of one is erased
GROUP_MEMBERS = 500

_CONVERSATION = ("input", "conversationId")
_USER = ("input", "userId")


class ConversationChanges(TypedDict, total=False):
    """What is to change of a conversation; what is left out stays."""

    title: str | None
    archived: bool


class Unneeded(ChatError):
    """What was asked for is so already: no entry is written."""

    code = "INTERNAL"

    def __init__(self) -> None:
        super().__init__("nothing to do")


def active_member(state: State, user_id: str) -> tuple[Conversation, Member]:
    """Return the conversation and the user's membership in it.

    Raises:
        NotFound: there is no such conversation for this user.
    """
    member = state.members[user_id]
    if state.conversation is None or member is None:
        raise NotFound("There is no such conversation.", _CONVERSATION)
    return state.conversation, member


def require_sender(state: State, sender_id: str, barred: str | None) -> None:
    """Refuse whoever may not write; `barred` is a reason from outside the log, None where there is none.

    Raises:
        NotFound: there is no such conversation for this user.
        Forbidden: the user is in it but may not write.
    """
    conversation, member = active_member(state, sender_id)
    require_writer(conversation, member, _CONVERSATION)
    if barred is not None:
        raise Forbidden(barred, _CONVERSATION)


def require_writer(conversation: Conversation, member: Member, path: tuple[str, ...]) -> None:
    """Refuse a member who may not say anything there.

    Raises:
        Forbidden: the conversation is archived, or a channel where the member only reads.
    """
    if conversation.archived_at is not None:
        raise Forbidden("The conversation is archived.", path)
    if conversation.kind is ConversationKind.DIRECT and conversation.member_count < PAIR:
        raise Forbidden("The other person is no longer here.", path)
    if conversation.kind is ConversationKind.CHANNEL and member.role is MemberRole.MEMBER:
        raise Forbidden("Only owners and moderators write in a channel.", path)


def require_adder(state: State, actor_id: str) -> Conversation:
    """Return the conversation of a member who may add others.

    Raises:
        NotFound: there is no such conversation for this user.
        Forbidden: the user is in it but may not add others.
    """
    conversation, _ = _manager(state, actor_id)
    if conversation.archived_at is not None:
        raise Forbidden("The conversation is archived.", _CONVERSATION)
    return conversation


def require_room(conversation: Conversation, newcomers: int) -> None:
    """Refuse newcomers for whom a group has no room.

    Raises:
        InvalidInput: there would be too many members.
    """
    if conversation.kind is ConversationKind.GROUP and conversation.member_count + newcomers > GROUP_MEMBERS:
        raise InvalidInput(f"A group has at most {GROUP_MEMBERS} members.", ("input", "userIds"))


def addition(actor_id: str, user_id: str) -> Decide:
    """Return the decision to add somebody."""

    def decide(state: State) -> Draft:
        conversation = require_adder(state, actor_id)
        if state.members[user_id] is not None:
            raise Unneeded
        require_room(conversation, 1)
        return Draft(MemberAdded, actor_id, {"user_id": user_id, "role": MemberRole.MEMBER})

    return decide


def removal(actor_id: str, user_id: str) -> Decide:
    """Return the decision to remove another member."""

    def decide(state: State) -> Draft:
        _, actor = _manager(state, actor_id)
        member = _member(state, user_id)
        if actor.role is not MemberRole.OWNER and member.role is not MemberRole.MEMBER:
            raise Forbidden("Only an owner may remove owners and moderators.", _USER)
        return Draft(MemberRemoved, actor_id, {"user_id": user_id, "role": member.role})

    return decide


def departure(actor_id: str) -> Decide:
    """Return the decision to leave."""

    def decide(state: State) -> Draft:
        conversation, member = active_member(state, actor_id)
        if conversation.kind is ConversationKind.DIRECT:
            raise Forbidden("A direct conversation cannot be left.", _CONVERSATION)
        if member.role is MemberRole.OWNER and conversation.owner_count == 1 and conversation.member_count > 1:
            raise Forbidden("The last owner cannot leave while others remain.", _CONVERSATION)
        return Draft(MemberRemoved, actor_id, {"user_id": actor_id, "role": member.role})

    return decide


def leaving_for_good(user_id: str, heir_id: str | None) -> Decide:
    """Return the decision with which an account that is erased leaves, also a direct conversation.

    A last owner first makes the heir one, if there is any other member: so the decision may be needed twice.
    """

    def decide(state: State) -> Draft:
        conversation, member = state.conversation, state.members[user_id]
        if conversation is None or member is None:
            raise Unneeded
        is_needed = member.role is MemberRole.OWNER and conversation.owner_count == 1 and conversation.member_count > 1
        if not is_needed or conversation.kind is ConversationKind.DIRECT:
            return Draft(MemberRemoved, user_id, {"user_id": user_id, "role": member.role})
        heir = None if heir_id is None else state.members[heir_id]
        if heir is None:
            raise Conflict("Somebody else has to become an owner first.")
        return Draft(MemberRoleChanged, user_id, _role_fields(heir, MemberRole.OWNER))

    return decide


def role_change(actor_id: str, user_id: str, role: MemberRole) -> Decide:
    """Return the decision to give a member, perhaps oneself, another role."""

    def decide(state: State) -> Draft:
        conversation, actor = _manager(state, actor_id)
        if actor.role is not MemberRole.OWNER:
            raise Forbidden("Only owners may change roles.", _CONVERSATION)
        member = _member(state, user_id)
        if member.role is role:
            raise Unneeded
        # Also where nobody else is in: as a moderator they could add others, who would then be without an owner.
        if member.role is MemberRole.OWNER and conversation.owner_count == 1:
            raise Forbidden("The last owner cannot step down.", ("input", "role"))
        return Draft(MemberRoleChanged, actor_id, _role_fields(member, role))

    return decide


def conversation_change(actor_id: str, changes: ConversationChanges) -> Decide:
    """Return the decision to change the title, or whether the conversation is archived."""

    def decide(state: State) -> Draft:
        conversation, member = active_member(state, actor_id)
        if changes and member.role is MemberRole.MEMBER:
            raise Forbidden("Only owners and moderators may change a conversation.", _CONVERSATION)
        if "title" in changes and conversation.kind is ConversationKind.DIRECT:
            raise Forbidden("A direct conversation has no title.", ("input", "title"))
        was_archived = conversation.archived_at is not None
        title, archived = changes.get("title", conversation.title), changes.get("archived", was_archived)
        if (title, archived) == (conversation.title, was_archived):
            raise Unneeded
        return Draft(ConversationChanged, actor_id, {"title": title, "archived": archived})

    return decide


def _role_fields(member: Member, role: MemberRole) -> dict[str, object]:
    return {
        "user_id": member.user_id,
        "role": role,
        "previous_role": member.role,
        "joined_sequence": member.joined_sequence,
        "joined_at": member.joined_at,
    }


def _manager(state: State, actor_id: str) -> tuple[Conversation, Member]:
    """Return the conversation and membership of somebody who may change who is in."""
    conversation, member = active_member(state, actor_id)
    if conversation.kind is ConversationKind.DIRECT:
        raise Forbidden("The members of a direct conversation cannot be changed.", _CONVERSATION)
    if member.role is MemberRole.MEMBER:
        raise Forbidden("Only owners and moderators may change who is in.", _CONVERSATION)
    return conversation, member


def _member(state: State, user_id: str) -> Member:
    member = state.members[user_id]
    if member is None:
        raise NotFound("There is no such member.", _USER)
    return member
