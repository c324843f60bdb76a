"""What people do with messages once they are said, over two API processes."""

import asyncio
from typing import Any

import pytest

from tests.clients import ADD, Api, Json, Person

FIELDS = """id sequence body version editedAt deletedAt pinnedAt mentions { id } replyTo { id body replyTo { id } }
  attachments { name url mediaType sizeBytes } reactions { emoji count users { id } viewerHasReacted }
  viewerCanEdit viewerCanDelete"""
MESSAGE = "query ($id: ID!) { node(id: $id) { ... on Message { " + FIELDS + " } } }"
PAGE = "query ($id: ID!) { conversation(id: $id) { messages { nodes { " + FIELDS + " } } pinnedMessages { id } } }"
UPDATES = """subscription ($id: ID!, $after: String) { conversationUpdates(conversationId: $id, after: $after) {
  __typename
  ... on ConversationEvent { sequence actor { id } }
  ... on MessageSent { message { ...said } }
  ... on MessageEdited { message { ...said } }
  ... on MessagePinned { message { ...said } }
  ... on MessageDeleted { messageId }
  ... on MessageUnpinned { messageId }
  ... on ReactionAdded { messageId emoji }
  ... on ReactionRemoved { messageId emoji } } }
  fragment said on Message { id body version deletedAt mentions { id } attachments { name } replyTo { body } }"""
FILE = {"name": "plan.pdf", "url": "https://files.example/plan.pdf", "mediaType": "application/pdf", "sizeBytes": 10}


def mutation(name: str, fields: str = "message { " + FIELDS + " }") -> str:
    type_ = name[0].upper() + name[1:]
    return (
        f"mutation ($input: {type_}Input!) "
        f"{{ {name}(input: $input) {{ {fields} userErrors {{ code message path }} }} }}"
    )


SEND, EDIT, DELETE = mutation("sendMessage"), mutation("editMessage"), mutation("deleteMessage")
REACT, UNREACT = mutation("addReaction"), mutation("removeReaction")
PIN, UNPIN = mutation("pinMessage"), mutation("unpinMessage")
REPORT = mutation("reportMessage", "messageId")


async def said(person: Person, conversation: Json, body: str = "hello", **fields: object) -> Json:
    """Return a message that was just sent."""
    payload = await person.mutate(
        SEND, conversationId=conversation["id"], body=body, **{"clientMessageId": "m1", **fields}
    )
    assert payload["userErrors"] == [], payload
    message: Json = payload["message"]
    return message


async def done(person: Person, query: str, message: Json, **fields: object) -> Json:
    """Return the message after a change that must succeed."""
    payload = await person.mutate(query, messageId=message["id"], **fields)
    assert payload["userErrors"] == [], payload
    changed: Json = payload["message"]
    return changed


async def refused(person: Person, query: str, message: Json, **fields: object) -> tuple[str, list[str]]:
    """Return the code and the path of a change that must be refused."""
    payload = await person.mutate(query, messageId=message["id"], **fields)
    assert {value for key, value in payload.items() if key != "userErrors"} == {None}
    (error,) = payload["userErrors"]
    return error["code"], error["path"][1:]


async def seen(person: Person, message: Json) -> Json:
    """Return the message as somebody sees it."""
    response = await person.post(MESSAGE, {"id": message["id"]})
    assert "errors" not in response, response
    node: Json = response["data"]["node"]
    return node


async def history(person: Person, conversation: Json, after: str) -> list[Json]:
    """Return the log after a cursor, as a new subscriber gets it."""
    async with person.socket() as socket:
        updates = await socket.start(UPDATES, {"id": conversation["id"], "after": after})
        return await updates.until_caught_up()


# ---------------------------------------------------------------- editing


