"""Receipts: how far members have got, what that says of messages, and what is unread."""

import asyncio
from typing import Any

import pytest

from services.receipts import WHOLE_GROUP
from tests.clients import ADD, CREATE, MARK_DELIVERED, MARK_READ, REMOVE, Api, Json, Person

STATUS = """query ($id: ID!) { conversation(id: $id) { viewerUnreadCount
  viewerMembership { deliveredSequence readSequence }
  messages { nodes { sequence status receipts { nodes { user { id } status readVersion at } } } } } }"""
UNREAD = "query ($id: ID!) { conversation(id: $id) { viewerUnreadCount } viewer { unreadCount } }"
EDIT = """mutation ($input: EditMessageInput!) { editMessage(input: $input) {
  message { version } userErrors { code } } }"""
DELETE = """mutation ($input: DeleteMessageInput!) { deleteMessage(input: $input) { message { id } } }"""
MUTE = """mutation ($input: MuteConversationInput!) { muteConversation(input: $input) { userErrors { code } } }"""
ARCHIVE = (
    """mutation ($input: UpdateConversationInput!) { updateConversation(input: $input) { userErrors { code } } }"""
)


async def statuses(person: Person, conversation_id: str) -> dict[int, str]:
    """Return the status of each message by its sequence."""
    response = await person.post(STATUS, {"id": conversation_id})
    return {node["sequence"]: node["status"] for node in response["data"]["conversation"]["messages"]["nodes"]}


async def unread(person: Person, conversation_id: str) -> tuple[int, int]:
    """Return the person's count in the conversation, and the sum over all."""
    data = (await person.post(UNREAD, {"id": conversation_id}))["data"]
    return data["conversation"]["viewerUnreadCount"], data["viewer"]["unreadCount"]


async def mark(person: Person, mutation: str, conversation_id: str, upto: int) -> Json:
    return await person.mutate(mutation, conversationId=conversation_id, upToSequence=upto)


async def test_a_message_is_sent_then_delivered_then_read_by_all_others(api: Api, other_api: Api) -> None:
    ann, bob, cyd = await api.register(), await other_api.register(), await api.register()
    room = (await ann.talk(bob, cyd))["id"]
    await ann.send(room, "hello")
    seen = [await statuses(ann, room)]

    for person, mutation in (
        (bob, MARK_DELIVERED),
        (cyd, MARK_DELIVERED),
        (bob, MARK_READ),
        (cyd, MARK_READ),
    ):
        await mark(person, mutation, room, 2)
        seen.append(await statuses(ann.at(other_api), room))

    assert [found[2] for found in seen] == ["SENT", "SENT", "DELIVERED", "DELIVERED", "READ"]


async def test_read_implies_delivered_and_markers_never_go_back(api: Api) -> None:
    ann, bob = await api.register(), await api.register()
    room = (await ann.talk(bob))["id"]
    for number in range(4):
        await ann.send(room, f"{number}")

    first = await mark(bob, MARK_READ, room, 4)
    second = await mark(bob, MARK_READ, room, 3)
    third = await mark(bob, MARK_DELIVERED, room, -7)

    assert first["member"] == second["member"] == third["member"] == {"deliveredSequence": 4, "readSequence": 4}
    assert first["viewerUnreadCount"] == third["viewerUnreadCount"] == 1


async def test_each_mutation_of_a_document_shows_what_the_one_before_it_did(api: Api) -> None:
    ann, bob = await api.register(), await api.register()
    room = (await ann.talk(bob))["id"]
    message = (await ann.send(room, "hello"))["message"]

    response = await bob.post(
        """mutation ($react: AddReactionInput!, $read: MarkReadInput!) {
          before: addReaction(input: $react) { message { status } }
          markRead(input: $read) { member { readSequence } }
          after: addReaction(input: $react) { message { status } } }""",
        {
            "react": {"messageId": message["id"], "emoji": "👍"},
            "read": {"conversationId": room, "upToSequence": message["sequence"]},
        },
    )

    assert response["data"]["before"]["message"] == {"status": "SENT"}
    assert response["data"]["after"]["message"] == {"status": "READ"}


