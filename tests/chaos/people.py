"""People who talk, edit, come and go, read and roam while everything breaks, and how it all looks to them."""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx
from websockets.exceptions import WebSocketException

from tests.checker.history import Entry, History, PresenceShown, Read, SendAcked, UnreadCounted
from tests.clients import MARK_READ, Api, Person
from tests.faults.harness import Listener, Room

HOT_SHARE = 0.3  # of all messages that go to the first room, and of all people who are in it besides their own
EDITED, READ_AGAIN, MARKED, TYPED = 0.05, 0.1, 0.1, 0.05  # shares of messages that are followed by such
WAITING = 128  # messages that wait for an answer; then nobody says more
PAGE = 20
COMING_AND_GOING_SECONDS = 2.0
QUIET_ROOMS = 8  # in which nothing happens but that somebody comes, is spoken to at once, and goes
NEWCOMER_PAUSE_SECONDS = 4.0
SPOKEN_TO_SECONDS = 20.0  # that a newcomer waits for the word
REGISTERING = 8  # people at a time
ROAMING = 4  # of so many who listen one goes from process to process
GHOSTS = 5
FREED_SECONDS = 60.0  # that a half-open connection is watched
GONE_SECONDS = 90.0  # that somebody is watched who is gone
MOST_UNREAD = 1_000

MESSAGES = f"""query ($id: ID!) {{ conversation(id: $id) {{
  messages(last: {PAGE}) {{ edges {{ node {{ sequence clientMessageId }} }} }} }} }}"""
UNREAD = "query ($id: ID!) { conversation(id: $id) { viewerUnreadCount viewerMembership { readSequence } } }"
PRESENCE = "query ($ids: [ID!]!) { presence(userIds: $ids) { userId status } }"
TYPING = """mutation ($input: SetTypingInput!) { setTyping(input: $input) { userErrors { code message path } } }"""


@dataclass(slots=True)
class Ghosts:
    """Clients whose network went away without a word."""

    freed: list[float | None] = field(default_factory=list)  # seconds until the server let go; None: it did not
    offline: list[float | None] = field(default_factory=list)  # seconds until one was shown as gone