async def test_an_edit_is_seen_everywhere_at_once_and_heard_once(api: Api, other_api: Api) -> None:
    ann, bob = await api.register(), await other_api.register()
    conversation = await ann.talk(bob)
    message = await said(ann, conversation, "frist")
    async with bob.socket() as socket:
        updates = await socket.start(UPDATES, {"id": conversation["id"]})
        await updates.until_caught_up()
        edited = await done(ann, EDIT, message, body="first", expectedVersion=1)
        there = await seen(ann.at(other_api), message)
        heard = await updates.update()

    assert (edited["body"], edited["version"]) == ("first", 2)
    assert edited["editedAt"] is not None
    assert there == edited
    assert (heard["__typename"], heard["sequence"], heard["actor"]["id"]) == ("MessageEdited", 3, ann.id)
    assert (heard["message"]["id"], heard["message"]["body"], heard["message"]["version"]) == (
        message["id"],
        "first",
        2,
    )
    page = (await bob.post(PAGE, {"id": conversation["id"]}))["data"]["conversation"]["messages"]["nodes"]
    assert [(node["body"], node["version"]) for node in page] == [("first", 2)]


async def test_the_body_that_a_message_has_already_is_no_edit(api: Api) -> None:
    ann = await api.register()
    conversation = await ann.talk()
    message = await said(ann, conversation, "e\u0301")

    same = await done(ann, EDIT, message, body="é", expectedVersion=7)

    assert (same["version"], same["editedAt"]) == (1, None)
    assert len(await history(ann, conversation, conversation["cursor"])) == 1


async def test_of_two_edits_of_one_version_one_is_a_conflict(api: Api, other_api: Api) -> None:
    ann = await api.register()
    conversation = await ann.talk()
    message = await said(ann, conversation)

    payloads = await asyncio.gather(
        *(
            person.mutate(EDIT, messageId=message["id"], body=f"edit {number}", expectedVersion=1)
            for number, person in enumerate([ann, ann.at(other_api)] * 3)
        )
    )

    won = [payload["message"] for payload in payloads if payload["message"]]
    lost = [payload["userErrors"][0] for payload in payloads if not payload["message"]]
    assert len(won) == 1
    assert {(error["code"], *error["path"]) for error in lost} == {("CONFLICT", "input", "expectedVersion")}
    now = await seen(ann, message)
    assert (now["body"], now["version"]) == (won[0]["body"], 2)


async def test_a_retried_send_returns_the_message_as_it_is_now(api: Api, other_api: Api) -> None:
    ann = await api.register()
    conversation = await ann.talk()
    message = await said(ann, conversation, "first")
    await done(ann, EDIT, message, body="second")

    again = await said(ann.at(other_api), conversation, "first")
    await done(ann, DELETE, message)
    after_deletion = await said(ann, conversation, "first")

    assert (again["id"], again["body"], again["version"]) == (message["id"], "second", 2)
    assert (after_deletion["id"], after_deletion["body"]) == (message["id"], None)


# ---------------------------------------------------------------- deleting


async def test_a_deleted_message_is_a_tombstone(api: Api, other_api: Api) -> None:
    ann, bob = await api.register(), await other_api.register()
    conversation = await ann.talk(bob)
    message = await said(ann, conversation, f"hello @{bob.handle}", attachments=[FILE])
    await done(bob, REACT, message, emoji="👍")
    await done(ann, PIN, message)

    deleted = await done(ann, DELETE, message)
    again = await done(ann.at(other_api), DELETE, message)

    assert deleted["deletedAt"] is not None
    assert (deleted["body"], deleted["mentions"], deleted["attachments"], deleted["reactions"]) == (None, [], [], [])
    assert deleted["pinnedAt"] is None
    assert (deleted["viewerCanEdit"], deleted["viewerCanDelete"]) == (False, False)
    assert again == deleted == await seen(ann, message)
    page = (await bob.post(PAGE, {"id": conversation["id"]}))["data"]["conversation"]
    assert [node["body"] for node in page["messages"]["nodes"]] == [None]
    assert page["pinnedMessages"] == []


