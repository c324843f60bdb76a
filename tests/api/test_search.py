"""Searching: all of what the viewer may read, and nothing else, as it is now."""

import asyncio
import time
import uuid

import pytest

from tests.clients import ADD, LEAVE, REMOVE, Api, Json, Person

SEARCH = """query ($query: String!, $id: ID, $first: Int, $after: String, $last: Int, $before: String) {
  searchMessages(query: $query, conversationId: $id, first: $first, after: $after, last: $last, before: $before) {
    edges { cursor node { id body conversationId } } nodes { id }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""
EDIT = """mutation ($input: EditMessageInput!) { editMessage(input: $input) {
  message { id } userErrors { code message path } } }"""
DELETE = """mutation ($input: DeleteMessageInput!) { deleteMessage(input: $input) {
  message { id } userErrors { code message path } } }"""
PATIENCE_SECONDS = 60.0  # how long it may take until a message is found


async def search(person: Person, query: str, **variables: object) -> Json:
    response = await person.post(SEARCH, {"query": query, **variables})
    assert "errors" not in response, response
    found: Json = response["data"]["searchMessages"]
    assert [edge["node"]["id"] for edge in found["edges"]] == [node["id"] for node in found["nodes"]]
    return found


async def bodies(person: Person, query: str, **variables: object) -> list[str]:
    return [edge["node"]["body"] for edge in (await search(person, query, **variables))["edges"]]


async def until_found(person: Person, query: str, expected: list[str], **variables: object) -> None:
    """Wait until a search finds exactly this."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (found := await bodies(person, query, **variables)) != expected:
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.1)


def unique() -> str:
    """Return a word that nobody else uses."""
    return f"w{uuid.uuid4().hex}"


async def say(person: Person, conversation: Json, *texts: str) -> list[Json]:
    return [(await person.send(conversation["id"], text))["message"] for text in texts]


async def test_words_are_found_in_any_order_whatever_their_case_and_accents(api: Api) -> None:
    ann, word = await api.register(), unique()
    room = await ann.talk()
    texts = [
        f"Ein CAFÉ in der Straße {word}",
        f"cafeteria, {word}",
        f"{word}: 日本語のテスト",
        f"foo-bar and bar foo {word}",
        f"{word.upper()} \uff26\uff55\uff4c\uff4c width",
    ]
    await say(ann, room, *texts)
    await until_found(ann, word, texts[::-1])

    assert await bodies(ann, f"{word} strasse cafe") == [texts[0]]
    assert await bodies(ann, f"CAFE\u0301 {word}") == [texts[0]]
    assert await bodies(ann, f"本語 {word}") == [texts[2]]
    assert await bodies(ann, f'"foo bar" {word}') == [texts[3]]
    assert await bodies(ann, f'"bar and bar" {word}') == [texts[3]]
    assert await bodies(ann, f'"bar bar" {word}') == []
    assert await bodies(ann, f"full {word}") == [texts[4]]
    assert await bodies(ann, f"caf {word}") == []


async def test_an_edit_and_a_deletion_are_followed(api: Api, other_api: Api) -> None:
    ann, word = await api.register(), unique()
    room = await ann.talk()
    first, second = await say(ann, room, f"{word} before", f"{word} stays")
    await until_found(ann, word, [f"{word} stays", f"{word} before"])

    await ann.mutate(EDIT, messageId=first["id"], body=f"{word} after")
    assert await bodies(ann.at(other_api), f"{word} before") == []  # at once, on any instance
    await until_found(ann, f"{word} after", [f"{word} after"])
    await ann.mutate(DELETE, messageId=second["id"])
    assert await bodies(ann.at(other_api), f"{word} stays") == []
    assert await bodies(ann, word) == [f"{word} after"]