@dataclass(slots=True, eq=False)
class Crowd:
    """Everybody who is there."""

    apis: Sequence[Api]
    ghost_apis: Sequence[Api]
    history: History
    owner: Person
    rooms: list[Room] = field(default_factory=list)
    members: list[list[Person]] = field(default_factory=list)  # of each room, without its owner
    quiet: list[tuple[Room, Person]] = field(default_factory=list)  # with the one who comes and goes
    ghosts: Ghosts = field(default_factory=Ghosts)
    failures: list[str] = field(default_factory=list)  # what happened that may not
    acknowledged: int = 0
    saying: int = 0
    over: bool = False
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _later: set[asyncio.Task[None]] = field(default_factory=set)  # what ends by itself long after the talk

    @classmethod
    async def gather(cls, apis: Sequence[Api], ghost_apis: Sequence[Api], *, clients: int, rooms: int) -> "Crowd":
        """Register people, put them into rooms, and let them listen."""
        gate = asyncio.Semaphore(REGISTERING)

        async def register(number: int) -> Person:
            async with gate:
                return await apis[number % len(apis)].register()

        owner, *people = await asyncio.gather(*(register(number) for number in range(clients + 1)))
        crowd = cls(apis, ghost_apis, History(), owner)
        groups = [people[number::rooms] for number in range(rooms)]
        groups[0] = groups[0] + [person for group in groups[1:] for person in group[: round(len(group) * HOT_SHARE)]]
        for person in people[:QUIET_ROOMS]:
            crowd.quiet.append((await Room.open(apis, crowd.history, owner, person), person))
        for group in groups:
            room = await Room.open(apis, crowd.history, owner, *group[:100])
            room.pace_seconds = COMING_AND_GOING_SECONDS
            crowd.rooms.append(room)
            crowd.members.append(group[:100])
            for number, person in enumerate(group[:100]):
                room.listen(person, restless=not number % ROAMING)
        return crowd

    @property
    def all_rooms(self) -> list[Room]:
        return [*self.rooms, *(room for room, _ in self.quiet)]

    @property
    def listeners(self) -> list[Listener]:
        return [listener for room in self.all_rooms for listener in room.listeners]

    async def talk(self, *, rate: float, seconds: float) -> None:
        """Say so many messages a second, for so long, as far as answers come; and do what people do beside."""
        for room, members in zip(self.rooms, self.members, strict=True):
            self._spawn(room.come_and_go(self.owner, members[-1], lambda: self.over))
        for room, person in self.quiet:
            self._spawn(self._come_anew(room, person))
        deadline, following = time.monotonic() + seconds, time.monotonic()
        while time.monotonic() < deadline:
            following = max(following + 1 / rate, time.monotonic() - 1.0)
            await asyncio.sleep(max(0.0, following - time.monotonic()))
            if self.saying < WAITING:
                index = 0 if random.random() < HOT_SHARE else random.randrange(len(self.rooms))
                self._spawn(self._say(self.rooms[index], random.choice(self.members[index])))
        self.over = True
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def finish(self) -> None:
        """Wait for what takes longer than the talk."""
        while self._later:
            await asyncio.wait(self._later)

    async def _say(self, room: Room, person: Person) -> None:
        self.saying += 1
        try:
            said = await room.say(person, f"{person.handle} says {self.acknowledged}")
        finally:
            self.saying -= 1
        if said is not None:
            self.acknowledged += 1
            await self._go_on(room, person, said)

    async def _go_on(self, room: Room, person: Person, said: SendAcked) -> None:
        if random.random() < EDITED:
            await room.edit(person, said, f"{person.handle} corrects {said.sequence}")
        if random.random() < READ_AGAIN:
            await self._read(room, person)
        if random.random() < MARKED:
            await room.ask(
                person, MARK_READ, {"input": {"conversationId": room.conversation, "upToSequence": said.sequence}}
            )
        if random.random() < TYPED:
            await room.ask(person, TYPING, {"input": {"conversationId": room.conversation, "typing": True}})

    async def _come_anew(self, room: Room, person: Person) -> None:
        """Come to where nobody else is, and be spoken to at once, from another process: again and again."""
        while not self.over:
            listener = room.listen(person)
            deadline = time.monotonic() + SPOKEN_TO_SECONDS
            while not listener.is_caught_up and time.monotonic() < deadline:  # noqa: ASYNC110  # at once, or never
                await asyncio.sleep(0.005)
            said = await room.say(self.owner, "welcome")
            newest = 0 if said is None else said.sequence
            while listener.sequence < newest and time.monotonic() < deadline:  # noqa: ASYNC110  # likewise
                await asyncio.sleep(0.01)
            await listener.leave()
            room.listeners.remove(listener)
            await asyncio.sleep(random.uniform(0.0, NEWCOMER_PAUSE_SECONDS))

    async def _read(self, room: Room, person: Person) -> None:
        invoked_at, api = time.monotonic_ns(), random.choice(self.apis)
        at_one = Room((api,), self.history, room.conversation, room.cursor)
        response = await at_one.ask(person, MESSAGES, {"id": room.conversation})
        found = (response.get("data") or {}).get("conversation")
        if found is None:
            return  # it is away, or the reader was removed
        messages = [edge["node"] for edge in found["messages"]["edges"]]
        # Whatever was said by it; what it says now depends on edits.
        entries = tuple(
            Entry(sequence=message["sequence"], kind="MessageSent", client_message_id=message["clientMessageId"])
            for message in messages
        )
        self.history.add(
            Read(
                invoked_at=invoked_at,
                client=person.handle,
                user=person.id,
                instance=api.url,
                conversation=room.conversation,
                after=entries[0].sequence - 1 if entries else 0,
                entries=entries,
            )
        )

    # ------------------------------------------------------------ half-open connections

    async def haunt(self, index: int, swallow: Coroutine[Any, Any, list[float | None]]) -> None:
        """Connect some people to one process, lose them without a word, and see how long they are taken for there."""
        api, ready = self.ghost_apis[index], asyncio.Event()
        people: list[Person] = []

        async def disappear() -> None:
            async with AsyncExitStack() as stack:
                try:
                    async with asyncio.timeout(10.0):
                        for _ in range(GHOSTS):
                            person = (await random.choice(self.apis).register()).at(api)
                            await stack.enter_async_context(person.socket())
                            people.append(person)
                except (OSError, TimeoutError, WebSocketException, AssertionError, KeyError, TypeError):
                    swallow.close()
                    return  # another fault was in the way
                finally:
                    ready.set()
                started = time.monotonic()
                freed = asyncio.create_task(swallow)
                offline = await asyncio.gather(*(self._until_offline(person, started) for person in people))
                self.ghosts.offline += offline
                self.ghosts.freed += await freed

        task = asyncio.create_task(disappear())
        self._later.add(task)
        task.add_done_callback(self._ended(self._later))
        await ready.wait()

    async def _until_offline(self, person: Person, started: float) -> float | None:
        while time.monotonic() < started + GONE_SECONDS:
            shown = await self._presence(random.choice(self.apis), [person.id])
            if shown.get(person.id) == "OFFLINE":
                return time.monotonic() - started
            await asyncio.sleep(0.5)
        return None

    async def _presence(self, api: Api, user_ids: list[str]) -> dict[str, str]:
        try:
            response = await self.owner.at(api).post(PRESENCE, {"ids": user_ids})
            return {shown["userId"]: shown["status"] for shown in response["data"]["presence"]}
        except (OSError, ValueError, KeyError, TypeError, httpx.HTTPError):
            return {}

    # ------------------------------------------------------------ in the end

    async def tell_presence(self, people: Sequence[Person], gone: Sequence[Person], deadline: float) -> None:
        """Note how these are shown everywhere, until that is right or the time is over."""
        wanted = {person.id: {"ONLINE", "AWAY"} for person in people} | {person.id: {"OFFLINE"} for person in gone}
        is_right = False
        while not is_right and time.monotonic() < deadline:
            is_right = True
            for api in self.apis:
                shown = await self._presence(api, list(wanted))
                is_right = is_right and all(shown.get(user) in statuses for user, statuses in wanted.items())
                for user, status in shown.items():
                    self.history.add(PresenceShown(user=user, instance=api.url, status=status))
            await asyncio.sleep(1.0)

    async def tell_unread(self) -> None:
        """Note what some people have not read, as every process counts it."""
        for room, members in zip(self.rooms, self.members, strict=True):
            for person in members[:3]:
                for api in self.apis:
                    response = await person.at(api).post(UNREAD, {"id": room.conversation})
                    found = response["data"]["conversation"]
                    self.history.add(
                        UnreadCounted(
                            user=person.id,
                            instance=api.url,
                            conversation=room.conversation,
                            read=found["viewerMembership"]["readSequence"],
                            count=found["viewerUnreadCount"],
                            most=MOST_UNREAD,
                        )
                    )

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended(self._tasks))
        return task

    def _ended(self, tasks: set[asyncio.Task[None]]) -> Callable[[asyncio.Task[None]], None]:
        def ended(task: asyncio.Task[None]) -> None:
            tasks.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                self.failures.append(f"{type(error).__name__}: {error}"[:500])

        return ended