async def test_beyond_the_head_and_outside_the_conversation_nothing_is_marked(api: Api, other_api: Api) -> None:
    ann, bob, eve = await api.register(), await other_api.register(), await api.register()
    room = (await ann.talk(bob))["id"]

    beyond = await mark(bob, MARK_READ, room, 2)
    outside = await mark(eve, MARK_READ, room, 1)
    await ann.send(room, "now there is one")
    within = await mark(bob, MARK_READ, room, 2)

    assert [(e["code"], e["path"]) for e in beyond["userErrors"]] == [("INVALID_INPUT", ["input", "upToSequence"])]
    assert (beyond["member"], beyond["viewerUnreadCount"]) == (None, None)
    assert [error["code"] for error in outside["userErrors"]] == ["NOT_FOUND"]
    assert within["userErrors"] == []


async def test_a_new_member_lowers_no_status_and_begins_at_the_joining(api: Api) -> None:
    ann, bob, cyd = await api.register(), await api.register(), await api.register()
    room = (await ann.talk(bob))["id"]
    await ann.send(room, "before")
    await mark(bob, MARK_READ, room, 2)
    await ann.mutate(ADD, conversationId=room, userIds=[cyd.id])
    await ann.send(room, "after")
    await mark(bob, MARK_READ, room, 4)

    found = (await cyd.post(STATUS, {"id": room}))["data"]["conversation"]

    assert await statuses(ann, room) == {2: "READ", 4: "SENT"}
    assert found["viewerMembership"] == {"deliveredSequence": 3, "readSequence": 3}
    assert found["viewerUnreadCount"] == 1


async def test_with_nobody_else_a_message_stays_sent_and_who_left_does_not_count(api: Api) -> None:
    ann, bob = await api.register(), await api.register()
    room = (await ann.talk(bob))["id"]
    await ann.send(room, "hello")
    with_bob = await statuses(ann, room)
    await ann.mutate(REMOVE, conversationId=room, userId=bob.id)

    assert with_bob == await statuses(ann, room) == {2: "SENT"}


async def test_who_joins_later_makes_no_message_read_that_nobody_else_could_read(api: Api, other_api: Api) -> None:
    ann, bob = await api.register(), await other_api.register()
    room = (await ann.talk())["id"]
    await ann.send(room, "to nobody")

    await ann.mutate(ADD, conversationId=room, userIds=[bob.id])
    await mark(bob, MARK_READ, room, 3)

    assert await statuses(ann, room) == await statuses(ann.at(other_api), room) == {2: "SENT"}


async def test_an_edit_after_reading_shows_in_the_version_that_was_read(api: Api) -> None:
    ann, bob = await api.register(), await api.register()
    room = (await ann.talk(bob))["id"]
    message = (await ann.send(room, "one"))["message"]

    async def receipt() -> tuple[str, Any]:
        found = (await ann.post(STATUS, {"id": room}))["data"]["conversation"]["messages"]["nodes"][0]
        (one,) = found["receipts"]["nodes"]
        assert one["user"]["id"] == bob.id
        return one["status"], one["readVersion"]

    seen = [await receipt()]
    await mark(bob, MARK_READ, room, 2)
    seen.append(await receipt())
    await ann.mutate(EDIT, messageId=message["id"], body="two")
    seen.append(await receipt())
    await mark(bob, MARK_READ, room, 3)
    seen.append(await receipt())

    assert seen == [("SENT", None), ("READ", 1), ("READ", 1), ("READ", 2)]


