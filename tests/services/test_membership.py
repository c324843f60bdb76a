"""The rules of membership as functions of a log's prefix, and what the new entries leave in the documents."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import pytest
from bson.codec_options import CodecOptions
from hypothesis import given
from hypothesis import strategies as st

from services import ids
from services.append import Decide
from services.cache import Cache
from services.entries import (
    ConversationCreated,
    ConversationKind,
    Draft,
    Entry,
    MemberRole,
    entries_in,
    to_bytes,
    to_document,
)
from services.errors import ChatError, Forbidden, InvalidInput
from services.events import Event
from services.log import Logs
from services.log_cache import LogCache
from services.membership import (
    GROUP_MEMBERS,
    addition,
    conversation_change,
    departure,
    removal,
    require_room,
    role_change,
)
from services.mongo import Database
from services.state import State, member_id
from tests.services.test_log import Nobody

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CONVERSATION = ids.new_id("cnv")
ANN, BOB, CLEO = ids.user(), ids.user(), ids.user()
OWNER, MODERATOR, MEMBER = MemberRole.OWNER, MemberRole.MODERATOR, MemberRole.MEMBER


def after(state: State, draft: Draft) -> tuple[State, Entry]:
    """Return the state with one more entry, and that entry."""
    entry = draft.placed(CONVERSATION, state.sequence + 1, key=f"{state.sequence}", at=NOW, control=state.control)
    return state.after(entry), entry


def created(kind: ConversationKind = ConversationKind.GROUP, **roles: MemberRole) -> State:
    """Return the state of a new conversation of Ann, as owner, and others, of whom the rest is not in."""
    users = {"bob": BOB, "cleo": CLEO}
    members = ((ANN, OWNER), *((users[name], role) for name, role in roles.items()))
    draft = Draft(ConversationCreated, ANN, {"conversation_kind": kind, "title": None, "roles": members})
    return after(State(), draft)[0].with_members(dict.fromkeys((ANN, BOB, CLEO)))


def refusal(decide: Decide, state: State) -> type[ChatError] | None:
    """Return how a decision is refused, or None where it is not."""
    try:
        decide(state)
    except ChatError as error:
        return type(error)
    return None


def test_a_group_takes_its_500th_member_and_no_501st() -> None:
    conversation = created().conversation
    assert conversation is not None
    almost_full = conversation.model_copy(update={"member_count": GROUP_MEMBERS - 1})

    require_room(almost_full, 1)
    with pytest.raises(InvalidInput):
        require_room(almost_full, 2)
    require_room(almost_full.model_copy(update={"kind": ConversationKind.CHANNEL}), 2)


def test_a_last_owner_who_is_alone_may_leave_but_not_step_down() -> None:
    alone = created()

    assert refusal(departure(ANN), alone) is None
    assert refusal(role_change(ANN, ANN, MODERATOR), alone) is Forbidden


def test_another_title_leaves_the_time_of_the_archiving() -> None:
    state, _ = after(created(), conversation_change(ANN, {"archived": True})(created()))
    later = conversation_change(ANN, {"title": "Engines"})(state).placed(
        CONVERSATION, state.sequence + 1, key="later", at=NOW + timedelta(days=1), control=state.control
    )
    changed = state.after(later).conversation

    assert changed is not None
    assert (changed.title, changed.archived_at) == ("Engines", NOW)


@given(st.data())
def test_whoever_is_in_a_conversation_has_an_owner(data: st.DataObject) -> None:
    state = created(bob=data.draw(st.sampled_from(MemberRole)))
    users = st.sampled_from((ANN, BOB, CLEO))
    for _ in range(data.draw(st.integers(1, 30))):
        actor, user = data.draw(users), data.draw(users)
        decide = data.draw(
            st.sampled_from(
                (
                    addition(actor, user),
                    removal(actor, user),
                    departure(actor),
                    *(role_change(actor, user, role) for role in MemberRole),
                )
            )
        )
        if actor == user and decide.__qualname__.startswith("removal"):
            continue  # refused before it gets there
        if refusal(decide, state) is None:
            state, _ = after(state, decide(state))
        members = [member for member in state.members.values() if member is not None]
        owners = sum(member.role is OWNER for member in members)
        assert state.conversation is not None
        assert (state.conversation.member_count, state.conversation.owner_count) == (len(members), owners)
        assert bool(owners) is bool(members)


def test_the_new_entries_go_between_processes_and_to_kafka_as_they_are() -> None:
    state = created(bob=MEMBER)
    state, role_changed = after(state, role_change(ANN, BOB, MODERATOR)(state))
    state, changed = after(state, conversation_change(ANN, {"title": "Engines", "archived": True})(state))

    message = bson.decode(to_bytes([role_changed, changed]), CodecOptions[dict[str, Any]](tz_aware=True))

    assert entries_in(message) == [role_changed, changed]
    assert (Event.of(role_changed).kind, Event.of(role_changed).user_ids) == ("member_role_changed", (BOB,))
    assert (Event.of(changed).kind, Event.of(changed).user_ids) == ("changed", ())


@pytest.fixture
async def logs(mongo_database: Database, caches: list[Cache]) -> AsyncIterator[Logs]:
    async with Logs(mongo_database, Nobody(), LogCache(caches[0]), ()).running() as logs:
        yield logs


async def test_roles_and_archives_of_a_writer_that_died_are_mended(logs: Logs, mongo_database: Database) -> None:
    state = State()
    drafts: list[Decide] = [
        lambda _: Draft(
            ConversationCreated,
            ANN,
            {"conversation_kind": ConversationKind.GROUP, "title": None, "roles": ((ANN, OWNER), (BOB, MEMBER))},
        ),
        role_change(ANN, BOB, OWNER),
        conversation_change(ANN, {"archived": True}),
    ]
    for decide in drafts:
        state, entry = after(state, decide(state))
        await mongo_database["entries"].insert_one(to_document(entry))

    log = await logs.get(CONVERSATION)
    bob = await log.member(BOB)
    stored = await mongo_database["conversations"].find_one({"_id": CONVERSATION})

    assert bob is not None
    assert bob == state.members[BOB]
    assert stored is not None
    assert (stored["ownerCount"], stored["archivedAt"], stored["applied"]) == (2, NOW, 3)


async def test_a_role_written_late_does_not_undo_what_came_after_it(logs: Logs, mongo_database: Database) -> None:
    conversation = await logs.get(ids.new_id("cnv"))
    roles = ((ANN, OWNER), (BOB, MEMBER))
    fields = {"conversation_kind": ConversationKind.GROUP, "title": None, "roles": roles}
    await conversation.append("create", lambda _: Draft(ConversationCreated, ANN, fields), base=0, concerns=())
    decisions = (role_change(ANN, BOB, MODERATOR), role_change(ANN, BOB, OWNER), removal(ANN, BOB))
    entries: list[tuple[Entry, State]] = []
    for number, decide in enumerate(decisions):
        entry = await conversation.append(f"{number}", decide, base=1, concerns=(ANN, BOB))
        entries.append((entry, conversation.state))

    for entry, state in reversed(entries):
        await logs.projections.write(entry, state)

    stored = await mongo_database["members"].find_one({"_id": member_id(conversation.conversation_id, BOB)})
    assert stored is not None
    assert (stored["role"], stored["active"], stored["applied"]) == ("OWNER", False, 4)


def test_a_membership_can_be_told_from_the_entry_that_changed_it() -> None:
    state = created()
    state, added = after(state, addition(ANN, BOB)(state))
    state, changed = after(state, role_change(ANN, BOB, MODERATOR)(state))

    member = state.members[BOB]
    assert member is not None
    assert (member.role, member.joined_sequence, member.applied) == (MODERATOR, added.sequence, changed.sequence)
    assert State(sequence=2, control=2, conversation=state.conversation).after(changed).members[BOB] == member