async def test_only_visible_history_of_ones_own_conversations_is_found(api: Api, other_api: Api) -> None:
    ann, bob, eve = [await api.register() for _ in range(3)]
    word = unique()
    room, other = await ann.talk(eve), await ann.talk(eve)
    await say(ann, room, f"{word} before bob")
    await ann.mutate(ADD, conversationId=room["id"], userIds=[bob.id])
    await say(ann, room, f"{word} with bob")
    await say(ann, other, f"{word} elsewhere")
    everything = [f"{word} elsewhere", f"{word} with bob", f"{word} before bob"]
    await until_found(ann, word, everything)
    await until_found(eve, word, everything)

    assert await bodies(bob, word) == [f"{word} with bob"]
    assert await bodies(bob, word, id=room["id"]) == [f"{word} with bob"]
    assert await bodies(bob, word, id=other["id"]) == []
    assert await bodies(eve, word, id=other["id"]) == [f"{word} elsewhere"]
    await ann.mutate(REMOVE, conversationId=room["id"], userId=bob.id)
    await eve.mutate(LEAVE, conversationId=other["id"])

    assert await bodies(bob.at(other_api), word) == []
    assert await bodies(bob.at(other_api), word, id=room["id"]) == []
    assert await bodies(eve.at(other_api), word) == everything[1:]


async def test_pages_go_both_ways_over_conversations_without_a_hole(api: Api) -> None:
    ann, word = await api.register(), unique()
    rooms = [await ann.talk() for _ in range(3)]
    texts = [f"{word} {number}" for number in range(11)]
    for number, text in enumerate(texts):
        await say(ann, rooms[number % 3], text)
    newest_first = texts[::-1]
    await until_found(ann, word, newest_first)

    forward, cursor = list[str](), None
    while True:
        page = await search(ann, word, first=4, after=cursor)
        forward += [edge["node"]["body"] for edge in page["edges"]]
        assert page["pageInfo"]["hasPreviousPage"] == (cursor is not None)
        assert page["pageInfo"]["startCursor"] == page["edges"][0]["cursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
        cursor = page["pageInfo"]["endCursor"]
    backward, cursor = list[str](), None
    while True:
        page = await search(ann, word, last=4, before=cursor)
        backward = [edge["node"]["body"] for edge in page["edges"]] + backward
        assert page["pageInfo"]["hasNextPage"] == (cursor is not None)
        if not page["pageInfo"]["hasPreviousPage"]:
            break
        cursor = page["pageInfo"]["startCursor"]
    cursors = [edge["cursor"] for edge in (await search(ann, word))["edges"]]

    assert forward == backward == newest_first
    assert await bodies(ann, word, after=cursors[2], before=cursors[6]) == newest_first[3:6]
    assert await bodies(ann, word, last=2, after=cursors[2], before=cursors[6]) == newest_first[4:6]
    assert await bodies(ann, word, first=3, id=rooms[0]["id"]) == [texts[9], texts[6], texts[3]]
    assert (await search(ann, word, first=0))["edges"] == []


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        ("", {}),
        ("  !? ", {}),
        ("x" * 257, {}),
        (" ".join(f"w{number}" for number in range(17)), {}),
        ("word", {"first": 101}),
        ("word", {"first": -1}),
        ("word", {"first": 1, "last": 1}),
        ("word", {"after": "nonsense"}),
        ("word", {"before": "MTphbm4"}),
    ],
)
async def test_a_search_that_makes_no_sense_is_refused(
    stack_person: Person, query: str, variables: dict[str, object]
) -> None:
    response = await stack_person.post(SEARCH, {"query": query, **variables})

    assert response["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


@pytest.fixture
async def stack_person(api: Api) -> Person:
    return await api.register()


@pytest.mark.parametrize("conversation_id", ["nothing", "", "msg_x", "cnv_01k00000000000000000000000"])
async def test_where_there_is_no_conversation_nothing_is_found(stack_person: Person, conversation_id: str) -> None:
    assert await bodies(stack_person, "word", id=conversation_id) == []


async def test_nobody_searches_without_a_token(api: Api) -> None:
    response = await api.post(SEARCH, {"query": "word"})

    assert response["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
