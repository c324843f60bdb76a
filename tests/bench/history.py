"""Measures reading far back: `parley bench history [--messages 1000 --messages 100000] [--asks 200]`.

One Parley of one API process holds a short and a long conversation, of whose messages many were edited, deleted or
reacted to. One client asks one thing at a time, over HTTP, and compares every answer with what was put in. Beside each
time stands what the store alone takes, over the wire in the same run, to read what the answer shows or counts.
"""

import asyncio
import random
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from services.clock import now
from services.entries import entry_id
from services.mongo import Collection, Database, parsed
from services.receipts import receipts_of
from services.state import Member, member_id
from tests import history
from tests.bench import machine, results
from tests.bench.servers import TOKEN_SECONDS
from tests.clients import Api, Json, Person
from tests.history import History, Said
from tests.stack_process import StackProcess, running_stack

LENGTHS = (1_000, 100_000)
PAGE = 50
CROWD = 1_000  # changes of one message in a row
WARM_UP = 20  # of the asks, at most
SLOW = 10  # replays are asked for so many times fewer
UNREAD = (50_000, 1_000, 500, 0)  # the first is counted when nothing of it is in memory
MOST_UNREAD = 1_000  # the API counts no further
REPLAYED = (1_000, 4_000)  # entries
STORE_PAGE = 200  # entries in one of the store's reads for those that take many

_WINDOW = "$first: Int, $after: String, $last: Int, $before: String"
_ARGUMENTS = "first: $first, after: $after, last: $last, before: $before"
_INFO = "pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"
_MESSAGE = "id sequence body version createdAt editedAt deletedAt sender { id handle } reactions { emoji count }"


def _pages(fields: str) -> str:
    return f"""query ($id: ID!, {_WINDOW}) {{ conversation(id: $id) {{
        messages({_ARGUMENTS}) {{ nodes {{ {fields} }} {_INFO} }} }} }}"""


_PAGE, _BARE_PAGE = _pages(_MESSAGE), _pages("sequence body")
_AROUND = f"""query ($id: ID!, $place: String!) {{ conversation(id: $id) {{
    older: messages(last: {PAGE // 2}, before: $place) {{ nodes {{ {_MESSAGE} }} {_INFO} }}
    newer: messages(first: {PAGE // 2}, after: $place) {{ nodes {{ {_MESSAGE} }} {_INFO} }} }} }}"""
_LAST = f"query ($id: ID!) {{ conversation(id: $id) {{ lastMessage {{ {_MESSAGE} }} }} }}"
_UNREAD = "query ($id: ID!) { conversation(id: $id) { viewerUnreadCount } }"
_PINNED = f"query ($id: ID!) {{ conversation(id: $id) {{ pinnedMessages {{ {_MESSAGE} }} }} }}"
_NODE = f"query ($id: ID!) {{ node(id: $id) {{ ... on Message {{ {_MESSAGE} }} }} }}"
_RECEIPTS = """query ($id: ID!) { node(id: $id) { ... on Message {
    sequence status receipts { nodes { user { id } status } } } } }"""
_UPDATES = """subscription ($id: ID!, $after: String) { conversationUpdates(conversationId: $id, after: $after) {
    __typename
    ... on ConversationEvent { sequence }
    ... on MessageSent { message { body } }
    ... on CaughtUp { sequence } } }"""


@dataclass(frozen=True, slots=True)
class Figure:
    """What one thing that is asked for took, in one conversation."""

    what: str
    messages: int
    first_ms: float  # when it was asked for the first time
    p50_ms: float
    p99_ms: float
    store_p50_ms: float
    store_p99_ms: float
    api_cpu_ms: float  # the API process's time on a core, usually
    mongo_cpu_ms: float
    asked: int
    wrong: int


class _RefusedError(Exception):
    """There was no answer, after so many seconds."""

    def __init__(self, seconds: float, errors: Json) -> None:
        super().__init__(errors)
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class _Ask:
    """One thing to ask for; each time it says how long the answer took, and whether it was right."""

    what: str
    ask: Callable[[], Awaitable[tuple[float, bool]]]
    store: Callable[[], Awaitable[object]]
    times_fewer: int = 1