async def test_no_replay_shows_what_was_deleted(api: Api, other_api: Api) -> None:
    ann, bob = await api.register(), await other_api.register()
    conversation = await ann.talk(bob)
    message = await said(ann, conversation, f"secret @{bob.handle}", attachments=[FILE])
    for body in ("secret two", "secret three"):
        await done(ann, EDIT, message, body=body)
    await done(ann, PIN, message)
    await said(bob, conversation, "what?", replyToId=message["id"])
    # Both processes have rendered all of it and keep it, for subscribers who stay.
    async with bob.socket() as here, ann.socket() as there:
        runs = [
            await socket.start(UPDATES, {"id": conversation["id"], "after": conversation["cursor"]})
            for socket in (here, there)
        ]
        for run in runs:
            assert "secret" in str(await run.until_caught_up())
        await done(ann, DELETE, message)
        for run in runs:
            assert (await run.update())["__typename"] == "MessageDeleted"

        replays = [await history(person, conversation, conversation["cursor"]) for person in (ann, bob)]

    for replay in replays:
        assert [update["__typename"] for update in replay] == [
            "MessageSent",
            "MessageEdited",
            "MessageEdited",
            "MessagePinned",
            "MessageSent",
            "MessageDeleted",
        ]
        assert "secret" not in str(replay)
        assert [update["message"]["version"] for update in replay[:3]] == [1, 2, 3]
        assert {len(update["message"]["mentions"] + update["message"]["attachments"]) for update in replay[:4]} == {0}
        assert replay[4]["message"]["body"] == "what?"
        assert replay[5]["messageId"] == message["id"]


async def test_a_replayed_event_has_the_words_of_its_own_entry(api: Api, other_api: Api) -> None:
    ann, bob = await api.register(), await other_api.register()
    conversation = await ann.talk(bob)
    message = await said(ann, conversation, f"one @{bob.handle}")
    await done(ann, EDIT, message, body="two")
    await done(ann, EDIT, message, body=f"three @{ann.handle}")

    replay = await history(bob, conversation, conversation["cursor"])

    words = [(update["message"]["body"].split()[0], update["message"]["version"]) for update in replay]
    assert words == [("one", 1), ("two", 2), ("three", 3)]
    assert [[user["id"] for user in update["message"]["mentions"]] for update in replay] == [[bob.id], [], [ann.id]]


async def test_moderators_delete_what_others_said_but_not_between_two_people(api: Api) -> None:
    ann, bob = await api.register(), await api.register()
    group, direct = await ann.talk(bob), await ann.talk(bob, kind="DIRECT")
    hers, his = await said(ann, group), await said(bob, group)
    private = await said(bob, direct)

    assert (await seen(ann, his))["viewerCanDelete"] is True
    assert (await seen(bob, hers))["viewerCanDelete"] is False
    assert (await seen(ann, private))["viewerCanDelete"] is False
    assert await refused(bob, DELETE, hers) == ("FORBIDDEN", ["messageId"])
    assert await refused(ann, DELETE, private) == ("FORBIDDEN", ["messageId"])
    assert (await done(ann, DELETE, his))["body"] is None


async def test_nothing_is_done_to_a_deleted_message(api: Api) -> None:
    ann = await api.register()
    conversation = await ann.talk()
    message = await said(ann, conversation)
    await done(ann, DELETE, message)

    for query, fields in ((EDIT, {"body": "back"}), (REACT, {"emoji": "👍"}), (PIN, {}), (UNPIN, {})):
        assert await refused(ann, query, message, **fields) == ("FORBIDDEN", ["messageId"])
    reply = await ann.mutate(
        SEND, conversationId=conversation["id"], body="x", clientMessageId="m2", replyToId=message["id"]
    )
    assert (reply["userErrors"][0]["code"], reply["userErrors"][0]["path"]) == ("NOT_FOUND", ["input", "replyToId"])


async def test_an_edit_and_a_deletion_at_once_leave_a_tombstone(api: Api, other_api: Api) -> None:
    ann = await api.register()
    conversation = await ann.talk()
    message = await said(ann, conversation)

    await asyncio.gather(
        *(ann.mutate(EDIT, messageId=message["id"], body=f"edit {number}") for number in range(5)),
        ann.at(other_api).mutate(DELETE, messageId=message["id"]),
    )

    for person in (ann, ann.at(other_api)):
        assert (await seen(person, message))["body"] is None
        replay = await history(person, conversation, conversation["cursor"])
        assert replay[-1]["__typename"] == "MessageDeleted"
        assert {update["message"]["body"] for update in replay[:-1]} == {None}