async def test_unread_are_messages_of_others_after_the_marker_that_are_not_deleted(api: Api, other_api: Api) -> None:
    ann, bob = await api.register(), await other_api.register()
    room = (await ann.talk(bob))["id"]
    sent = [(await ann.send(room, f"{number}"))["message"] for number in range(3)]
    await bob.send(room, "mine")
    counts = [await unread(bob, room)]

    await ann.mutate(DELETE, messageId=sent[1]["id"])
    counts.append(await unread(bob, room))
    await mark(bob, MARK_READ, room, sent[0]["sequence"])
    counts.append(await unread(bob.at(api), room))
    await ann.mutate(ARCHIVE, conversationId=room, archived=True)
    counts.append(await unread(bob, room))
    await ann.mutate(ARCHIVE, conversationId=room, archived=False)
    await bob.mutate(MUTE, conversationId=room, until="2100-01-01T00:00:00Z")
    counts.append(await unread(bob, room))

    assert counts == [(3, 3), (2, 2), (1, 1), (1, 0), (1, 0)]
    assert await unread(ann, room) == (1, 1)


async def test_each_member_s_receipts_come_before_caught_up_and_then_as_they_move(api: Api, other_api: Api) -> None:
    ann, bob = await api.register(), await other_api.register()
    room = (await ann.talk(bob))["id"]
    await ann.send(room, "hello")
    await mark(bob, MARK_DELIVERED, room, 2)

    async with ann.socket() as here, ann.at(other_api).socket() as there:
        runs = [await socket.updates(room) for socket in (here, there)]
        for run in runs:
            await run.until_caught_up()
        before = [{r["userId"]: (r["deliveredSequence"], r["readSequence"]) for r in run.receipts} for run in runs]
        for run in runs:
            run.receipts.clear()
        await mark(bob, MARK_READ, room, 2)
        after = [await run.receipt() for run in runs]

    assert before == [{ann.id: (1, 1), bob.id: (2, 1)}] * 2
    assert {(r["userId"], r["deliveredSequence"], r["readSequence"]) for r in after} == {(bob.id, 2, 2)}


@pytest.mark.slow
async def test_in_a_large_conversation_each_hears_of_the_own_receipts_only(api: Api, other_api: Api) -> None:
    ann = await api.register()
    people = [await api.register() for _ in range(WHOLE_GROUP)]
    bob = people[0]
    made = await ann.mutate(CREATE, kind="GROUP", memberIds=[person.id for person in people])
    room = made["conversation"]["id"]
    await ann.send(room, "hello")

    async with bob.socket() as his, bob.at(other_api).socket() as his_other, ann.socket() as hers:
        runs = [await socket.updates(room) for socket in (his, his_other, hers)]
        for run in runs:
            await run.until_caught_up()
        first = [[receipt["userId"] for receipt in run.receipts] for run in runs]
        for run in runs:
            run.receipts.clear()
        await mark(bob, MARK_READ, room, 2)
        moved = [await run.receipt() for run in runs[:2]]
        await ann.send(room, "the next")
        nothing = await runs[2].update()

    assert first == [[bob.id], [bob.id], [ann.id]]
    assert {receipt["readSequence"] for receipt in moved} == {2}
    assert nothing["__typename"] == "MessageSent"
    assert runs[2].receipts == []


async def test_markers_raced_from_two_processes_end_at_the_farthest(api: Api, other_api: Api) -> None:
    ann, bob = await api.register(), await api.register()
    room = (await ann.talk(bob))["id"]
    for number in range(12):
        await ann.send(room, f"{number}")

    await asyncio.gather(
        *(
            mark(bob.at((api, other_api)[number % 2]), (MARK_READ, MARK_DELIVERED)[number % 3 == 0], room, number + 1)
            for number in range(12)
        )
    )
    found = [(await bob.at(where).post(STATUS, {"id": room}))["data"]["conversation"] for where in (api, other_api)]

    assert [one["viewerMembership"] for one in found] == [{"deliveredSequence": 12, "readSequence": 12}] * 2