def main(messages: Sequence[int], asks: int) -> bool:
    """Measure and print the figures; return whether every answer was right."""
    figures = measure(messages, asks)
    print(table(figures))
    results.keep("history", {"asks": asks, "figures": [asdict(figure) for figure in figures]})
    return not any(figure.wrong for figure in figures)


def measure(messages: Sequence[int], asks: int) -> list[Figure]:
    """Run a Parley and ask."""
    environment = {"PARLEY_ACCESS_TOKEN_SECONDS": str(TOKEN_SECONDS)}
    with (
        machine.shared() as core,
        tempfile.TemporaryDirectory(prefix="parley-bench-") as directory,
        running_stack(Path(directory), replicas=1, environment=environment) as stack,
    ):
        if core is not None:
            machine.move(stack.run()["api"][0]["pid"], core)
        return asyncio.run(_measure(stack, messages, asks))


async def _measure(stack: StackProcess, messages: Sequence[int], asks: int) -> list[Figure]:
    database = history.database_of(stack)
    try:
        async with Api(stack.urls[0]) as api:
            owner, late, *others = [await api.register() for _ in range(2 + len(UNREAD))]
            user_ids = [person.id for person in (owner, *others)]
            of_each: dict[str, list[_Samples]] = {}  # by what is asked for
            for count in messages:
                made = await history.make(database, user_ids, late_id=late.id, messages=count, crowd=CROWD)
                print(f"{count:,} messages are in a log of {made.head:,} entries", flush=True)
                reading = _Reading(made, owner, others, database)
                await reading.mark()
                for ask in reading.asks():
                    of_each.setdefault(ask.what, []).append(_Samples(ask, count))
            await asyncio.to_thread(machine.wait_until_idle)
            run = stack.run()
            for samples in of_each.values():
                await _take(samples, asks, (run["api"][0]["pid"], run["mongo"]["pid"]))
            return [one.figure() for samples in of_each.values() for one in samples]
    finally:
        database.close()