# ---------------------------------------------------------------- reactions


async def test_reactions_of_two_processes_at_once_all_survive(api: Api, other_api: Api) -> None:
    ann, bob = await api.register(), await other_api.register()
    conversation = await ann.talk(bob)
    message = await said(ann, conversation)
    emojis = ["👍", "❤️", "🎉", "👀"]

    await asyncio.gather(*(done(person, REACT, message, emoji=emoji) for person in (ann, bob) for emoji in emojis))

    for person in (ann, bob):
        reactions = (await seen(person, message))["reactions"]
        assert {group["emoji"] for group in reactions} == set(emojis)
        assert [group["count"] for group in reactions] == [2, 2, 2, 2]
        assert all({user["id"] for user in group["users"]} == {ann.id, bob.id} for group in reactions)
        assert all(group["viewerHasReacted"] for group in reactions)


async def test_a_reaction_comes_and_goes_once(api: Api, other_api: Api) -> None:
    ann, bob = await api.register(), await other_api.register()
    conversation = await ann.talk(bob)
    message = await said(ann, conversation)

    await done(bob, REACT, message, emoji="❤")
    twice = await done(bob.at(api), REACT, message, emoji="❤️")
    gone = await done(bob, UNREACT, message, emoji="❤️")
    still_gone = await done(bob, UNREACT, message, emoji="❤️")
    replay = await history(ann, conversation, conversation["cursor"])

    assert [(group["emoji"], group["count"]) for group in twice["reactions"]] == [("❤️", 1)]
    assert gone["reactions"] == still_gone["reactions"] == []
    assert [update["__typename"] for update in replay] == ["MessageSent", "ReactionAdded", "ReactionRemoved"]
    assert [(update["emoji"], update["actor"]["id"]) for update in replay[1:]] == [("❤️", bob.id)] * 2


@pytest.mark.parametrize("emoji", ["", "a", "👍👍", "👍 ", "🏽", "1", ":+1:", "👍" * 1_000])
async def test_a_reaction_is_exactly_one_emoji(api: Api, emoji: str) -> None:
    ann = await api.register()
    message = await said(ann, await ann.talk())

    assert await refused(ann, REACT, message, emoji=emoji) == ("INVALID_INPUT", ["emoji"])


@pytest.mark.parametrize("emoji", ["👍🏽", "👩‍👩‍👧‍👦", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "1️⃣", "🇩🇪"])
async def test_an_emoji_of_several_characters_is_one(api: Api, emoji: str) -> None:
    ann = await api.register()
    message = await said(ann, await ann.talk())

    assert [group["emoji"] for group in (await done(ann, REACT, message, emoji=emoji))["reactions"]] == [emoji]


# ---------------------------------------------------------------- pins


async def test_pinned_messages_come_newest_pin_first(api: Api, other_api: Api) -> None:
    ann, bob = await api.register(), await other_api.register()
    conversation = await ann.talk(bob)
    one, two, three = [await said(ann, conversation, clientMessageId=f"m{number}") for number in range(3)]
    for message in (two, one, three, two):
        await done(ann, PIN, message)
    unpinned = await done(ann, UNPIN, one)
    await done(ann, UNPIN, one)

    page = await bob.post(PAGE, {"id": conversation["id"]})
    replay = await history(bob, conversation, conversation["cursor"])

    assert [message["id"] for message in page["data"]["conversation"]["pinnedMessages"]] == [three["id"], two["id"]]
    assert unpinned["pinnedAt"] is None
    assert [update["__typename"] for update in replay[3:]] == ["MessagePinned"] * 3 + ["MessageUnpinned"]
    assert replay[6]["messageId"] == one["id"]
    assert await refused(bob, PIN, one) == ("FORBIDDEN", ["messageId"])


