"""The inbox: all of a viewer's conversations in one subscription."""

from collections.abc import Sequence

from tests.clients import ADD, INBOX, MARK_READ, REMOVE, Api, Json, Person, Running, Socket


async def follow(socket: Socket, after: Sequence[str] | None = None) -> Running:
    return await socket.start(INBOX, {"after": after})


async def caught_up(run: Running, count: int) -> dict[str, list[Json]]:
    """Return what came of each conversation, up to the `CaughtUp` of so many of them."""
    found: dict[str, list[Json]] = {}
    while count:
        update = await run.update()
        found.setdefault(update["conversationId"], []).append(update)
        count -= update["__typename"] == "CaughtUp"
    return found


async def test_all_conversations_come_and_each_is_caught_up_before_it_is_live(api: Api, other_api: Api) -> None:
    ann, bob = await api.register(), await other_api.register()
    rooms = [(await ann.talk(bob))["id"] for _ in range(3)]
    await ann.talk()

    async with bob.socket() as socket:
        run = await follow(socket)
        first = await caught_up(run, 3)
        for room in rooms:
            await ann.send(room, f"to {room}")
        live = [await run.update() for _ in rooms]

    assert {room: [update["__typename"] for update in updates] for room, updates in first.items()} == {
        room: ["CaughtUp"] for room in rooms
    }
    assert {update["conversationId"]: update["message"]["body"] for update in live} == {
        room: f"to {room}" for room in rooms
    }


async def test_a_named_conversation_is_replayed_and_the_others_begin_now(api: Api) -> None:
    ann, bob = await api.register(), await api.register()
    one, two = await ann.talk(bob), await ann.talk(bob)
    for conversation in (one, two):
        await ann.send(conversation["id"], "missed")

    async with bob.socket() as socket:
        run = await follow(socket, [one["cursor"]])
        found = await caught_up(run, 2)

    assert [update["__typename"] for update in found[one["id"]]] == ["MessageSent", "CaughtUp"]
    assert [update["__typename"] for update in found[two["id"]]] == ["CaughtUp"]


async def test_a_conversation_joined_later_begins_with_the_joining(api: Api, other_api: Api) -> None:
    ann, bob = await api.register(), await other_api.register()
    old = (await ann.talk())["id"]
    await ann.send(old, "before")

    async with bob.socket() as socket:
        run = await follow(socket)
        await ann.mutate(ADD, conversationId=old, userIds=[bob.id])
        joined = await caught_up(run, 1)
        new = (await ann.talk(bob))["id"]
        made = await caught_up(run, 1)
        await ann.send(old, "after")
        live = await run.update()

    assert [(update["__typename"], update.get("sequence")) for update in joined[old]] == [
        ("MemberAdded", 3),
        ("CaughtUp", 3),
    ]
    assert [update["__typename"] for update in made[new]] == ["ConversationChanged", "CaughtUp"]
    assert live["message"]["body"] == "after"


async def test_after_a_removal_that_conversation_is_silent_and_the_others_go_on(api: Api, other_api: Api) -> None:
    ann, bob = await api.register(), await other_api.register()
    one, two = (await ann.talk(bob))["id"], (await ann.talk(bob))["id"]

    async with bob.socket() as socket:
        run = await follow(socket)
        await caught_up(run, 2)
        await ann.mutate(REMOVE, conversationId=one, userId=bob.id)
        removed = await run.update()
        await ann.send(one, "not for bob")
        await ann.send(two, "for bob")
        other = await run.update()
        await ann.mutate(ADD, conversationId=one, userIds=[bob.id])
        again = await caught_up(run, 1)

    assert (removed["__typename"], removed["userId"]) == ("MemberRemoved", bob.id)
    assert other["message"]["body"] == "for bob"
    assert [update["__typename"] for update in again[one]] == ["MemberAdded", "CaughtUp"]


async def test_receipts_come_in_the_inbox_as_well(api: Api, other_api: Api) -> None:
    ann, bob = await api.register(), await other_api.register()
    room = (await ann.talk(bob))["id"]

    async with ann.socket() as socket:
        run = await follow(socket)
        await caught_up(run, 1)
        run.receipts.clear()
        await ann.send(room, "hello")
        await run.update()
        await bob.mutate(MARK_READ, conversationId=room, upToSequence=2)
        moved = await run.receipt()

    assert (moved["conversationId"], moved["userId"], moved["readSequence"]) == (room, bob.id, 2)


async def _refusal(person: Person, after: Sequence[str]) -> str:
    async with person.socket() as socket:
        message = await (await follow(socket, after)).message()
    assert message["type"] == "error", message
    return str(message["payload"][0]["extensions"]["code"])


async def test_cursors_that_make_no_sense_are_refused(api: Api) -> None:
    ann = await api.register()
    conversation = await ann.talk()
    cursor = conversation["cursor"]

    codes = [await _refusal(ann, after) for after in (["nonsense"], [cursor, cursor], [cursor] * 501)]

    assert codes == ["BAD_USER_INPUT"] * 3


async def test_a_subscription_that_ends_leaves_nothing_behind(api: Api) -> None:
    ann, bob = await api.register(), await api.register()
    room = (await ann.talk(bob))["id"]

    async with bob.socket() as socket:
        first = await follow(socket)
        await caught_up(first, 1)
        await first.stop()
        second = await follow(socket)
        await caught_up(second, 1)
        await ann.send(room, "once")
        update = await second.update()

    assert update["message"]["body"] == "once"
    assert first._queue.empty()
