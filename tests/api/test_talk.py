"""Two people talk, over two API processes."""

import asyncio

from tests.clients import ADD, CREATE, LEAVE, REMOVE, Api

MESSAGES = """query ($id: ID!, $first: Int, $after: String, $last: Int, $before: String) { conversation(id: $id) {
  lastSequence lastMessage { body } messages(first: $first, after: $after, last: $last, before: $before) {
    edges { cursor node { id sequence body } } nodes { body }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }"""


async def test_two_people_on_two_processes_see_every_message_once_and_in_order(api: Api, other_api: Api) -> None:
    ann, bob = await api.register(), await other_api.register()
    conversation = await ann.talk(bob)
    async with ann.socket() as hers, bob.socket() as his:
        hear = [await socket.updates(conversation["id"]) for socket in (hers, his)]
        for updates in hear:
            assert await updates.until_caught_up() == []
        for number in range(10):
            await (ann if number % 2 else bob).send(conversation["id"], f"message {number}")

        for updates in hear:
            heard = [await updates.update() for _ in range(10)]
            assert [update["message"]["body"] for update in heard] == [f"message {number}" for number in range(10)]
            assert [update["sequence"] for update in heard] == list(range(2, 12))


async def test_one_subscribers_leaving_leaves_the_others(api: Api) -> None:
    ann = await api.register()
    conversation = await ann.talk()
    async with ann.socket() as leaving, ann.socket() as staying:
        runs = [await socket.updates(conversation["id"]) for socket in (leaving, staying)]
        for run in runs:
            await run.until_caught_up()
        await runs[0].stop()
        await leaving.raw.close()
        await ann.send(conversation["id"], "still heard")

        assert (await runs[1].update())["message"]["body"] == "still heard"


async def test_a_subscription_from_the_conversations_cursor_misses_nothing(api: Api, other_api: Api) -> None:
    ann = await api.register()
    conversation = await ann.talk()
    for number in range(3):
        await ann.send(conversation["id"], f"message {number}")
    async with ann.at(other_api).socket() as socket:
        updates = await socket.updates(conversation["id"], conversation["cursor"])

        missed = await updates.until_caught_up()

    assert [update["message"]["body"] for update in missed] == ["message 0", "message 1", "message 2"]


async def test_the_first_message_of_a_conversation_has_sequence_2(api: Api) -> None:
    ann = await api.register()
    conversation = await ann.talk()
    await ann.send(conversation["id"], "first")
    async with ann.socket() as socket:
        after_creation = await (await socket.updates(conversation["id"], conversation["cursor"])).update()

    assert after_creation["__typename"] == "MessageSent"
    assert after_creation["sequence"] == 2


async def test_the_direct_conversation_of_two_people_exists_once(api: Api, other_api: Api) -> None:
    ann, bob = await api.register(), await other_api.register()

    made = await asyncio.gather(
        *(ann.talk(bob, kind="DIRECT") for _ in range(3)), *(bob.talk(ann, kind="DIRECT") for _ in range(3))
    )

    assert len({conversation["id"] for conversation in made}) == 1
    assert {conversation["lastSequence"] for conversation in made} == {1}


async def test_a_retried_creation_returns_the_conversation_already_made(api: Api, other_api: Api) -> None:
    ann = await api.register()
    fields = {"memberIds": [], "clientConversationId": "mine", "title": "once"}

    made = await asyncio.gather(
        *(person.mutate(CREATE, **fields) for person in (ann, ann.at(other_api)) for _ in range(3))
    )

    assert len({payload["conversation"]["id"] for payload in made}) == 1


async def test_a_repeated_client_id_stores_one_message(api: Api, other_api: Api) -> None:
    ann = await api.register()
    conversation = await ann.talk()

    sent = await asyncio.gather(
        *(person.send(conversation["id"], "once", "the-id") for person in (ann, ann.at(other_api)) for _ in range(10))
    )

    assert len({payload["message"]["id"] for payload in sent}) == 1
    page = await ann.post(MESSAGES, {"id": conversation["id"]})
    assert [node["body"] for node in page["data"]["conversation"]["messages"]["nodes"]] == ["once"]


async def test_the_same_client_id_of_another_sender_is_another_message(api: Api) -> None:
    ann, bob = await api.register(), await api.register()
    conversation = await ann.talk(bob)

    first = await ann.send(conversation["id"], "hers", "same")
    second = await bob.send(conversation["id"], "his", "same")

    assert first["message"]["id"] != second["message"]["id"]