async def test_pins_and_unpins_at_once_agree_with_the_log(api: Api, other_api: Api) -> None:
    ann = await api.register()
    conversation = await ann.talk()
    message = await said(ann, conversation)
    people = (ann, ann.at(other_api))

    await asyncio.gather(
        *(done(person, query, message) for person in people for query in (PIN, UNPIN) for _ in range(3))
    )

    replay = await history(ann, conversation, conversation["cursor"])
    is_pinned = replay[-1]["__typename"] == "MessagePinned"
    for person in people:
        page = await person.post(PAGE, {"id": conversation["id"]})
        assert len(page["data"]["conversation"]["pinnedMessages"]) == int(is_pinned)
        assert ((await seen(person, message))["pinnedAt"] is not None) is is_pinned


# ---------------------------------------------------------------- quotations, mentions, attachments


async def test_a_quotation_is_one_hop_deep_and_as_the_quoted_message_is_now(api: Api) -> None:
    ann = await api.register()
    conversation = await ann.talk()
    first = await said(ann, conversation, "first")
    second = await said(ann, conversation, "second", replyToId=first["id"], clientMessageId="m2")
    third = await said(ann, conversation, "third", replyToId=second["id"], clientMessageId="m3")
    await done(ann, EDIT, second, body="second, edited")

    assert (await seen(ann, third))["replyTo"] == {"id": second["id"], "body": "second, edited", "replyTo": None}
    await done(ann, DELETE, second)
    assert (await seen(ann, third))["replyTo"] == {"id": second["id"], "body": None, "replyTo": None}


async def test_only_what_the_sender_may_read_there_can_be_quoted(api: Api) -> None:
    ann, bob = await api.register(), await api.register()
    conversation, other = await ann.talk(), await ann.talk()
    before, elsewhere = await said(ann, conversation), await said(ann, other)
    await ann.mutate(ADD, conversationId=conversation["id"], userIds=[bob.id])
    member = f"{before['id'][:-12]}{1:012d}"  # an entry, but no message
    beyond = f"{before['id'][:-12]}{99:012d}"

    for quoted in (before["id"], elsewhere["id"], member, beyond, "msg_", ""):
        payload = await bob.mutate(
            SEND, conversationId=conversation["id"], body="x", clientMessageId="m1", replyToId=quoted
        )
        assert payload["message"] is None
        assert (payload["userErrors"][0]["code"], payload["userErrors"][0]["path"][1]) == ("NOT_FOUND", "replyToId")


async def test_mentions_are_the_named_members_in_order(api: Api) -> None:
    ann, bob, eve = await api.register(), await api.register(), await api.register()
    conversation = await ann.talk(bob)
    body = f"@{bob.handle.upper()}, @{eve.handle} @nobody.at.all mail@{ann.handle} (@{ann.handle}) @{bob.handle}."

    message = await said(ann, conversation, body)
    edited = await done(ann, EDIT, message, body=f"only @{ann.handle}.")

    assert [user["id"] for user in message["mentions"]] == [bob.id, ann.id]
    assert [user["id"] for user in edited["mentions"]] == [ann.id]


async def test_attachments_come_back_as_they_were_sent(api: Api, other_api: Api) -> None:
    ann = await api.register()
    conversation = await ann.talk()

    message = await said(ann, conversation, attachments=[FILE, {**FILE, "name": "zwei.pdf", "sizeBytes": 0}])

    assert message["attachments"] == [FILE, {**FILE, "name": "zwei.pdf", "sizeBytes": 0}]
    assert (await seen(ann.at(other_api), message))["attachments"] == message["attachments"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"url": "http://files.example/a"}, "url"),
        ({"url": "https:///a"}, "url"),
        ({"url": "https://user@files.example/"}, "url"),
        ({"url": "javascript:alert(1)"}, "url"),
        ({"url": "https://files.example:port/"}, "url"),
        ({"url": "https://files.example/" + "a" * 2_048}, "url"),
        ({"mediaType": "pdf"}, "mediaType"),
        ({"mediaType": "a/b; c=d"}, "mediaType"),
        ({"sizeBytes": -1}, "sizeBytes"),
    ],
)
async def test_an_attachment_that_no_client_could_show_is_refused(api: Api, change: Json, field: str) -> None:
    ann = await api.register()
    conversation = await ann.talk()

    payload = await ann.mutate(
        SEND, conversationId=conversation["id"], body="x", clientMessageId="m1", attachments=[FILE, {**FILE, **change}]
    )

    (error,) = payload["userErrors"]
    assert (error["code"], error["path"]) == ("INVALID_INPUT", ["input", "attachments", "1", field])


