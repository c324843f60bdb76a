"""A long conversation, read from one end to the other and from anywhere, over two API processes."""

import asyncio
from dataclasses import dataclass

import pytest

from tests import history
from tests.api.test_messages import DELETE, EDIT, REACT, done
from tests.clients import MARK_READ, Api, Json, Person
from tests.history import History, Said
from tests.stack_process import StackProcess

MESSAGES = 3_000
CROWD = 400  # changes of one message in a row: more than a page and a half
MOST = 1_000  # unread messages that are counted

PAGE = """query ($id: ID!, $first: Int, $after: String, $last: Int, $before: String) { conversation(id: $id) {
  messages(first: $first, after: $after, last: $last, before: $before) {
    edges { cursor node { id sequence body version deletedAt pinnedAt sender { id } reactions { emoji count } } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }"""
SUMMARY = """query ($id: ID!) { conversation(id: $id) {
  lastSequence lastMessage { sequence } pinnedMessages { sequence } viewerUnreadCount } }"""


@dataclass(frozen=True, slots=True)
class Talk:
    """A long conversation, and who reads it."""

    made: History
    owner: Person
    late: Person  # joined in the middle

    async def page(self, person: Person, **window: object) -> Json:
        response = await person.post(PAGE, {"id": self.made.conversation_id, **window})
        page: Json = response["data"]["conversation"]["messages"]
        return page

    async def summary(self, person: Person) -> Json:
        response = await person.post(SUMMARY, {"id": self.made.conversation_id})
        summary: Json = response["data"]["conversation"]
        return summary


@pytest.fixture(scope="module")
def long_talk(stack: StackProcess) -> Talk:
    """A conversation of 3 000 messages, many of them edited, deleted or reacted to."""

    async def make() -> Talk:
        database = history.database_of(stack)
        async with Api(stack.urls[0]) as api:
            owner, ann, bob, late = [await api.register() for _ in range(4)]
        user_ids = [owner.id, ann.id, bob.id]
        made = await history.make(database, user_ids, late_id=late.id, messages=MESSAGES, crowd=CROWD)
        database.close()
        return Talk(made, owner, late)

    return asyncio.run(make())


@pytest.fixture
def talk(long_talk: Talk, api: Api, other_api: Api) -> Talk:
    """The same; the owner reads at the first process, who joined late at the second."""
    return Talk(long_talk.made, long_talk.owner.at(api), long_talk.late.at(other_api))


def shown(edge: Json) -> Json:
    """Return what an edge shows of a message, as `Said.shown` has it."""
    node = edge["node"]
    return {name: node[name] for name in ("sequence", "body", "version", "sender", "reactions")}


def expected(made: History, messages: list[Said]) -> list[tuple[str, str, Json, bool, bool]]:
    return [
        (
            made.cursor(said.sequence),
            made.message_id(said.sequence),
            said.shown,
            said.body is None,
            said.pinned,
        )
        for said in messages
    ]


def found(edges: list[Json]) -> list[tuple[str, str, Json, bool, bool]]:
    return [
        (
            edge["cursor"],
            edge["node"]["id"],
            shown(edge),
            edge["node"]["deletedAt"] is not None,
            edge["node"]["pinnedAt"] is not None,
        )
        for edge in edges
    ]


async def walk(talk: Talk, person: Person, size: int, *, back: bool) -> list[Json]:
    """Return the edges of all pages from one end to the other; each page must know what lies on both sides of it."""
    pages: list[list[Json]] = []
    cursor, more = None, True
    while more:
        window = {"last": size, "before": cursor} if back else {"first": size, "after": cursor}
        page = await talk.page(person, **window)
        info, edges = page["pageInfo"], page["edges"]
        behind, more = (
            (info["hasNextPage"], info["hasPreviousPage"]) if back else (info["hasPreviousPage"], info["hasNextPage"])
        )
        assert behind is bool(pages)
        assert (info["startCursor"], info["endCursor"]) == (edges[0]["cursor"], edges[-1]["cursor"])
        assert len(edges) == size or not more
        cursor = info["startCursor"] if back else info["endCursor"]
        pages.append(edges)
    return [edge for edges in (pages[::-1] if back else pages) for edge in edges]


def test_the_conversation_has_all_that_can_happen_to_messages(long_talk: Talk) -> None:
    messages = long_talk.made.messages

    assert len(messages) == MESSAGES
    assert sum(said.body is None for said in messages) > 20
    assert sum(said.version > 1 for said in messages) > 100
    assert sum(bool(said.reactions) for said in messages) > 300
    assert long_talk.made.pinned


@pytest.mark.parametrize(("back", "size"), [(False, 100), (True, 97)])
async def test_pages_cover_a_long_conversation_from_either_end(talk: Talk, back: bool, size: int) -> None:
    edges = await walk(talk, talk.owner, size, back=back)

    assert found(edges) == expected(talk.made, talk.made.visible(talk.owner.id))


@pytest.mark.parametrize(("back", "size"), [(False, 90), (True, 100)])
async def test_who_joined_in_the_middle_pages_from_there_on(talk: Talk, back: bool, size: int) -> None:
    edges = await walk(talk, talk.late, size, back=back)

    assert found(edges) == expected(talk.made, talk.made.visible(talk.late.id))
    assert len(edges) == MESSAGES // 2


async def test_cursors_from_before_the_joining_show_nothing_of_it(talk: Talk) -> None:
    early, visible = talk.made.cursor(talk.made.messages[10].sequence), talk.made.visible(talk.late.id)

    after = await talk.page(talk.late, first=5, after=early)
    before = await talk.page(talk.late, last=5, before=early)

    assert found(after["edges"]) == expected(talk.made, visible[:5])
    assert (after["pageInfo"]["hasPreviousPage"], after["pageInfo"]["hasNextPage"]) == (False, True)
    assert before["edges"] == []
    assert (before["pageInfo"]["hasPreviousPage"], before["pageInfo"]["hasNextPage"]) == (False, True)


