"""A conversation of four people at two processes, made and judged call by call: answers, news and reads."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from typing import Any, Self

from tests.clients import LEAVE, UNBLOCK, Api, Json, Person, Running, Socket
from tests.machine.follower import INBOX, UPDATES, Follower, Picture, plain, until_caught_up
from tests.machine.reading import differences, expected, expected_message, read, read_receipts
from tests.machine.rules import Kind, Message, Refused, Room
from tests.stack_process import StackProcess

PEOPLE_SECONDS = 240.0  # an access token lasts for 600


class World:
    """What all examples share: an event loop, clients of both processes, and people."""

    def __init__(self, stack: StackProcess) -> None:
        self._runner = asyncio.Runner()
        self._clients = AsyncExitStack()
        self._urls = stack.urls
        self.apis: list[Api] = []
        self._people: list[Person] = []
        self._met = 0.0  # when they were registered

    def __enter__(self) -> Self:
        self._runner.__enter__()
        self.run(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._clients.aclose())
        self._runner.close()

    def run[T](self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(coroutine)

    async def people(self) -> list[Person]:
        """Return four people; others than before where their tokens might end too soon."""
        if not self._people or time.monotonic() - self._met > PEOPLE_SECONDS:
            self._met = time.monotonic()
            self._people = await asyncio.gather(*(self.apis[0].register() for _ in range(4)))
            # Beside the conversation of each example there is one with a message that nobody ever reads.
            ann, *others = self._people
            side = await ann.talk(*others)
            await ann.send(side["id"], "unread")
        return list(self._people)

    async def _open(self) -> None:
        self.apis = [await self._clients.enter_async_context(Api(url)) for url in self._urls]


class Talk:
    """One conversation of four people, the rules beside it, and what everybody was told."""

    def __init__(self, world: World) -> None:
        self.people: list[Person] = []
        self.room: Room
        self.id = ""
        self._world = world
        self._open = AsyncExitStack()
        self._elsewhere: list[int] = []  # what each has not read in other conversations
        self._times: dict[int, str] = {}  # of the entries
        self._cursors: dict[int, str] = {}
        self._sockets: list[Socket] = []
        self._followers: dict[str, Follower] = {}
        self._inbox: tuple[str, Running]  # who follows all conversations in one subscription

    async def judged(
        self, actor: str, at: int, query: str, made: Callable[[], Message | None], given: Json
    ) -> Message | None:
        """Make a call, and compare all that can be seen of it with what the rules make of it."""
        members = set(self.room.members)
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
        people = [person.at(api) for person in self.people for api in self._world.apis]
        found = await asyncio.gather(*(read(person, self.id) for person in people))
        return list(zip(people, found, strict=True))

    async def _follow(self, members: set[str]) -> None:
        """Let everybody hear of what has happened, given who was in before; who comes begins to follow."""
        room = self.room
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
        found = await read(self.people[index], self.id)
        if user_id == self._inbox[0]:
            running, start = self._inbox[1], self.room.members[user_id].joined - 1
        else:
            after = found["conversation"]["cursor"]
            running = await self._sockets[index].start(UPDATES, {"id": self.id, "after": after})
            start = self.room.sequence
        await self._judge_replay(running, start)
        self._followers[user_id] = Follower(running, self.id, Picture.of(found))

    async def _judge_replay(self, running: Running, start: int) -> None:
        """Compare what comes with the log after a place, and the markers that come with it."""
        room = self.room
        updates, markers = await until_caught_up(running, self.id)
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
            assert differences(self.room.log[sequence - 1].event(sequence), plain(entry)) == []
            assert self._times.setdefault(sequence, entry["at"]) == entry["at"]
            assert self._cursors.setdefault(sequence, entry["cursor"]) == entry["cursor"]

    def _judge_answer(self, payload: Json, actor: str, message: Message | None, *, refused: bool) -> None:
        if refused:
            assert set(payload.values()) == {None}
        elif message is not None:
            wanted = expected_message(self.room, actor, message, self._time)
            assert differences(wanted, payload["message"]) == []
        elif "member" in payload:
            member = self.room.members[actor]
            assert payload["member"] == {"deliveredSequence": member.delivered, "readSequence": member.read}
            assert payload["viewerUnreadCount"] == self.room.unread(actor)
        elif "lastSequence" in (payload.get("conversation") or {}):
            assert payload["conversation"]["lastSequence"] == self.room.sequence

    def _judge_reads(self, reads: Sequence[tuple[Person, Json]]) -> None:
        cursor = self._cursors[self.room.sequence]
        for person, found in reads:
            elsewhere = self._elsewhere[self._index(person.id)]
            wanted = expected(self.room, person.id, self.id, self._time, cursor=cursor, elsewhere=elsewhere)
            assert differences(wanted, found) == [], (person.id, person.api.url)
            if found["conversation"] is not None:
                picture = self._followers[person.id].picture
                assert differences(asdict(Picture.of(found)), asdict(picture)) == [], (person.id, person.api.url)

    async def _judge_receipts(self, message: Message | None, at: int) -> None:
        """Compare the receipts of a message, or of the newest, as somebody reads them at the other process."""
        message = message or next(reversed(self.room.messages.values()), None)
        reader = next((user_id for user_id in self.room.members if message in self.room.visible(user_id)), None)
        if message is not None and reader is not None:
            found = await read_receipts(self._person(reader, 1 - at), message.id)
            assert found == self.room.receipts(message)

    async def resume(self, person: Person, at: int, start: int) -> None:
        """Follow from an old cursor, as after a lost connection."""
        room = self.room
        async with person.at(self._world.apis[at]).socket() as socket:
            running = await socket.start(UPDATES, {"id": self.id, "after": self._cursors[start]})
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

    async def begin(self, kind: Kind, others: Sequence[int], following: list[int], inbox: int) -> None:
        self.people = await self._world.people()
        self._elsewhere = [0, 1, 1, 1]
        if kind == "DIRECT":  # two people have one such conversation only
            self.people[:2] = await asyncio.gather(*(api.register() for api in self._world.apis))
            self._elsewhere[:2] = [0, 0]
            others = [1]
        self.people = [person.at(self._world.apis[at]) for person, at in zip(self.people, following, strict=True)]
        handles = {person.id: person.handle for person in self.people}
        creator, *_ = self.people
        made = await creator.talk(*(self.people[other] for other in others), kind=kind)
        self.id = made["id"]
        self.room = Room(kind, handles, creator.id, [self.people[other].id for other in others])
        self._sockets = [await self._open.enter_async_context(person.socket()) for person in self.people]
        await self._open_inbox(inbox)
        found = await read(creator, self.id)
        self._times[1], self._cursors[1] = found["conversation"]["createdAt"], made["cursor"]
        for index, person in enumerate(self.people):
            if person.id in self.room.members:
                if index == inbox:
                    picture = Picture.of(await read(person, self.id))
                    self._followers[person.id] = Follower(self._inbox[1], self.id, picture)
                else:
                    await self._begin_following(person.id)
        self._judge_reads(await self._reads())

    async def _open_inbox(self, index: int) -> None:
        person = self.people[index]
        running = await self._sockets[index].start(INBOX, {"after": None})
        self._inbox = person.id, running
        # Both the conversation beside and this one, of those that the person is in.
        is_beside = self.room.kind != "DIRECT" or index > 1
        awaited = is_beside + (person.id in self.room.members)
        while awaited:
            awaited -= (await running.any_update())["__typename"] == "CaughtUp"

    async def end(self) -> None:
        """Replay everything at both processes, and compare all receipts; no news may have come to anybody."""
        for user_id, member in self.room.members.items():
            for at in range(2):
                await self.resume(self._person(user_id, at), at, max(1, member.joined - 1))
            for message in self.room.visible(user_id):
                await self._judge_receipts(message, member.joined % 2)
        for follower in self._followers.values():
            assert await follower.rest() == []

    async def tidy(self) -> None:
        """Let nothing of this conversation be in the way of the next one."""
        await self._open.aclose()
        if not self.id:
            return
        for blocker, blocked in self.room.blocks:
            await self._person(blocker, 0).mutate(UNBLOCK, userId=blocked)
        by_role = sorted(self.room.members, key=lambda user_id: self.room.members[user_id].role == "OWNER")
        for user_id in by_role if self.room.kind != "DIRECT" else ():
            await self._person(user_id, 0).mutate(LEAVE, conversationId=self.id)

    # ------------------------------------------------------------ parts

    def _index(self, user_id: str) -> int:
        return [person.id for person in self.people].index(user_id)

    def _person(self, user_id: str, at: int) -> Person:
        return self.people[self._index(user_id)].at(self._world.apis[at])

    def _time(self, sequence: int | None) -> str | None:
        return None if sequence is None else self._times[sequence]
