"""Who may do what to a message: pure functions of the log's prefix, of which each returns what to append.

For whoever is not in the conversation, or joined it after the message, there is no such message. In an archived
conversation nothing changes any more, but that what was said can be taken back.
"""

from collections.abc import Sequence
from typing import Any

from services.append import Decide
from services.entries import (
    ConversationKind,
    Draft,
    MemberRole,
    MessageChange,
    MessageDeleted,
    MessageEdited,
    MessagePinned,
    MessageSent,
    MessageUnpinned,
    ReactionAdded,
    ReactionRemoved,
)
from services.errors import Conflict, Forbidden, InvalidInput, NotFound
from services.membership import Unneeded, active_member, require_sender, require_writer
from services.message_state import Attachment
from services.state import Conversation, Member, State

PINS = 50  # in a conversation
EMOJI = 20  # different ones on a message
REACTIONS = 1_000  # on a message: each change writes them all

_MESSAGE = ("input", "messageId")

type Names = Sequence[Sequence[str]]  # for each name in a body the users whom it may mean, the likeliest first


def sending(
    sender_id: str,
    *,
    barred: str | None,
    body: str,
    client_message_id: str,
    reply_to: int | None,
    names: Names,
    attachments: tuple[Attachment, ...],
) -> Decide:
    def decide(state: State) -> Draft:
        require_sender(state, sender_id, barred)
        _, member = active_member(state, sender_id)
        if reply_to is not None:
            quoted = state.messages.get(reply_to)
            if quoted is None or reply_to < member.joined_sequence or quoted.state.deleted_at is not None:
                raise NotFound("There is no such message to reply to.", ("input", "replyToId"))
        fields: dict[str, Any] = {
            "body": body,
            "client_message_id": client_message_id,
            "reply_to": reply_to,
            "mentions": _mentioned(state, names),
            "attachments": attachments,
        }
        return Draft(MessageSent, sender_id, fields)

    return decide


def editing(
    actor_id: str, message: int, *, barred: str | None, body: str, names: Names, expected_version: int | None
) -> Decide:
    def decide(state: State) -> Draft:
        conversation, member, sent = _target(state, actor_id, message)
        require_editor(conversation, member, sent.actor_id)
        if barred is not None:
            raise Forbidden(barred, _MESSAGE)
        _require_undeleted(sent)
        if body == sent.current_body:
            raise Unneeded  # also with an older version: it may be the same edit, whose answer was lost
        if expected_version is not None and expected_version != sent.state.version:
            raise Conflict("The message has been edited meanwhile.", ("input", "expectedVersion"))
        return _change(
            MessageEdited,
            actor_id,
            message,
            body=body,
            mentions=_mentioned(state, names),
            version=sent.state.version + 1,
            previous_edit=sent.state.newest_edit,
        )

    return decide


def deleting(actor_id: str, message: int) -> Decide:
    def decide(state: State) -> Draft:
        conversation, member, sent = _target(state, actor_id, message)
        require_deleter(conversation, member, sent.actor_id)
        if sent.state.deleted_at is not None:
            raise Unneeded
        return _change(MessageDeleted, actor_id, message)

    return decide


def reacting(actor_id: str, message: int, emoji: str) -> Decide:
    def decide(state: State) -> Draft:
        sent = _reactable(state, actor_id, message)
        reacted = sent.state.reacted(emoji)
        if actor_id in reacted:
            raise Unneeded
        if not reacted and len(sent.state.reactions) >= EMOJI:
            raise InvalidInput(f"A message has at most {EMOJI} different reactions.", ("input", "emoji"))
        if sum(len(reaction.user_ids) for reaction in sent.state.reactions) >= REACTIONS:
            raise InvalidInput(f"A message has at most {REACTIONS} reactions.", _MESSAGE)
        return _change(ReactionAdded, actor_id, message, emoji=emoji)

    return decide


def unreacting(actor_id: str, message: int, emoji: str) -> Decide:
    def decide(state: State) -> Draft:
        sent = _reactable(state, actor_id, message)
        if actor_id not in sent.state.reacted(emoji):
            raise Unneeded
        return _change(ReactionRemoved, actor_id, message, emoji=emoji)

    return decide