async def test_any_place_of_the_log_is_a_cursor(talk: Talk) -> None:
    messages = talk.made.visible(talk.owner.id)
    crowded = next(index for index, said in enumerate(messages) if said.sequence == talk.made.crowd)
    # Of these most are no messages, and many have no message near them.
    for sequence in range(talk.made.crowd - 3, talk.made.crowd + CROWD + 5, 17):
        below = [said for said in messages[crowded - 10 : crowded + 10] if said.sequence < sequence][-4:]
        above = [said for said in messages[crowded - 10 : crowded + 10] if said.sequence > sequence][:4]
        cursor = talk.made.cursor(sequence)

        older = await talk.page(talk.owner, last=4, before=cursor)
        newer = await talk.page(talk.owner, first=4, after=cursor)

        assert found(older["edges"]) == expected(talk.made, below)
        assert found(newer["edges"]) == expected(talk.made, above)
        for page in (older, newer):
            assert (page["pageInfo"]["hasPreviousPage"], page["pageInfo"]["hasNextPage"]) == (True, True)


async def test_a_page_knows_of_a_single_message_beyond_it(talk: Talk) -> None:
    for person in (talk.owner, talk.late):
        visible = talk.made.visible(person.id)
        first, last = (talk.made.cursor(visible[index].sequence) for index in (0, -1))
        cases = [
            ({"first": 3, "after": first}, visible[1:4], (True, True)),
            ({"last": 3, "before": last}, visible[-4:-1], (True, True)),
            ({"first": 3, "after": last}, [], (True, False)),
            ({"last": 3, "before": first}, [], (False, True)),
            ({"last": 100, "before": talk.made.cursor(visible[3].sequence)}, visible[:3], (False, True)),
            ({"first": 100, "after": talk.made.cursor(visible[-4].sequence)}, visible[-3:], (True, False)),
        ]
        for window, inside, beyond in cases:
            page = await talk.page(person, **window)

            assert found(page["edges"]) == expected(talk.made, inside)
            assert (page["pageInfo"]["hasPreviousPage"], page["pageInfo"]["hasNextPage"]) == beyond


async def test_between_two_cursors_is_what_stands_between_them(talk: Talk) -> None:
    messages = talk.made.visible(talk.owner.id)
    window = {"after": talk.made.cursor(messages[99].sequence), "before": talk.made.cursor(messages[103].sequence)}

    first, last = await talk.page(talk.owner, first=2, **window), await talk.page(talk.owner, last=2, **window)
    whole, none = await talk.page(talk.owner, first=50, **window), await talk.page(talk.owner, first=0, **window)

    assert found(first["edges"]) == expected(talk.made, messages[100:102])
    assert found(last["edges"]) == expected(talk.made, messages[101:103])
    assert found(whole["edges"]) == expected(talk.made, messages[100:103])
    assert none["edges"] == []
    for page in (first, last, whole, none):
        assert (page["pageInfo"]["hasPreviousPage"], page["pageInfo"]["hasNextPage"]) == (True, True)


async def test_what_a_list_shows_of_a_long_conversation_is_right(talk: Talk) -> None:
    for person in (talk.owner, talk.late):
        visible = talk.made.visible(person.id)

        summary = await talk.summary(person)

        assert summary["lastSequence"] == talk.made.head
        assert summary["lastMessage"]["sequence"] == visible[-1].sequence
        assert [pinned["sequence"] for pinned in summary["pinnedMessages"]] == [
            sequence for sequence in talk.made.pinned if sequence >= visible[0].sequence
        ]


async def test_unread_counts_are_exact_wherever_somebody_has_read_to(talk: Talk, api: Api) -> None:
    made, late = talk.made, talk.late
    for place in range(made.joined[late.id], made.head + 1, (made.head - made.joined[late.id]) // 15):
        unread = min(made.unread_after(late.id, place), MOST)

        payload = await late.mutate(MARK_READ, conversationId=made.conversation_id, upToSequence=place)
        summary = await talk.summary(late.at(api))

        assert (payload["viewerUnreadCount"], summary["viewerUnreadCount"]) == (unread, unread)


async def test_what_happens_to_an_old_message_shows_in_its_page(talk: Talk, other_api: Api) -> None:
    """The last test here: it changes the conversation."""
    made, owner = talk.made, talk.owner
    own = [said for said in made.visible(owner.id) if said.sender_id == owner.id and said.body is not None][20:23]
    ids = [{"id": made.message_id(said.sequence)} for said in own]

    await done(owner, EDIT, ids[0], body="said anew", expectedVersion=own[0].version)
    await done(owner, DELETE, ids[1])
    await done(talk.late, REACT, {"id": made.message_id(made.messages[-1].sequence)}, emoji="🌍")
    await done(owner, REACT, ids[2], emoji="🌍")
    pages = [
        await talk.page(person, first=1, after=made.cursor(said.sequence - 1))
        for said in own
        for person in (owner, owner.at(other_api))
    ]

    nodes = [page["edges"][0]["node"] for page in pages]
    assert [(node["body"], node["version"]) for node in nodes[:2]] == [("said anew", own[0].version + 1)] * 2
    assert [(node["body"], node["reactions"], node["deletedAt"] is None) for node in nodes[2:4]] == [
        (None, [], False)
    ] * 2
    assert [node["reactions"][-1] for node in nodes[4:]] == [{"emoji": "🌍", "count": 1}] * 2
