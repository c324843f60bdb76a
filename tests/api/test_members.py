"""Roles, titles, archives and mutes, from one process to the other, and in races between the two."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from services import ids
from tests.clients import ADD, CREATE, LEAVE, MUTE, REMOVE, SET_ROLE, UPDATE, Api, Json, Person, Running

CONVERSATION = """query ($id: ID!) { conversation(id: $id) { title archivedAt memberCount lastSequence
  viewerMembership { role mutedUntil } viewerCanSend { allowed reason retryAfterMs }
  members { nodes { user { id } role mutedUntil } } } }"""


async def seen(person: Person, conversation_id: str) -> Any:
    """Return the conversation as somebody sees it."""
    response = await person.post(CONVERSATION, {"id": conversation_id})
    assert "errors" not in response, response
    return response["data"]["conversation"]


async def roles(person: Person, conversation_id: str) -> dict[str, str]:
    """Return the roles of all members by id."""
    members = (await seen(person, conversation_id))["members"]["nodes"]
    return {member["user"]["id"]: member["role"] for member in members}


async def entries(running: Running, last: int) -> list[Json]:
    """Return what a subscription gets up to a place in the log."""
    updates = [await running.update()]
    while updates[-1]["sequence"] < last:
        updates.append(await running.update())
    return updates


def refusal(payload: Json) -> tuple[str, str]:
    """Return the code of a refusal, and the part of the input that it names."""
    (error,) = payload["userErrors"]
    return error["code"], error["path"][-1]


async def test_a_new_role_is_heard_and_holds_on_the_other_process(api: Api, other_api: Api) -> None:
    ann, bob, cleo = await api.register(), await other_api.register(), await api.register()
    conversation = await ann.talk(bob, kind="CHANNEL")
    assert (await bob.send(conversation["id"], "not yet"))["userErrors"][0]["code"] == "FORBIDDEN"
    async with bob.socket() as socket:
        updates = await socket.updates(conversation["id"])
        await updates.until_caught_up()

        changed = await ann.mutate(SET_ROLE, conversationId=conversation["id"], userId=bob.id, role="MODERATOR")
        added = await bob.mutate(ADD, conversationId=conversation["id"], userIds=[cleo.id])
        sent = await bob.send(conversation["id"], "now")
        heard = await entries(updates, sent["message"]["sequence"])

    assert [payload["userErrors"] for payload in (changed, added, sent)] == [[], [], []]
    assert [update["__typename"] for update in heard] == ["MemberRoleChanged", "MemberAdded", "MessageSent"]
    assert heard[0]["actor"]["id"] == ann.id
    assert (heard[0]["member"]["user"]["id"], heard[0]["member"]["role"]) == (bob.id, "MODERATOR")
    assert (await seen(bob, conversation["id"]))["viewerMembership"]["role"] == "MODERATOR"
    assert (await roles(ann, conversation["id"]))[bob.id] == "MODERATOR"


async def test_a_role_that_somebody_has_already_changes_nothing(api: Api) -> None:
    ann, bob = await api.register(), await api.register()
    conversation = await ann.talk(bob)

    changed = await ann.mutate(SET_ROLE, conversationId=conversation["id"], userId=bob.id, role="MEMBER")

    assert (changed["userErrors"], changed["conversation"]["lastSequence"]) == ([], 1)


async def test_an_owner_hands_over_and_goes(api: Api, other_api: Api) -> None:
    ann, bob = await api.register(), await other_api.register()
    conversation = await ann.talk(bob)
    fields = {"conversationId": conversation["id"]}

    too_early = await ann.mutate(SET_ROLE, **fields, userId=ann.id, role="MEMBER")
    await ann.mutate(SET_ROLE, **fields, userId=bob.id, role="OWNER")
    stepped_down = await bob.mutate(SET_ROLE, **fields, userId=ann.id, role="MODERATOR")
    left = await ann.mutate(LEAVE, **fields)

    assert refusal(too_early) == ("FORBIDDEN", "role")
    assert (stepped_down["userErrors"], left["userErrors"]) == ([], [])
    assert await roles(bob, conversation["id"]) == {bob.id: "OWNER"}


async def test_who_comes_back_is_a_plain_member(api: Api) -> None:
    ann, bob = await api.register(), await api.register()
    conversation = await ann.talk(bob)
    fields = {"conversationId": conversation["id"]}
    await ann.mutate(SET_ROLE, **fields, userId=bob.id, role="OWNER")
    await bob.mutate(LEAVE, **fields)

    await ann.mutate(ADD, **fields, userIds=[bob.id])

    assert await roles(ann, conversation["id"]) == {ann.id: "OWNER", bob.id: "MEMBER"}
    assert refusal(await ann.mutate(LEAVE, **fields)) == ("FORBIDDEN", "conversationId")


async def test_the_role_of_whoever_is_not_in_cannot_be_changed(api: Api) -> None:
    ann, bob = await api.register(), await api.register()
    conversation = await ann.talk()

    for user_id in (bob.id, ids.user(), conversation["id"], "", "nobody"):
        for query, fields in ((SET_ROLE, {"role": "OWNER"}), (REMOVE, {})):
            refused = await ann.mutate(query, conversationId=conversation["id"], userId=user_id, **fields)
            assert refusal(refused) == ("NOT_FOUND", "userId")


async def test_a_changed_title_is_heard_and_read_on_the_other_process(api: Api, other_api: Api) -> None:
    ann, bob = await api.register(), await other_api.register()
    conversation = await ann.talk(bob)
    async with bob.socket() as socket:
        updates = await socket.updates(conversation["id"])
        await updates.until_caught_up()

        changed = await ann.mutate(UPDATE, conversationId=conversation["id"], title=" Engines ")
        read = await seen(bob, conversation["id"])
        heard = await updates.update()

    assert changed["conversation"]["title"] == read["title"] == "Engines"
    assert (heard["__typename"], heard["conversation"]["title"]) == ("ConversationChanged", "Engines")


async def test_a_title_that_is_left_out_stays_and_null_takes_it_away(api: Api) -> None:
    ann = await api.register()
    conversation = (await ann.mutate(CREATE, memberIds=[], title="Engines"))["conversation"]

    left_out = await ann.mutate(UPDATE, conversationId=conversation["id"], archived=None)
    unfit = await ann.mutate(UPDATE, conversationId=conversation["id"], title=" ")
    taken_away = await ann.mutate(UPDATE, conversationId=conversation["id"], title=None)

    assert (left_out["conversation"]["title"], left_out["conversation"]["lastSequence"]) == ("Engines", 1)
    assert refusal(unfit) == ("INVALID_INPUT", "title")
    assert (taken_away["conversation"]["title"], taken_away["conversation"]["lastSequence"]) == (None, 2)


async def test_an_archived_conversation_takes_neither_messages_nor_people(api: Api, other_api: Api) -> None:
    ann, bob, cleo = await api.register(), await other_api.register(), await api.register()
    conversation = await ann.talk(bob)
    fields = {"conversationId": conversation["id"]}
    early = await bob.send(conversation["id"], "before", "the-id")

    archived = await ann.mutate(UPDATE, **fields, archived=True)
    again = await ann.mutate(UPDATE, **fields, archived=True)
    permission = (await seen(bob, conversation["id"]))["viewerCanSend"]
    refused = [await bob.send(conversation["id"], "hello"), await ann.mutate(ADD, **fields, userIds=[cleo.id])]
    retried = await bob.send(conversation["id"], "before", "the-id")
    allowed = [
        await ann.mutate(SET_ROLE, **fields, userId=bob.id, role="MODERATOR"),
        await bob.mutate(UPDATE, **fields, archived=False, title="again"),
    ]
    sent = await bob.send(conversation["id"], "after")

    assert archived["conversation"]["archivedAt"] is not None
    assert again["conversation"] == archived["conversation"]
    assert permission == {"allowed": False, "reason": "The conversation is archived.", "retryAfterMs": None}
    assert [refusal(payload) for payload in refused] == [("FORBIDDEN", "conversationId")] * 2
    assert retried["message"]["id"] == early["message"]["id"]
    assert [payload["userErrors"] for payload in (*allowed, sent)] == [[], [], []]
    assert (await seen(bob, conversation["id"]))["viewerCanSend"] == {
        "allowed": True,
        "reason": None,
        "retryAfterMs": None,
    }


async def test_a_mute_is_seen_by_its_owner_alone_until_it_ends(api: Api, other_api: Api) -> None:
    ann, bob = await api.register(), await other_api.register()
    conversation = await ann.talk(bob)
    until = (datetime.now(UTC) + timedelta(seconds=3)).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    muted = await ann.mutate(MUTE, conversationId=conversation["id"], until=until)
    hers = await seen(ann.at(other_api), conversation["id"])
    his = await seen(bob, conversation["id"])
    async with asyncio.timeout(30):
        while (await seen(ann, conversation["id"]))["viewerMembership"]["mutedUntil"] is not None:
            pass

    assert muted["conversation"]["viewerMembership"]["mutedUntil"] == until
    assert hers["viewerMembership"]["mutedUntil"] == until
    assert {member["user"]["id"]: member["mutedUntil"] for member in hers["members"]["nodes"]} == {
        ann.id: until,
        bob.id: None,
    }
    assert his["viewerMembership"]["mutedUntil"] is None
    assert [member["mutedUntil"] for member in his["members"]["nodes"]] == [None, None]
    assert datetime.now(UTC) >= datetime.fromisoformat(until)


async def test_a_mute_ends_by_null_and_cannot_end_in_the_past(api: Api) -> None:
    ann = await api.register()
    conversation = await ann.talk()
    await ann.mutate(MUTE, conversationId=conversation["id"], until="2999-01-01T00:00:00Z")

    past = await ann.mutate(MUTE, conversationId=conversation["id"], until="2020-01-01T00:00:00Z")
    ended = [await ann.mutate(MUTE, conversationId=conversation["id"], until=None) for _ in range(2)]
    elsewhere = await ann.mutate(MUTE, conversationId=ids.new_id("cnv"), until=None)

    assert refusal(past) == ("INVALID_INPUT", "until")
    assert [payload["conversation"]["viewerMembership"]["mutedUntil"] for payload in ended] == [None, None]
    assert refusal(elsewhere) == ("NOT_FOUND", "conversationId")


async def test_a_shared_event_shows_nobodys_mute(api: Api) -> None:
    ann, bob = await api.register(), await api.register()
    conversation = await ann.talk(bob)
    await bob.mutate(MUTE, conversationId=conversation["id"], until="2999-01-01T00:00:00Z")
    query = """subscription ($id: ID!) { conversationUpdates(conversationId: $id) {
      __typename ... on MemberRoleChanged { member { mutedUntil } }
      ... on ConversationChanged { conversation { members { nodes { mutedUntil } } } } } }"""
    async with ann.socket() as hers, bob.socket() as his:
        runs = [await socket.start(query, {"id": conversation["id"]}) for socket in (hers, his)]
        for run in runs:
            await run.update()
        await ann.mutate(SET_ROLE, conversationId=conversation["id"], userId=bob.id, role="MODERATOR")
        await ann.mutate(UPDATE, conversationId=conversation["id"], title="Engines")

        heard = [[await run.update(), await run.update()] for run in runs]

    nobodys = {"mutedUntil": None}
    shown = [
        {"__typename": "MemberRoleChanged", "member": nobodys},
        {"__typename": "ConversationChanged", "conversation": {"members": {"nodes": [nobodys] * 2}}},
    ]
    assert heard == [shown, shown]


async def test_a_call_names_at_most_100_people_and_each_once(api: Api) -> None:
    ann, bob = await api.register(), await api.register()
    conversation = await ann.talk()

    added = await ann.mutate(ADD, conversationId=conversation["id"], userIds=[bob.id] * 100)
    too_many = [
        await ann.mutate(ADD, conversationId=conversation["id"], userIds=[bob.id] * 101),
        await ann.mutate(CREATE, memberIds=[bob.id] * 101),
    ]
    made = await ann.mutate(CREATE, memberIds=[bob.id, ann.id, bob.id])
    direct = await ann.mutate(CREATE, kind="DIRECT", memberIds=[bob.id, bob.id])

    assert (added["conversation"]["memberCount"], added["conversation"]["lastSequence"]) == (2, 2)
    assert [refusal(payload) for payload in too_many] == [("INVALID_INPUT", "userIds"), ("INVALID_INPUT", "memberIds")]
    assert made["conversation"]["memberCount"] == direct["conversation"]["memberCount"] == 2


async def test_where_one_person_is_missing_nobody_is_added(api: Api) -> None:
    ann, bob = await api.register(), await api.register()
    conversation = await ann.talk()

    refused = await ann.mutate(ADD, conversationId=conversation["id"], userIds=[bob.id, ids.user()])

    assert refusal(refused) == ("NOT_FOUND", "userIds")
    assert await roles(ann, conversation["id"]) == {ann.id: "OWNER"}


async def test_somebody_added_from_two_processes_at_once_joins_once(api: Api, other_api: Api) -> None:
    ann, bob = await api.register(), await other_api.register()
    conversation = await ann.talk()

    added = await asyncio.gather(
        *(
            person.mutate(ADD, conversationId=conversation["id"], userIds=[bob.id])
            for person in (ann, ann.at(other_api))
            for _ in range(5)
        )
    )

    assert [payload["userErrors"] for payload in added] == [[]] * 10
    assert (await seen(ann, conversation["id"]))["lastSequence"] == 2


async def test_a_moderator_who_is_demoted_while_acting_does_nothing_after_it(api: Api, other_api: Api) -> None:
    ann, bob = await api.register(), await other_api.register()
    conversation = await ann.talk(bob)
    fields = {"conversationId": conversation["id"]}
    await ann.mutate(SET_ROLE, **fields, userId=bob.id, role="MODERATOR")
    async with ann.socket() as socket:
        updates = await socket.updates(conversation["id"])
        await updates.until_caught_up()

        changes = [asyncio.create_task(bob.mutate(UPDATE, **fields, title=f"title {number}")) for number in range(40)]
        demoted = await ann.mutate(SET_ROLE, **fields, userId=bob.id, role="MEMBER")
        outcomes = await asyncio.gather(*changes)
        end = await ann.send(conversation["id"], "the end")
        heard = await entries(updates, end["message"]["sequence"])

    assert demoted["userErrors"] == []
    demotion = next(update["sequence"] for update in heard if update["__typename"] == "MemberRoleChanged")
    his = [update["sequence"] for update in heard if update["actor"]["id"] == bob.id]
    assert all(sequence < demotion for sequence in his)
    assert len(his) == sum(not payload["userErrors"] for payload in outcomes)
    assert {refusal(payload) for payload in outcomes if payload["userErrors"]} <= {("FORBIDDEN", "conversationId")}


async def test_nothing_is_said_after_the_archiving(api: Api, other_api: Api) -> None:
    ann, bob = await api.register(), await other_api.register()
    conversation = await ann.talk(bob)
    async with ann.socket() as socket:
        updates = await socket.updates(conversation["id"])
        await updates.until_caught_up()

        sends = [asyncio.create_task(bob.send(conversation["id"], f"message {number}")) for number in range(40)]
        archived = await ann.mutate(UPDATE, conversationId=conversation["id"], archived=True)
        outcomes = await asyncio.gather(*sends)
        last = (await seen(ann, conversation["id"]))["lastSequence"]
        heard = await entries(updates, last)

    assert archived["userErrors"] == []
    assert heard[-1]["__typename"] == "ConversationChanged"
    assert len(heard) - 1 == sum(payload["message"] is not None for payload in outcomes)
