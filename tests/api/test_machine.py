"""Four people do anything to a conversation, in any order, at two processes: answers, news and reads are as ruled.

After each call everybody reads everything at both processes. What they read must be what `tests/machine/rules.py` makes
of all calls so far, and what their own subscription had told them. Planted mistakes of these kinds are found: counts
that ignore deletions or mutes, a status that counts later members, reactions and versions folded wrongly, positions
that are off by one, entries that nobody is told of, words that outlive a deletion.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from functools import partial
from typing import Any, Self

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, multiple, rule, run_state_machine_as_test

from tests.api.test_messages import mutation
from tests.clients import (
    ADD,
    BLOCK,
    LEAVE,
    MARK_DELIVERED,
    MARK_READ,
    MUTE,
    REMOVE,
    SET_ROLE,
    UNBLOCK,
    UPDATE,
    Api,
    Json,
    Person,
    Running,
    Socket,
)
from tests.machine.follower import INBOX, UPDATES, Follower, Picture, plain, until_caught_up
from tests.machine.reading import FOREVER, MESSAGE, differences, expected, expected_message, read, read_receipts
from tests.machine.rules import Kind, Message, Refused, Role, Room
from tests.stack_process import StackProcess

EXAMPLES = 10
CALLS = 25  # in an example

FILE = {"name": "plan.pdf", "url": "https://files.example/plan.pdf", "mediaType": "application/pdf", "sizeBytes": 10}
CHANGES = {
    name: mutation(name, "message { " + MESSAGE + " }")
    for name in (
        *("sendMessage", "editMessage", "deleteMessage"),
        *("addReaction", "removeReaction", "pinMessage", "unpinMessage"),
    )
}

everybody = st.integers(0, 3)
processes = st.integers(0, 1)
words = st.sampled_from(["one", "two", "three", "four", "five", "six", " "])
emojis = st.sampled_from(["👍", "❤️", "🎉"])
senders = st.none() | everybody  # None: whoever sent the message that it is about


class World:
    """What all examples share: an event loop, clients of both processes, and people."""

    def __init__(self, stack: StackProcess) -> None:
        self._runner = asyncio.Runner()
        self._clients = AsyncExitStack()
        self._urls = stack.urls
        self.apis: list[Api] = []
        self.people: list[Person] = []

    def __enter__(self) -> Self:
        self._runner.__enter__()
        self.run(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._clients.aclose())
        self._runner.close()

    def run[T](self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(coroutine)

    async def _open(self) -> None:
        self.apis = [await self._clients.enter_async_context(Api(url)) for url in self._urls]
        self.people = await asyncio.gather(*(self.apis[0].register() for _ in range(4)))
        # Beside the conversation of each example there is one with a message that nobody ever reads.
        ann, *others = self.people
        side = await ann.talk(*others)
        await ann.send(side["id"], "unread")


@pytest.fixture(scope="module")
def world(stack: StackProcess) -> Iterator[World]:
    with World(stack) as world:
        yield world


def test_whatever_anybody_does_is_answered_told_and_read_as_the_rules_say(world: World) -> None:
    def talk() -> Talk:
        return Talk(world)

    run_state_machine_as_test(
        talk,  # type: ignore[arg-type]  # it asks for a class, and only calls it
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=CALLS,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )


class Talk(RuleBasedStateMachine):
    """One conversation."""

    messages: "Bundle[Message]" = Bundle("messages")

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world
        self._open = AsyncExitStack()
        self._people = list(world.people)
        self._elsewhere: list[int] = []  # what each has not read in other conversations
        self._room: Room
        self._id = ""
        self._times: dict[int, str] = {}  # of the entries
        self._cursors: dict[int, str] = {}
        self._sockets: list[Socket] = []
        self._followers: dict[str, Follower] = {}
        self._inbox: tuple[str, Running]  # who follows all conversations in one subscription
        self._is_sound = False  # whether the last call was found to be right

    # ------------------------------------------------------------ calls

    @initialize(
        kind=st.sampled_from(["GROUP", "GROUP", "CHANNEL", "DIRECT"]),
        others=st.sets(st.integers(1, 3)),
        following=st.lists(processes, min_size=4, max_size=4),
        inbox=everybody,
    )
    def begin(self, kind: Kind, others: set[int], following: list[int], inbox: int) -> None:
        self._world.run(self._begin(kind, sorted(others), following, inbox))
        self._is_sound = True

    @rule(target=messages, who=everybody, at=processes, text=words, named=st.none() | everybody, attached=st.booleans())
    def send(self, who: int, at: int, text: str, named: int | None, attached: bool) -> Any:
        return self._send(who, at, self._body(text, named), None, attached=attached)

    @rule(target=messages, who=everybody, at=processes, text=words, quoted=messages)
    def reply(self, who: int, at: int, text: str, quoted: Message) -> Any:
        return self._send(who, at, text, quoted, attached=False)

    @rule(message=messages, at=processes, same=st.booleans())
    def repeat(self, message: Message, at: int, same: bool) -> None:
        body = message.sent["body"] + ("" if same else "!")
        quoted = next((other for other in self._room.messages.values() if other.id == message.sent["replyTo"]), None)
        who = [person.id for person in self._people].index(message.sender)
        self._send(who, at, body, quoted, attached=bool(message.sent["attachments"]), client_id=message.client_id)

    @rule(
        who=senders,
        at=processes,
        message=messages,
        text=words,
        named=st.none() | everybody,
        behind=st.none() | st.integers(0, 1),
    )
    def edit(
        self, who: int | None, at: int, *, message: Message, text: str, named: int | None, behind: int | None
    ) -> None:
        body = self._body(text, named)
        version = None if behind is None else message.version - behind
        actor = self._actor(who, message)
        given = {"body": body} | ({} if version is None else {"expectedVersion": version})
        self._change(
            actor, at, "editMessage", message, partial(self._room.edit, actor, message, body, version), **given
        )

    @rule(who=senders, at=processes, message=messages)
    def delete(self, who: int | None, at: int, message: Message) -> None:
        actor = self._actor(who, message)
        self._change(actor, at, "deleteMessage", message, partial(self._room.delete, actor, message))

    @rule(who=everybody, at=processes, message=messages, emoji=emojis)
    def react(self, who: int, at: int, message: Message, emoji: str) -> None:
        actor = self._people[who].id
        made = partial(self._room.react, actor, message, emoji)
        self._change(actor, at, "addReaction", message, made, emoji=emoji)

    @rule(who=everybody, at=processes, message=messages, emoji=emojis)
    def unreact(self, who: int, at: int, message: Message, emoji: str) -> None:
        actor = self._people[who].id
        made = partial(self._room.unreact, actor, message, emoji)
        self._change(actor, at, "removeReaction", message, made, emoji=emoji)

    @rule(who=everybody, at=processes, message=messages)
    def pin(self, who: int, at: int, message: Message) -> None:
        actor = self._people[who].id
        self._change(actor, at, "pinMessage", message, partial(self._room.pin, actor, message))

    @rule(who=everybody, at=processes, message=messages)
    def unpin(self, who: int, at: int, message: Message) -> None:
        actor = self._people[who].id
        self._change(actor, at, "unpinMessage", message, partial(self._room.unpin, actor, message))

    @rule(who=everybody, at=processes, others=st.lists(everybody, min_size=1, max_size=3))
    def add(self, who: int, at: int, others: list[int]) -> None:
        actor, user_ids = self._people[who].id, [self._people[other].id for other in others]
        self._call(actor, at, ADD, partial(self._room.add, actor, user_ids), conversationId=self._id, userIds=user_ids)

    @rule(who=everybody, at=processes, other=everybody)
    def remove(self, who: int, at: int, other: int) -> None:
        actor, user_id = self._people[who].id, self._people[other].id
        made = partial(self._room.remove, actor, user_id)
        self._call(actor, at, REMOVE, made, conversationId=self._id, userId=user_id)

    @rule(who=everybody, at=processes)
    def leave(self, who: int, at: int) -> None:
        actor = self._people[who].id
        self._call(actor, at, LEAVE, partial(self._room.leave, actor), conversationId=self._id)

    @rule(who=everybody, at=processes, other=everybody, role=st.sampled_from(["OWNER", "MODERATOR", "MEMBER"]))
    def set_role(self, who: int, at: int, other: int, role: Role) -> None:
        actor, user_id = self._people[who].id, self._people[other].id
        made = partial(self._room.set_role, actor, user_id, role)
        self._call(actor, at, SET_ROLE, made, conversationId=self._id, userId=user_id, role=role)

    @rule(who=everybody, at=processes, title=st.sampled_from([None, "Engines", "Plans"]))
    def change_title(self, who: int, at: int, title: str | None) -> None:
        actor = self._people[who].id
        made = partial(self._room.change, actor, {"title": title})
        self._call(actor, at, UPDATE, made, conversationId=self._id, title=title)

    @rule(who=everybody, at=processes, archived=st.booleans())
    def archive(self, who: int, at: int, archived: bool) -> None:
        actor = self._people[who].id
        made = partial(self._room.change, actor, {"archived": archived})
        self._call(actor, at, UPDATE, made, conversationId=self._id, archived=archived)

    @rule(who=everybody, at=processes, muted=st.booleans())
    def mute(self, who: int, at: int, muted: bool) -> None:
        actor = self._people[who].id
        until = FOREVER if muted else None
        self._call(actor, at, MUTE, partial(self._room.mute, actor, muted=muted), conversationId=self._id, until=until)

    @rule(who=everybody, at=processes, other=everybody, blocked=st.booleans())
    def block(self, who: int, at: int, other: int, blocked: bool) -> None:
        actor, user_id = self._people[who].id, self._people[other].id
        made = partial(self._room.block, actor, user_id, blocked=blocked)
        self._call(actor, at, BLOCK if blocked else UNBLOCK, made, userId=user_id)

    @rule(who=everybody, at=processes, back=st.integers(0, 8), is_read=st.booleans())
    def mark(self, who: int, at: int, back: int, is_read: bool) -> None:
        actor, upto = self._people[who].id, self._room.sequence + 1 - back
        made = partial(self._room.mark, actor, upto, read=is_read)
        self._call(
            actor, at, MARK_READ if is_read else MARK_DELIVERED, made, conversationId=self._id, upToSequence=upto
        )

    @rule(who=everybody, at=processes, start=st.integers(0, 40))
    def resume(self, who: int, at: int, start: int) -> None:
        self._is_sound = False
        self._world.run(self._resume(self._people[who], at, 1 + start % self._room.sequence))
        self._is_sound = True

    def teardown(self) -> None:
        try:
            if self._is_sound:
                self._world.run(self._end())
        finally:
            self._world.run(self._tidy())

    # ------------------------------------------------------------ how a call is made and judged

    def _body(self, text: str, named: int | None) -> str:
        return text if named is None else f"{text} @{self._people[named].handle}"

    def _actor(self, who: int | None, message: Message) -> str:
        return message.sender if who is None else self._people[who].id

    def _send(
        self, who: int, at: int, body: str, quoted: Message | None, *, attached: bool, client_id: str | None = None
    ) -> Any:
        actor, attachments = self._people[who].id, [FILE] if attached else []
        client_id = client_id or f"m{self._room.sequence}"
        before = set(self._room.messages)
        given = {"body": body, "clientMessageId": client_id, "replyToId": quoted and quoted.id}
        message = self._call(
            actor,
            at,
            CHANGES["sendMessage"],
            partial(self._room.send, actor, client_id, body, quoted, attachments),
            conversationId=self._id,
            attachments=attachments,
            **given,
        )
        return message if message is not None and message.sequence not in before else multiple()

    def _change(
        self, actor: str, at: int, name: str, message: Message, made: Callable[[], None], **given: object
    ) -> None:
        def changed() -> Message:
            made()
            return message

        self._call(actor, at, CHANGES[name], changed, messageId=message.id, **given)

    def _call(
        self, actor: str, at: int, query: str, made: Callable[[], Message | None], **given: object
    ) -> Message | None:
        self._is_sound = False
        found = self._world.run(self._judged(actor, at, query, made, given))
        self._is_sound = True
        return found

    async def _judged(
        self, actor: str, at: int, query: str, made: Callable[[], Message | None], given: Json
    ) -> Message | None:
        """Make a call, and compare all that can be seen of it with what the rules make of it."""
        members = set(self._room.members)
        message: Message | None = None
        refusal: list[tuple[str, str]] = []
        try:
            message = made()
        except Refused as refused:
            refusal = [(refused.code, refused.part)]

        payload = await self._person(actor, at).mutate(query, **given)
        reads = await self._reads()

        errors = payload.pop("userErrors")
        assert [(error["code"], error["path"][-1]) for error in errors] == refusal
        if message is not None and not message.id:
            message.id = payload["message"]["id"]
        await self._follow(members)
        self._judge_answer(payload, actor, message, refused=bool(refusal))
        self._judge_reads(reads)
        await self._judge_receipts(message, at)
        return message

    async def _reads(self) -> list[tuple[Person, Json]]:
        """Return what everybody reads at both processes."""
        people = [person.at(api) for person in self._people for api in self._world.apis]
        found = await asyncio.gather(*(read(person, self._id) for person in people))
        return list(zip(people, found, strict=True))

    async def _follow(self, members: set[str]) -> None:
        """Let everybody hear of what has happened, given who was in before; who comes begins to follow."""
        room = self._room
        heard = {user_id: len(follower.entries) for user_id, follower in self._followers.items()}
        for user_id in members:
            follower = self._followers[user_id]
            if user_id in room.members:
                await follower.until(room.sequence, room.markers)
            else:
                await follower.until_removed(room.sequence, user_id)
            self._judge_entries(follower.entries[heard[user_id] :])
            if user_id not in room.members:
                del self._followers[user_id]
                if user_id != self._inbox[0]:
                    assert (await follower.running.message())["type"] == "complete"
        for user_id in room.members.keys() - members:
            await self._begin_following(user_id)

    async def _begin_following(self, user_id: str) -> None:
        """Read, and follow from there; the inbox does it by itself from the joining."""
        index = self._index(user_id)
        found = await read(self._people[index], self._id)
        if user_id == self._inbox[0]:
            running, start = self._inbox[1], self._room.members[user_id].joined - 1
        else:
            after = found["conversation"]["cursor"]
            running = await self._sockets[index].start(UPDATES, {"id": self._id, "after": after})
            start = self._room.sequence
        await self._judge_replay(running, start)
        self._followers[user_id] = Follower(running, self._id, Picture.of(found))

    async def _judge_replay(self, running: Running, start: int) -> None:
        """Compare what comes with the log after a place, and the markers that come with it."""
        room = self._room
        updates, markers = await until_caught_up(running, self._id)
        *entries, caught_up = updates
        assert caught_up["sequence"] == (entries[-1]["sequence"] if entries else start)
        joined = {user_id for user_id, member in room.members.items() if member.joined <= caught_up["sequence"]}
        assert joined <= markers.keys()
        assert {**room.markers, **markers} == room.markers
        last = caught_up["sequence"]
        while last < room.sequence:  # an inbox joins at once, before all have come who were added by the same call
            update = await running.any_update()
            if update["__typename"] != "ReceiptMoved":
                entries.append(update)
                last = update["sequence"]
        assert [entry["sequence"] for entry in entries] == list(range(start + 1, room.sequence + 1))
        self._judge_entries(entries)
        assert caught_up["cursor"] == self._cursors[caught_up["sequence"]]

    def _judge_entries(self, entries: Sequence[Json]) -> None:
        for entry in entries:
            sequence = entry["sequence"]
            assert differences(self._room.log[sequence - 1].event(sequence), plain(entry)) == []
            assert self._times.setdefault(sequence, entry["at"]) == entry["at"]
            assert self._cursors.setdefault(sequence, entry["cursor"]) == entry["cursor"]

    def _judge_answer(self, payload: Json, actor: str, message: Message | None, *, refused: bool) -> None:
        if refused:
            assert set(payload.values()) == {None}
        elif message is not None:
            wanted = expected_message(self._room, actor, message, self._time)
            assert differences(wanted, payload["message"]) == []
        elif "member" in payload:
            member = self._room.members[actor]
            assert payload["member"] == {"deliveredSequence": member.delivered, "readSequence": member.read}
            assert payload["viewerUnreadCount"] == self._room.unread(actor)
        elif "lastSequence" in (payload.get("conversation") or {}):
            assert payload["conversation"]["lastSequence"] == self._room.sequence

    def _judge_reads(self, reads: Sequence[tuple[Person, Json]]) -> None:
        cursor = self._cursors[self._room.sequence]
        for person, found in reads:
            elsewhere = self._elsewhere[self._index(person.id)]
            wanted = expected(self._room, person.id, self._id, self._time, cursor=cursor, elsewhere=elsewhere)
            assert differences(wanted, found) == [], (person.id, person.api.url)
            if found["conversation"] is not None:
                picture = self._followers[person.id].picture
                assert differences(asdict(Picture.of(found)), asdict(picture)) == [], (person.id, person.api.url)

    async def _judge_receipts(self, message: Message | None, at: int) -> None:
        """Compare the receipts of a message, or of the newest, as somebody reads them at the other process."""
        message = message or next(reversed(self._room.messages.values()), None)
        reader = next((user_id for user_id in self._room.members if message in self._room.visible(user_id)), None)
        if message is not None and reader is not None:
            found = await read_receipts(self._person(reader, 1 - at), message.id)
            assert found == self._room.receipts(message)

    async def _resume(self, person: Person, at: int, start: int) -> None:
        """Follow from an old cursor, as after a lost connection."""
        room = self._room
        async with person.at(self._world.apis[at]).socket() as socket:
            running = await socket.start(UPDATES, {"id": self._id, "after": self._cursors[start]})
            if person.id not in room.members:
                message = await running.message()
                assert (message["type"], message["payload"][0]["extensions"]["code"]) == ("error", "NOT_FOUND")
                return
            if start < room.members[person.id].joined - 1:
                resync = await running.any_update()
                assert (resync["__typename"], resync["reason"]) == ("ResyncRequired", "NOT_VISIBLE")
                assert resync["cursor"] == self._cursors[room.sequence]
                start = room.sequence
            await self._judge_replay(running, start)

    # ------------------------------------------------------------ begin and end

    async def _begin(self, kind: Kind, others: list[int], following: list[int], inbox: int) -> None:
        self._elsewhere = [0, 1, 1, 1]
        if kind == "DIRECT":  # two people have one such conversation only
            self._people[:2] = await asyncio.gather(*(api.register() for api in self._world.apis))
            self._elsewhere[:2] = [0, 0]
            others = [1]
        self._people = [person.at(self._world.apis[at]) for person, at in zip(self._people, following, strict=True)]
        handles = {person.id: person.handle for person in self._people}
        creator, *_ = self._people
        made = await creator.talk(*(self._people[other] for other in others), kind=kind)
        self._id = made["id"]
        self._room = Room(kind, handles, creator.id, [self._people[other].id for other in others])
        self._sockets = [await self._open.enter_async_context(person.socket()) for person in self._people]
        await self._open_inbox(inbox)
        found = await read(creator, self._id)
        self._times[1], self._cursors[1] = found["conversation"]["createdAt"], made["cursor"]
        for index, person in enumerate(self._people):
            if person.id in self._room.members:
                if index == inbox:
                    picture = Picture.of(await read(person, self._id))
                    self._followers[person.id] = Follower(self._inbox[1], self._id, picture)
                else:
                    await self._begin_following(person.id)
        self._judge_reads(await self._reads())

    async def _open_inbox(self, index: int) -> None:
        person = self._people[index]
        running = await self._sockets[index].start(INBOX, {"after": None})
        self._inbox = person.id, running
        # Both the conversation beside and this one, of those that the person is in.
        awaited = (person in self._world_people()) + (person.id in self._room.members)
        while awaited:
            awaited -= (await running.any_update())["__typename"] == "CaughtUp"

    def _world_people(self) -> list[Person]:
        ids = {person.id for person in self._world.people}
        return [person for person in self._people if person.id in ids]

    async def _end(self) -> None:
        """Replay everything at both processes, and compare all receipts; no news may have come to anybody."""
        for user_id, member in self._room.members.items():
            for at in range(2):
                await self._resume(self._person(user_id, at), at, max(1, member.joined - 1))
            for message in self._room.visible(user_id):
                await self._judge_receipts(message, member.joined % 2)
        for follower in self._followers.values():
            assert await follower.rest() == []

    async def _tidy(self) -> None:
        """Let nothing of this conversation be in the way of the next one."""
        await self._open.aclose()
        if not self._id:
            return
        for blocker, blocked in self._room.blocks:
            await self._person(blocker, 0).mutate(UNBLOCK, userId=blocked)
        by_role = sorted(self._room.members, key=lambda user_id: self._room.members[user_id].role == "OWNER")
        for user_id in by_role if self._room.kind != "DIRECT" else ():
            await self._person(user_id, 0).mutate(LEAVE, conversationId=self._id)

    # ------------------------------------------------------------ parts

    def _index(self, user_id: str) -> int:
        return [person.id for person in self._people].index(user_id)

    def _person(self, user_id: str, at: int) -> Person:
        return self._people[self._index(user_id)].at(self._world.apis[at])

    def _time(self, sequence: int | None) -> str | None:
        return None if sequence is None else self._times[sequence]