async def test_pages_walk_the_messages_both_ways(api: Api) -> None:
    ann = await api.register()
    conversation = await ann.talk()
    for number in range(7):
        await ann.send(conversation["id"], str(number))

    async def page(**window: object) -> tuple[str, dict[str, object]]:
        response = await ann.post(MESSAGES, {"id": conversation["id"], **window})
        messages = response["data"]["conversation"]["messages"]
        return "".join(node["body"] for node in messages["nodes"]), messages["pageInfo"]

    bodies, info = await page(first=3)
    assert (bodies, info["hasNextPage"], info["hasPreviousPage"]) == ("012", True, False)
    bodies, info = await page(first=3, after=info["endCursor"])
    assert (bodies, info["hasNextPage"], info["hasPreviousPage"]) == ("345", True, True)
    bodies, info = await page(first=3, after=info["endCursor"])
    assert (bodies, info["hasNextPage"], info["hasPreviousPage"]) == ("6", False, True)
    bodies, info = await page(last=3)
    assert (bodies, info["hasNextPage"], info["hasPreviousPage"]) == ("456", False, True)
    bodies, info = await page(last=3, before=info["startCursor"])
    assert (bodies, info["hasNextPage"], info["hasPreviousPage"]) == ("123", True, True)
    bodies, info = await page(first=0)
    assert (bodies, info["hasNextPage"]) == ("", True)


async def test_who_joins_later_sees_nothing_from_before(api: Api) -> None:
    ann, bob = await api.register(), await api.register()
    conversation = await ann.talk()
    await ann.send(conversation["id"], "before")
    await ann.mutate(ADD, conversationId=conversation["id"], userIds=[bob.id])
    await ann.send(conversation["id"], "after")

    page = await bob.post(MESSAGES, {"id": conversation["id"]})
    async with bob.socket() as socket:
        first = await (await socket.updates(conversation["id"], conversation["cursor"])).update()

    messages = page["data"]["conversation"]["messages"]
    assert [node["body"] for node in messages["nodes"]] == ["after"]
    assert messages["pageInfo"]["hasPreviousPage"] is False
    assert (first["__typename"], first["reason"]) == ("ResyncRequired", "NOT_VISIBLE")


async def test_a_removed_member_gets_that_entry_and_then_nothing(api: Api, other_api: Api) -> None:
    ann, bob = await api.register(), await other_api.register()
    conversation = await ann.talk(bob)
    async with bob.socket() as socket:
        updates = await socket.updates(conversation["id"])
        await updates.until_caught_up()
        await ann.send(conversation["id"], "heard")
        await ann.mutate(REMOVE, conversationId=conversation["id"], userId=bob.id)
        await ann.send(conversation["id"], "not heard")

        heard = [await updates.update(), await updates.update()]
        end = await updates.message()

    assert [update["__typename"] for update in heard] == ["MessageSent", "MemberRemoved"]
    assert end["type"] == "complete"
    refused = await bob.send(conversation["id"], "too late")
    assert refused["message"] is None
    assert refused["userErrors"][0]["code"] == "NOT_FOUND"
    hidden = await bob.post(MESSAGES, {"id": conversation["id"]})
    assert hidden["data"]["conversation"] is None


async def test_a_member_removed_while_it_sends_says_nothing_after_the_removal(api: Api, other_api: Api) -> None:
    ann, bob = await api.register(), await other_api.register()
    conversation = await ann.talk(bob)
    async with ann.socket() as socket:
        updates = await socket.updates(conversation["id"])
        await updates.until_caught_up()

        sends = [asyncio.create_task(bob.send(conversation["id"], f"message {number}")) for number in range(60)]
        removed = await ann.mutate(REMOVE, conversationId=conversation["id"], userId=bob.id)
        outcomes = await asyncio.gather(*sends)
        await ann.send(conversation["id"], "the end")
        heard = [await updates.update()]
        while (heard[-1].get("message") or {}).get("body") != "the end":
            heard.append(await updates.update())

    assert removed["userErrors"] == []
    removal = next(update["sequence"] for update in heard if update["__typename"] == "MemberRemoved")
    his = [update["sequence"] for update in heard if update["actor"]["id"] == bob.id]
    assert all(sequence < removal for sequence in his)
    assert len(his) == sum(outcome["message"] is not None for outcome in outcomes)
    assert all(outcome["userErrors"][0]["code"] == "NOT_FOUND" for outcome in outcomes if outcome["message"] is None)


async def test_the_last_owner_cannot_leave_while_others_remain(api: Api) -> None:
    ann, bob = await api.register(), await api.register()
    conversation = await ann.talk(bob)

    refused = await ann.mutate(LEAVE, conversationId=conversation["id"])
    await bob.mutate(LEAVE, conversationId=conversation["id"])
    left = await ann.mutate(LEAVE, conversationId=conversation["id"])

    assert refused["userErrors"][0]["code"] == "FORBIDDEN"
    assert left["userErrors"] == []
    assert left["conversation"]["memberCount"] == 0


async def test_a_subscription_goes_on_while_the_viewer_field_is_selected(api: Api) -> None:
    ann, bob = await api.register(), await api.register()
    conversation = await ann.talk(bob)
    query = """subscription ($id: ID!, $after: String) { conversationUpdates(conversationId: $id, after: $after) {
      __typename ... on ConversationChanged { conversation { viewerMembership { role user { id } } } } } }"""
    async with ann.socket() as hers, bob.socket() as his:
        runs = [await socket.start(query, {"id": conversation["id"], "after": None}) for socket in (hers, his)]

        first = [await run.update() for run in runs]

    assert [update["__typename"] for update in first] == ["CaughtUp", "CaughtUp"]