def erasing(sender_id: str, message: int) -> Decide:
    """Return the decision to delete a message whose sender's account is erased, wherever it is and whoever is in."""

    def decide(state: State) -> Draft:
        sent = state.messages.get(message)
        if sent is None or sent.actor_id != sender_id or sent.state.deleted_at is not None:
            raise Unneeded
        return _change(MessageDeleted, sender_id, message)

    return decide


def unreacting_for_good(user_id: str, message: int, emoji: str) -> Decide:
    """Return the decision to take a reaction of an account away that is erased."""

    def decide(state: State) -> Draft:
        sent = state.messages.get(message)
        if sent is None or user_id not in sent.state.reacted(emoji):
            raise Unneeded
        return _change(ReactionRemoved, user_id, message, emoji=emoji)

    return decide


def pinning(actor_id: str, message: int) -> Decide:
    def decide(state: State) -> Draft:
        conversation, sent = _pinnable(state, actor_id, message)
        if sent.state.pinned_at is not None:
            raise Unneeded
        if len(conversation.pinned) >= PINS:
            raise InvalidInput(f"A conversation has at most {PINS} pinned messages.", _MESSAGE)
        return _change(MessagePinned, actor_id, message)

    return decide


def unpinning(actor_id: str, message: int) -> Decide:
    def decide(state: State) -> Draft:
        _, sent = _pinnable(state, actor_id, message)
        if sent.state.pinned_at is None:
            raise Unneeded
        return _change(MessageUnpinned, actor_id, message)

    return decide


# ---------------------------------------------------------------- what they have in common


def _target(state: State, actor_id: str, message: int) -> tuple[Conversation, Member, MessageSent]:
    """Return a message that the actor may see, and where.

    Raises:
        NotFound: there is none.
    """
    member, sent = state.members[actor_id], state.messages.get(message)
    if state.conversation is None or member is None or sent is None or message < member.joined_sequence:
        raise NotFound("There is no such message.", _MESSAGE)
    return state.conversation, member, sent


def require_editor(conversation: Conversation, member: Member, sender_id: str) -> None:
    """Refuse whoever may not edit a message of this sender.

    Raises:
        Forbidden: it is somebody else's, or its sender may write no more.
    """
    if sender_id != member.user_id:
        raise Forbidden("Only the sender may edit a message.", _MESSAGE)
    require_writer(conversation, member, _MESSAGE)


def require_deleter(conversation: Conversation, member: Member, sender_id: str) -> None:
    """Refuse whoever may not delete a message of this sender.

    Raises:
        Forbidden: it is somebody else's, and the member moderates nobody. In a direct conversation nobody does.
    """
    moderates = conversation.kind is not ConversationKind.DIRECT and member.role is not MemberRole.MEMBER
    if sender_id != member.user_id and not moderates:
        raise Forbidden("Only the sender, owners and moderators may delete a message.", _MESSAGE)


def _reactable(state: State, actor_id: str, message: int) -> MessageSent:
    conversation, _, sent = _target(state, actor_id, message)
    _require_unarchived(conversation)
    _require_undeleted(sent)
    return sent


def _pinnable(state: State, actor_id: str, message: int) -> tuple[Conversation, MessageSent]:
    conversation, member, sent = _target(state, actor_id, message)
    if conversation.kind is not ConversationKind.DIRECT and member.role is MemberRole.MEMBER:
        raise Forbidden("Only owners and moderators pin messages.", _MESSAGE)
    _require_unarchived(conversation)
    _require_undeleted(sent)
    return conversation, sent


def _require_unarchived(conversation: Conversation) -> None:
    if conversation.archived_at is not None:
        raise Forbidden("The conversation is archived.", _MESSAGE)


def _require_undeleted(sent: MessageSent) -> None:
    if sent.state.deleted_at is not None:
        raise Forbidden("The message was deleted.", _MESSAGE)


def _mentioned(state: State, names: Names) -> tuple[str, ...]:
    """Return the members whom the names of a body mean, in that order."""
    found = (next((user_id for user_id in meant if state.members[user_id] is not None), None) for meant in names)
    return tuple(dict.fromkeys(user_id for user_id in found if user_id is not None))


def _change(type_: type[MessageChange], actor_id: str, message: int, **fields: object) -> Draft:
    return Draft(type_, actor_id, {"message": message, **fields})
