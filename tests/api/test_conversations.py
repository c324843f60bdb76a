"""The list of somebody's conversations, page by page."""

from typing import Any

import pytest

from tests.clients import ADD, UPDATE, Api, Json, Person

LISTED = """query ($first: Int, $after: String, $last: Int, $before: String, $archived: Boolean) {
  viewer { conversations(first: $first, after: $after, last: $last, before: $before, archived: $archived) {
    nodes { id viewerCanSend { allowed } lastMessage { body } }
    pageInfo { startCursor endCursor hasNextPage hasPreviousPage } } } }"""


async def listed(person: Person, **arguments: Any) -> tuple[list[str], Json]:
    """Return the ids of a page, and what it says of the pages around it."""
    page = (await person.post(LISTED, arguments))["data"]["viewer"]["conversations"]
    return [node["id"] for node in page["nodes"]], page["pageInfo"]


async def test_conversations_are_listed_the_newest_first(api: Api) -> None:
    ann = await api.register()
    made = [(await ann.talk())["id"] for _ in range(5)]

    first, info = await listed(ann, first=3)
    rest, rest_info = await listed(ann, first=3, after=info["endCursor"])

    assert first + rest == made[::-1]
    assert (info["hasNextPage"], info["hasPreviousPage"]) == (True, False)
    assert (rest_info["hasNextPage"], rest_info["hasPreviousPage"]) == (False, True)


async def test_that_one_comes_first_in_which_something_was_said_last_on_every_instance(
    api: Api, other_api: Api
) -> None:
    ann, bob = await api.register(), await other_api.register()
    oldest, older, direct = [(await ann.talk(bob))["id"] for _ in range(2)] + [
        (await ann.talk(bob, kind="DIRECT"))["id"]
    ]
    elsewhere = (await ann.talk())["id"]
    seen = [(await listed(bob))[0]]
    await ann.send(oldest, "to the top")
    seen.append((await listed(bob))[0])
    await ann.send(older, "and this above it")
    seen.append((await listed(bob.at(api)))[0])
    await ann.mutate(ADD, conversationId=elsewhere, userIds=[bob.id])
    seen.append((await listed(bob))[0])
    await ann.mutate(UPDATE, conversationId=direct, archived=True)  # nothing is said by that
    seen.append((await listed(bob))[0])

    assert seen == [
        [direct, older, oldest],
        [oldest, direct, older],
        [older, oldest, direct],
        [elsewhere, older, oldest, direct],
        [elsewhere, older, oldest, direct],
    ]


async def test_a_conversation_that_moves_up_comes_on_no_later_page_again(api: Api) -> None:
    ann = await api.register()
    made = [(await ann.talk())["id"] for _ in range(4)]
    first, info = await listed(ann, first=2)
    await ann.send(made[0], "news")

    rest, _ = await listed(ann, first=9, after=info["endCursor"])

    assert first == [made[3], made[2]]
    assert rest == [made[1]]
    assert (await listed(ann, first=1))[0] == [made[0]]


async def test_a_cursor_of_something_else_is_refused(api: Api) -> None:
    ann = await api.register()
    conversation = await ann.talk()

    for cursor in ("MTpjbnZfMDFhYmM", conversation["cursor"], ""):
        answer = await ann.post(LISTED, {"after": cursor})
        assert [error["extensions"]["code"] for error in answer["errors"]] == ["BAD_USER_INPUT"]


@pytest.mark.parametrize("archived", [True, False])
async def test_pages_of_archived_conversations_and_of_the_others_are_full(
    api: Api, other_api: Api, archived: bool
) -> None:
    ann = await api.register()
    made = [(await ann.talk())["id"] for _ in range(9)]
    wanted = made[::4]  # three among many others
    for conversation_id in wanted if archived else set(made) - set(wanted):
        await ann.mutate(UPDATE, conversationId=conversation_id, archived=True)
    far = ann.at(other_api)

    first, info = await listed(far, first=2, archived=archived)
    rest, rest_info = await listed(far, first=2, after=info["endCursor"], archived=archived)
    last, last_info = await listed(far, last=2, archived=archived)
    before, before_info = await listed(far, last=2, before=last_info["startCursor"], archived=archived)

    assert first + rest == before + last == wanted[::-1]
    assert (info["hasNextPage"], rest_info["hasNextPage"]) == (True, False)
    assert (last_info["hasPreviousPage"], before_info["hasPreviousPage"]) == (True, False)


async def test_who_is_in_nothing_has_an_empty_list(api: Api) -> None:
    ann = await api.register()

    assert await listed(ann, archived=True) == (
        [],
        {"startCursor": None, "endCursor": None, "hasNextPage": False, "hasPreviousPage": False},
    )
