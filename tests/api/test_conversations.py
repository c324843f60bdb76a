"""The list of somebody's conversations, page by page."""

from typing import Any

import pytest

from tests.clients import UPDATE, Api, Json, Person

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