async def test_the_same_client_id_with_another_quotation_or_attachment_is_a_conflict(api: Api) -> None:
    ann = await api.register()
    conversation = await ann.talk()
    first = await said(ann, conversation, "first")
    fields: dict[str, Any] = {"conversationId": conversation["id"], "body": "x", "clientMessageId": "m2"}
    await ann.mutate(SEND, **fields)

    for other in ({"replyToId": first["id"]}, {"attachments": [FILE]}):
        payload = await ann.mutate(SEND, **fields, **other)
        assert (payload["userErrors"][0]["code"], payload["userErrors"][0]["path"][1]) == (
            "CONFLICT",
            "clientMessageId",
        )
    assert (await ann.mutate(SEND, **fields, attachments=[]))["userErrors"] == []


# ---------------------------------------------------------------- who may not


async def test_outsiders_and_later_members_find_no_such_message(api: Api) -> None:
    ann, bob, eve = await api.register(), await api.register(), await api.register()
    conversation = await ann.talk()
    message = await said(ann, conversation, "before")
    await done(ann, PIN, message)
    await ann.mutate(ADD, conversationId=conversation["id"], userIds=[bob.id])

    changes: list[tuple[str, Json]] = [
        (EDIT, {"body": "x"}),
        (DELETE, {}),
        (REACT, {"emoji": "👍"}),
        (UNREACT, {"emoji": "👍"}),
        (PIN, {}),
        (UNPIN, {}),
        (REPORT, {"reason": "spam"}),
    ]
    for query, fields in changes:
        for person in (bob, eve):
            assert await refused(person, query, message, **fields) == ("NOT_FOUND", ["messageId"])
        for missing in ("msg_", "", f"{message['id'][:-12]}{99:012d}", f"{message['id'][:-12]}{1:012d}", ann.id):
            assert await refused(ann, query, {"id": missing}, **fields) == ("NOT_FOUND", ["messageId"])
    page = await bob.post(PAGE, {"id": conversation["id"]})
    assert page["data"]["conversation"]["pinnedMessages"] == []


async def test_readers_of_a_channel_react_and_no_more(api: Api) -> None:
    ann, bob = await api.register(), await api.register()
    message = await said(ann, await ann.talk(bob, kind="CHANNEL"))

    reacted = await done(bob, REACT, message, emoji="🎉")

    assert reacted["reactions"][0]["viewerHasReacted"] is True
    assert (await seen(ann, message))["reactions"][0]["viewerHasReacted"] is False
    for query, fields in ((EDIT, {"body": "x"}), (DELETE, {}), (PIN, {})):
        assert await refused(bob, query, message, **fields) == ("FORBIDDEN", ["messageId"])


async def test_a_report_is_taken_once_and_shown_to_nobody(api: Api) -> None:
    ann, bob = await api.register(), await api.register()
    message = await said(ann, await ann.talk(bob))

    first = await bob.mutate(REPORT, messageId=message["id"], reason="spam")
    second = await bob.mutate(REPORT, messageId=message["id"], reason="still spam")

    assert first == second == {"messageId": message["id"], "userErrors": []}
    assert await refused(bob, REPORT, message, reason=" ") == ("INVALID_INPUT", ["reason"])
    assert await refused(bob, REPORT, message, reason="x" * 1_001) == ("INVALID_INPUT", ["reason"])