async def _take(samples: Sequence["_Samples"], asks: int, pids: tuple[int, int]) -> None:
    """Ask for the same thing in all conversations, in turns: whatever else the machine does slows all of them."""
    asks = max(asks // samples[0].ask.times_fewer, 2)
    for number in range(-min(WARM_UP, asks), asks):
        for one in samples:
            await one.take(pids, is_warm=number >= 0)
    for one in samples:
        print(f"{one.messages:,} messages, {one.ask.what}: {one.figure().p50_ms} ms", flush=True)


@dataclass(slots=True)
class _Samples:
    """What one thing took in one conversation, each time."""

    ask: _Ask
    messages: int
    first_seconds: float | None = None  # None until it was asked
    seconds: list[float] = field(default_factory=list)
    store_seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[tuple[float, float]] = field(default_factory=list)  # of the API process and MongoDB
    asked: int = 0
    wrong: int = 0

    async def take(self, pids: tuple[int, int], *, is_warm: bool) -> None:
        """Ask once, and read once; what was not warm counts only as right or wrong."""
        api_cpu, mongo_cpu = map(machine.cpu_seconds, pids)
        try:
            seconds, right = await self.ask.ask()
        except _RefusedError as refused:
            seconds, right = refused.seconds, False
            print(f"{self.messages:,} messages, {self.ask.what}: {refused}", flush=True)
        self.asked += 1
        self.wrong += not right
        if self.first_seconds is None:
            self.first_seconds = seconds
        if not is_warm:
            return
        self.seconds.append(seconds)
        self.cpu_seconds.append((machine.cpu_seconds(pids[0]) - api_cpu, machine.cpu_seconds(pids[1]) - mongo_cpu))
        started = time.perf_counter()
        await self.ask.store()
        self.store_seconds.append(time.perf_counter() - started)

    def figure(self) -> Figure:
        """Return what it comes to."""
        assert self.first_seconds is not None
        return Figure(
            what=self.ask.what,
            messages=self.messages,
            first_ms=round(self.first_seconds * 1_000, 2),
            p50_ms=_ms(self.seconds, 50),
            p99_ms=_ms(self.seconds, 99),
            store_p50_ms=_ms(self.store_seconds, 50),
            store_p99_ms=_ms(self.store_seconds, 99),
            api_cpu_ms=_ms([api for api, _ in self.cpu_seconds], 50),
            mongo_cpu_ms=_ms([mongo for _, mongo in self.cpu_seconds], 50),
            asked=self.asked,
            wrong=self.wrong,
        )


def _ms(seconds: Sequence[float], percent: int) -> float:
    return round(sorted(seconds)[len(seconds) * percent // 100] * 1_000, 2)


class _Reading:
    """What is asked about one conversation, and what the answers must be."""

    def __init__(self, made: History, owner: Person, others: Sequence[Person], database: Database) -> None:
        self._made = made
        self._owner = owner
        self._others = others
        self._entries: Collection = database["entries"]
        self._members: Collection = database["members"]
        self._receipts: Collection = database["receipts"]
        self._messages = made.visible(owner.id)
        self._random = random.Random(len(self._messages))
        # Whoever has nothing, or so much, to read; as far as the conversation has so much.
        self._readers = {
            unread: person
            for unread, person in zip(UNREAD, others, strict=True)
            if unread <= made.unread_after(person.id, 0)
        }
        self._unread_between = {
            unread: (
                made.place_before(person.id, unread),
                made.place_before(person.id, max(unread - MOST_UNREAD, 0)),
            )
            for unread, person in self._readers.items()
        }

    async def mark(self) -> None:
        """Store that everybody has read up to where just so many messages are left."""
        for unread, person in self._readers.items():
            place, _ = self._unread_between[unread]
            id_ = member_id(self._made.conversation_id, person.id)
            member = parsed(Member, await self._members.find_one({"_id": id_}))
            assert member is not None
            read = receipts_of(member, None).moved_to(place, read=True, at=now())
            await self._receipts.insert_one({"_id": id_, **read.to_document()})

    def asks(self) -> list[_Ask]:
        """Return all that is asked."""
        count, crowd = len(self._messages), self._index(self._made.crowd)
        return [
            _Ask("the last page", lambda: self._page(count, back=True), lambda: self._store_page(count, back=True)),
            _Ask(
                "the last page, sequence and body only",
                lambda: self._page(count, back=True, query=_BARE_PAGE),
                lambda: self._store_page(count, back=True),
            ),
            _Ask(
                "a page backward from anywhere",
                lambda: self._page(self._anywhere(), back=True),
                lambda: self._store_page(self._anywhere(), back=True),
            ),
            _Ask("a page forward from anywhere", lambda: self._page(self._anywhere()), self._store_page_anywhere),
            _Ask("the first page", lambda: self._page(0), lambda: self._store_page(0)),
            _Ask("25 on both sides of anywhere", self._around, self._store_page_anywhere),
            _Ask(
                f"a page across {CROWD:,} changes in a row",
                lambda: self._page(crowd - PAGE // 2),
                self._store_page_anywhere,
            ),
            _Ask("the last message", self._last, lambda: self._store_read(self._made.head, 1, back=True)),
            _Ask("a message by its id", self._node, self._store_one),
            _Ask("status and receipts of a message", self._receipts_of, self._store_receipts),
            _Ask("the pinned messages", self._pinned, self._store_pinned),
            *(
                _Ask(
                    f"the unread count, of {unread:,}",
                    lambda unread=unread: self._unread(unread),  # type: ignore[misc]  # a lambda's default has no type
                    lambda unread=unread: self._store_unread(unread),  # type: ignore[misc]  # likewise
                )
                for unread in self._readers
            ),
            *(
                _Ask(
                    f"a replay of {entries:,} entries",
                    lambda entries=entries: self._replay(entries),  # type: ignore[misc]  # likewise
                    lambda entries=entries: self._store_run(entries),  # type: ignore[misc]  # likewise
                    times_fewer=SLOW,
                )
                for entries in REPLAYED
                if entries < self._made.head
            ),
        ]

    # ------------------------------------------------------------ over the API

    async def _page(self, place: int, *, back: bool = False, query: str = _PAGE) -> tuple[float, bool]:
        """Ask for the page after, or before, the message with this number, with a cursor unless it is at an end."""
        variables: Json = {"last" if back else "first": PAGE}
        if back and place < len(self._messages):
            variables["before"] = self._made.cursor(self._messages[place].sequence)
        elif not back and place > 0:
            variables["after"] = self._made.cursor(self._messages[place - 1].sequence)
        low, high = (max(place - PAGE, 0), place) if back else (place, min(place + PAGE, len(self._messages)))
        seconds, conversation = await self._asked(query, variables)
        return seconds, self._is_right(conversation["messages"], low, high)

    async def _around(self) -> tuple[float, bool]:
        place, half = self._anywhere(), PAGE // 2
        seconds, found = await self._asked(_AROUND, {"place": self._made.cursor(self._messages[place].sequence)})
        return seconds, (
            self._is_right(found["older"], place - half, place)
            and self._is_right(found["newer"], place + 1, place + 1 + half)
        )

    async def _last(self) -> tuple[float, bool]:
        seconds, found = await self._asked(_LAST)
        return seconds, _shows(found["lastMessage"], self._messages[-1])

    async def _node(self) -> tuple[float, bool]:
        said = self._messages[self._anywhere()]
        seconds, data = await self._posted(self._owner, _NODE, {"id": self._made.message_id(said.sequence)})
        return seconds, _shows(data["node"], said)

    async def _receipts_of(self) -> tuple[float, bool]:
        said = self._messages[self._anywhere()]
        seconds, data = await self._posted(self._owner, _RECEIPTS, {"id": self._made.message_id(said.sequence)})
        shown = {receipt["user"]["id"] for receipt in data["node"]["receipts"]["nodes"]}
        before = {user_id for user_id, sequence in self._made.joined.items() if sequence < said.sequence}
        return seconds, shown == before - {said.sender_id} and data["node"]["sequence"] == said.sequence

    async def _pinned(self) -> tuple[float, bool]:
        seconds, found = await self._asked(_PINNED)
        expected = [self._messages[self._index(sequence)] for sequence in self._made.pinned]
        return seconds, _all_shown(found["pinnedMessages"], expected)

    async def _unread(self, unread: int) -> tuple[float, bool]:
        seconds, found = await self._asked(_UNREAD, person=self._readers[unread])
        return seconds, found["viewerUnreadCount"] == min(unread, MOST_UNREAD)

    async def _replay(self, entries: int) -> tuple[float, bool]:
        """Subscribe from a cursor so far back, until the server says that this is all."""
        after = self._made.head - entries
        said = {said.sequence: said for said in self._messages if said.sequence > after}
        sequences, right = [], True
        async with self._owner.socket() as socket:
            started = time.perf_counter()
            variables = {"id": self._made.conversation_id, "after": self._made.cursor(after)}
            running = await socket.start(_UPDATES, variables)
            while (update := await running.update())["__typename"] != "CaughtUp":
                sequences.append(update["sequence"])
                if update["__typename"] == "MessageSent":
                    # An event has the words of its entry, which an edit does not change.
                    message = said[update["sequence"]]
                    right &= message.first_body == update["message"]["body"]
            seconds = time.perf_counter() - started
        return seconds, right and sequences == list(range(after + 1, self._made.head + 1))

    async def _asked(
        self, query: str, variables: Json | None = None, *, person: Person | None = None
    ) -> tuple[float, Json]:
        variables = {"id": self._made.conversation_id, **(variables or {})}
        seconds, data = await self._posted(person or self._owner, query, variables)
        conversation: Json = data["conversation"]
        return seconds, conversation

    async def _posted(self, person: Person, query: str, variables: Json) -> tuple[float, Json]:
        started = time.perf_counter()
        response = await person.post(query, variables)
        seconds = time.perf_counter() - started
        if "errors" in response:
            raise _RefusedError(seconds, response["errors"])
        data: Json = response["data"]
        return seconds, data

    def _is_right(self, connection: Json, low: int, high: int) -> bool:
        """Whether a connection has just the messages from one number up to another, and knows what is around them."""
        info = connection["pageInfo"]
        return (
            _all_shown(connection["nodes"], self._messages[low:high])
            and info["hasPreviousPage"] is (low > 0)
            and info["hasNextPage"] is (high < len(self._messages))
            and info["startCursor"] == self._made.cursor(self._messages[low].sequence)
            and info["endCursor"] == self._made.cursor(self._messages[high - 1].sequence)
        )

    def _anywhere(self) -> int:
        """Return the number of some message that has a page on both sides."""
        return self._random.randrange(PAGE, len(self._messages) - PAGE)

    def _index(self, sequence: int) -> int:
        return next(index for index, said in enumerate(self._messages) if said.sequence == sequence)

    # ------------------------------------------------------------ from the store

    async def _store_read(self, place: int, limit: int, *, back: bool = False) -> Sequence[object]:
        """Read entries above a place, or the last ones up to it."""
        low, high = (0, place) if back else (place, self._made.head)
        span = {
            "$gt": entry_id(self._made.conversation_id, low),
            "$lte": entry_id(self._made.conversation_id, high),
        }
        return await self._entries.find({"_id": span}, limit=limit, descending=back)

    async def _store_page(self, place: int, *, back: bool = False) -> Sequence[object]:
        sequence = self._messages[min(place, len(self._messages) - 1)].sequence
        return await self._store_read(sequence, PAGE, back=back)

    async def _store_page_anywhere(self) -> Sequence[object]:
        return await self._store_page(self._anywhere())

    async def _store_one(self) -> object:
        sequence = self._messages[self._anywhere()].sequence
        return await self._entries.find_one({"_id": entry_id(self._made.conversation_id, sequence)})

    async def _store_receipts(self) -> object:
        user_ids = self._made.joined
        found = [member_id(self._made.conversation_id, user_id) for user_id in user_ids]
        return await self._members.find_many(found), await self._receipts.find_many(found)

    async def _store_pinned(self) -> object:
        wanted = [entry_id(self._made.conversation_id, sequence) for sequence in self._made.pinned]
        return await self._entries.find_many(wanted)

    async def _store_unread(self, unread: int) -> None:
        """Read the marker, and all entries up to the last one that is counted."""
        await self._receipts.find_one({"_id": member_id(self._made.conversation_id, self._readers[unread].id)})
        after, upto = self._unread_between[unread]
        await self._store_run(upto - after, after=after)

    async def _store_run(self, entries: int, *, after: int | None = None) -> None:
        """Read so many entries in a row, the last ones unless it says after which."""
        place = self._made.head - entries if after is None else after
        for done in range(0, entries, STORE_PAGE):
            await self._store_read(place + done, min(STORE_PAGE, entries - done))


def _shows(node: dict[str, Any], said: Said) -> bool:
    """Whether what was answered of a message agrees with what was said, as far as it was asked for."""
    shown = said.shown
    return (
        all(node[name] == value for name, value in shown.items() if name in node and name != "sender")
        and node.get("sender", shown["sender"])["id"] == said.sender_id
    )


def _all_shown(nodes: Sequence[dict[str, Any]], expected: Sequence[Said]) -> bool:
    return len(nodes) == len(expected) and all(map(_shows, nodes, expected))


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as a table: the conversations beside each other, the store beside the longest."""
    lengths = sorted({figure.messages for figure in figures})
    found = {(figure.what, figure.messages): figure for figure in figures}
    longest = lengths[-1]

    def row(what: str) -> list[str]:
        of_each = [found.get((what, length)) for length in lengths]
        short, long = of_each[0], found[what, longest]
        return [
            what,
            *("-" if one is None else f"{one.p50_ms:,.1f} / {one.p99_ms:,.1f}" for one in of_each),
            "-" if short is None else f"{long.p50_ms / short.p50_ms:.2f}",
            f"{long.first_ms:,.1f}",
            f"{long.api_cpu_ms:.1f} / {long.mongo_cpu_ms:.1f}",
            f"{long.store_p50_ms:,.1f} / {long.store_p99_ms:,.1f}",
            f"{long.p50_ms / long.store_p50_ms:.1f}",
            f"{sum(one.wrong for one in of_each if one is not None)}",
        ]

    whats = [figure.what for figure in figures if figure.messages == longest]
    head = (
        "p50 / p99 ms",
        *(f"{length:,} messages" for length in lengths),
        "ratio",
        "the first time",
        "CPU ms: API / MongoDB",
        "the store alone",
        "ratio",
        "wrong",
    )
    return results.table(head, map(row, whats))
