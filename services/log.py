"""The log of each conversation as this process sees it; `services/append.py` is the one way to write to it.

What a process has seen of a log (`State` and the newest entries) only ever grows by committed entries, in order: from
its own inserts, from other processes' messages, from Redis and from MongoDB.
"""

import asyncio
import math
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any, Self

import stamina
import structlog
from pymongo.errors import PyMongoError

from services.append import ATTEMPT_SECONDS, Appender, Audience, Decide, Outbox, ReadBehindError
from services.cache import Grant
from services.entries import Entry, MessageChange, MessageDeleted, MessageEdited, MessageSent
from services.entry_store import EntryStore
from services.gathering import Gathering
from services.log_cache import Head, LogCache, News, Tail
from services.mongo import Database
from services.state import Member, Projections, State
from services.tasks import Tasks, gather_some
from services.telling import Telling

PAGE = 200  # entries in one read while catching up
NEWEST = 512  # entries of each log kept in memory
TAIL = 128  # of them that are read at once, for whoever wants the newest messages
KEEP_SECONDS = 60.0  # how long a log that nobody uses stays in memory
KEPT = 5_000  # how many of these at most
AGAIN_SECONDS = 0.01  # the first wait for a majority that is behind
REORDER_SECONDS = 0.02  # what two processes' messages may overtake each other by before the hole is read

_logger = structlog.get_logger()


class Log:
    """One conversation's log in this process."""

    def __init__(self, conversation_id: str, logs: "Logs", tail: Tail, *, told: int = 0, settled: int = 0) -> None:
        """Begin with the end of a log; up to where everybody was told, and the documents are known to be right."""
        self.conversation_id = conversation_id
        self.state = tail.state
        # Called after entries were seen, with how often each was given; they must not raise or wait.
        self.watchers: Counter[Callable[[], None]] = Counter()
        self.users = 0  # how many hold this log; the last one's leaving lets it be dropped
        self.idle_since = 0.0
        self._logs = logs
        self._settled = settled  # up to which control entry the documents are known to be right
        self.telling = Telling(self, logs.cache, logs.tasks, told=told)
        self._appender = Appender(self, logs)
        self._newest: deque[Entry] = deque(maxlen=NEWEST)
        self._early: dict[int, Entry] = {}  # entries that overtook others
        self._reading = asyncio.Lock()
        self._next_read: asyncio.Task[None] | None = None  # asked for, not begun
        self._read_at = -math.inf  # when the newest read began that was finished, by the event loop's clock
        self._next_refresh: asyncio.Task[None] | None = None  # asked for, not begun
        self._filling: asyncio.Task[None] | None = None
        self._members = Gathering(self._read_members, logs.spawn)
        for entry in tail.entries:
            self._remember(entry)

    @property
    def sequence(self) -> int:
        """The newest sequence that this process has seen committed."""
        return self.state.sequence

    @property
    def busy(self) -> bool:
        """Whether appends are waiting for their place."""
        return self._appender.busy

    # ------------------------------------------------------------ reading

    def see(self, entries: Iterable[Entry]) -> None:
        """Take committed entries in any order: what continues the log is seen, what is old dropped, the rest kept."""
        before = self.sequence
        for entry in entries:
            if entry.sequence == self.sequence + 1:
                self._advance(entry)
            elif entry.sequence > self.sequence and len(self._early) < NEWEST:
                self._early[entry.sequence] = entry
        while self.sequence + 1 in self._early:
            self._advance(self._early.pop(self.sequence + 1))
        for sequence in [known for known in self._early if known <= self.sequence]:
            del self._early[sequence]
        if self._early and self._filling is None:
            self._filling = self._logs.spawn(self._fill_hole())
        if self.sequence > before:
            for watcher in tuple(self.watchers):
                watcher()

    async def catch_up(self, asked_at: float | None = None) -> None:
        """Read what was committed up to now, or up to `asked_at`; one read serves all who ask before it begins.

        Raises:
            PyMongoError: MongoDB did not answer.
        """
        if asked_at is not None and asked_at <= self._read_at:
            return
        if self._next_read is None:
            self._next_read = self._logs.spawn(self._read_on())
        await asyncio.shield(self._next_read)

    async def _read_on(self) -> None:
        async with self._reading:
            self._next_read = None  # whoever asks from here on may have seen more than this read will
            began = asyncio.get_running_loop().time()
            while True:
                asked = self.sequence
                entries = await self._logs.entries.read(self.conversation_id, after=asked, limit=PAGE)
                self.see(entries)
                if len(entries) < PAGE:
                    self._read_at = began
                    return

    async def read_to(self, sequence: int) -> None:
        """Read on until a committed entry is seen; a majority read may be behind for a moment.

        A document that is read may be ahead of what this process has seen. What is decided, and refused, has to rest on
        one prefix of the log, so that entry is seen before the document is looked at.

        Raises:
            PyMongoError: MongoDB did not answer, or does not show the entry.
        """
        if sequence <= self.sequence:
            return
        async for attempt in stamina.retry_context(
            on=PyMongoError, attempts=None, timeout=ATTEMPT_SECONDS, wait_initial=AGAIN_SECONDS, wait_max=1.0
        ):
            with attempt:
                await self.catch_up()
                if self.sequence < sequence:
                    raise ReadBehindError(f"{self.conversation_id}: {sequence} is taken, {self.sequence} seen")

    async def refresh(self) -> None:
        """See at least what anybody was told before this was asked for; from Redis where it can.

        Raises:
            PyMongoError: MongoDB had to be asked, and did not answer.
        """
        if self._next_refresh is None:
            self._next_refresh = self._logs.spawn(self._refresh())
        await asyncio.shield(self._next_refresh)

    async def _refresh(self) -> None:
        await asyncio.sleep(0)  # whoever asks in this turn of the event loop is served as well
        self._next_refresh = None
        news = await self._logs.cache.news(self.conversation_id, self.sequence)
        self._logs.cache.counted("logs", hit=isinstance(news, News))
        if isinstance(news, News):
            self.see(news.entries)
            self.telling.known(news.last)
            return
        await self.catch_up()
        if news is not None:
            self._logs.spawn(self.share(news))

    async def share(self, grant: Grant) -> None:
        """Have the end of the log remembered, by all processes."""
        try:
            await self.tail()
            said_at = await self.said_at()
        except PyMongoError:
            return  # another reader will do it
        if self._newest:
            tail = Tail(self.state, list(self._newest)[-TAIL:])
            self._logs.cache.put(self.conversation_id, grant, tail, said_at)

    async def tail(self) -> None:
        """Have the newest entries in memory, as many as a page of messages usually takes.

        Raises:
            PyMongoError: MongoDB did not answer.
        """
        after = max(0, self.sequence - TAIL)
        if not self._has_in_memory(after):
            await self._read_back(after)

    def remembered(self, after: int) -> list[Entry] | None:
        """Return all entries above `after` that this process has seen, None where memory does not reach so far."""
        if after >= self.sequence:
            return []
        if not self._has_in_memory(after):
            return None
        return list(islice(self._newest, after + 1 - self._newest[0].sequence, None))

    @property
    def remembered_after(self) -> int:
        """The sequence above which all entries are in memory."""
        return self._newest[0].sequence - 1 if self._newest else self.sequence

    async def entries(self, after: int, limit: int) -> list[Entry]:
        """Return up to `limit` entries above `after` that this process has seen, from memory where it can.

        Raises:
            PyMongoError: MongoDB did not answer, or, after a failover, does not know them all yet.
        """
        upto = min(self.sequence, after + limit)
        if upto <= after:
            return []
        if not self._has_in_memory(after) and self.sequence - after <= NEWEST:
            await self._read_back(after)
        if self._has_in_memory(after):
            first = after + 1 - self._newest[0].sequence
            return list(islice(self._newest, first, first + upto - after))
        return await self._read_between(after, upto)

    def _has_in_memory(self, after: int) -> bool:
        return bool(self._newest) and self._newest[0].sequence <= after + 1

    async def _read_back(self, after: int) -> None:
        """Take into memory what is missing there above `after`: many come back from an absence at the same time."""
        oldest = self._newest[0].sequence if self._newest else self.sequence + 1
        control = self.state.control
        entries = await self._read_between(after, oldest - 1)
        if self.state.control > control:
            return  # a message among them may have changed after it was read, and in memory it would stay as it was
        for entry in reversed(entries):
            # Others may have done so meanwhile, or newer entries have taken the room.
            oldest = self._newest[0].sequence if self._newest else self.sequence + 1
            if entry.sequence == oldest - 1 and len(self._newest) < NEWEST:
                self._newest.appendleft(entry)

    async def _read_between(self, after: int, upto: int) -> list[Entry]:
        control = self.state.control
        await self.settle()
        entries = await self._logs.read_shared(self.conversation_id, after, upto, control)
        if len(entries) < upto - after:
            raise ReadBehindError(f"{self.conversation_id}: {len(entries)} of {upto - after} entries read")
        return entries

    async def said_at(self) -> datetime | None:
        """Return when the newest message was sent that this process has seen, None where there is none.

        Raises:
            PyMongoError: MongoDB had to be asked, and did not answer.
        """
        newest = next((entry for entry in reversed(self._newest) if isinstance(entry, MessageSent)), None)
        if newest is None and self.remembered_after > 0:
            newest = await self._logs.entries.newest_message(self.conversation_id, after=0)
        return None if newest is None else newest.at

    async def load_members(self, user_ids: Iterable[str]) -> None:
        """Make the memberships of these users known to `state`."""
        await self._members.get(user_id for user_id in user_ids if user_id not in self.state.members)

    async def _read_members(self, missing: list[str]) -> dict[str, Member | None]:
        control = self.state.control
        known = await self._logs.cache.members(self.conversation_id, missing, control=control)
        self._logs.cache.counted("members", hit=len(known) == len(missing))
        if len(known) < len(missing):
            await self.settle()
            read, applied = await self._logs.projections.members(
                self.conversation_id, [user_id for user_id in missing if user_id not in known]
            )
            if applied <= control:
                self._logs.cache.put_members(self.conversation_id, read, control=control)
            await self.read_to(applied)
            known |= read
        self.state = self.state.with_members(known)
        return known

    async def member(self, user_id: str) -> Member | None:
        """Return a user's active membership as of what this process has seen; None for whoever is not in."""
        await self.load_members([user_id])
        return self.state.members[user_id]

    def documented(self, control: int) -> None:
        """Take note that the documents show everything up to a control entry."""
        self._settled = max(self._settled, control)

    async def settle(self) -> None:
        """See to it that the documents show everything that this process has seen.

        Raises:
            PyMongoError: MongoDB did not answer.
        """
        control = self.state.control
        if self._settled < control:
            await self._logs.projections.settle(self.conversation_id, control)
            self.documented(control)

    async def messages(self, sequences: Iterable[int]) -> dict[int, MessageSent]:
        """Return those of these places that are messages, each with just the changes that this process has seen.

        Raises:
            PyMongoError: MongoDB did not answer.
        """
        wanted = set(sequences)
        while True:
            control = self.state.control
            found = {sequence: self._newest[index] for sequence in wanted if (index := self._index(sequence)) >= 0}
            missing = [sequence for sequence in wanted - found.keys() if 0 < sequence <= self.sequence]
            read: dict[int, MessageSent] = {}
            if missing:
                await self.settle()
                read = await self._logs.entries.messages(self.conversation_id, missing)
            messages = read | {sequence: entry for sequence, entry in found.items() if isinstance(entry, MessageSent)}
            await self.read_to(max((message.state.applied for message in messages.values()), default=0))
            if self.state.control == control:  # else one of them may have changed after it was read
                return messages

    async def state_with(self, user_ids: Iterable[str], sequences: Iterable[int]) -> State:
        """Return the state as of now with these memberships and messages in it.

        The messages are not kept in `state`: there is no end to those that somebody may ask for.

        Raises:
            PyMongoError: MongoDB did not answer.
        """
        await self.load_members(user_ids)
        messages = await self.messages(sequences)
        return replace(self.state, messages=messages)

    def _index(self, sequence: int) -> int:
        """Return where an entry stands among the newest, -1 where it does not."""
        if not self._newest or not self._newest[0].sequence <= sequence <= self._newest[-1].sequence:
            return -1
        return sequence - self._newest[0].sequence

    def _advance(self, entry: Entry) -> None:
        self.state = self.state.after(entry)
        if entry.sequence == 1:
            self._logs.keep(self)
        self._remember(entry)
        self._appender.seen(entry)

    def _remember(self, entry: Entry) -> None:
        if isinstance(entry, MessageChange) and (index := self._index(entry.message)) >= 0:
            message = self._newest[index]
            assert isinstance(message, MessageSent)
            self._newest[index] = message = entry.applied_to(message)
            if isinstance(entry, MessageDeleted):
                self._forget_words(message)
        self._newest.append(entry)

    def _forget_words(self, message: MessageSent) -> None:
        """Keep nothing of what a deleted message said later: what is in memory is handed on to Redis."""
        edit = message.state.newest_edit
        while (index := self._index(edit)) >= 0:
            edited = self._newest[index]
            assert isinstance(edited, MessageEdited)  # a message names its newest edit, and each edit the one before it
            self._newest[index] = replace(edited, body=None, mentions=())
            edit = edited.previous_edit

    async def _fill_hole(self) -> None:
        try:
            await asyncio.sleep(REORDER_SECONDS)
            if self._early:
                await self.catch_up()
        except PyMongoError:
            _logger.warning("log.hole_not_read", conversation=self.conversation_id)  # the next comparison reads it
        finally:
            self._filling = None

    # ------------------------------------------------------------ writing

    async def append(
        self, key: str, decide: Decide, *, base: int, concerns: Iterable[str], messages: Iterable[int] = ()
    ) -> Entry:
        """Append an entry; see `Appender.append`."""
        return await self._appender.append(key, decide, base=base, concerns=concerns, messages=messages)


class Logs:
    """The logs that this process uses, each once."""

    def __init__(self, database: Database, outbox: Outbox, cache: LogCache, audiences: Sequence[Audience]) -> None:
        self.entries = EntryStore(database)
        self.projections = Projections(database)
        self.outbox = outbox
        self.cache = cache
        self.audiences = audiences
        self._logs: dict[str, Log] = {}
        self._loading: dict[str, asyncio.Task[Log]] = {}
        self._reads: dict[tuple[str, int, int, int], asyncio.Task[list[Entry]]] = {}
        self.tasks = Tasks()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Own the tasks of all logs; what they are writing is finished before this ends."""
        sweeper = self.tasks.spawn(self._drop_unused())
        try:
            yield self
        finally:
            sweeper.cancel()
            await self.tasks.close(grace_seconds=ATTEMPT_SECONDS)

    def spawn[T](self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run work of a log."""
        return self.tasks.spawn(work)

    def known(self, conversation_id: str) -> Log | None:
        """Return the log if this process has it."""
        return self._logs.get(conversation_id)

    async def hold(self, conversation_id: str) -> Log:
        """Return a conversation's log as `get` does; it stays until it is released."""
        log = await self.get(conversation_id)
        log.users += 1
        return log

    def release(self, log: Log) -> None:
        """Let a log go that was held."""
        log.users -= 1
        log.idle_since = asyncio.get_running_loop().time()

    async def get(self, conversation_id: str) -> Log:
        """Return a conversation's log, reading its state where this process does not have it; sequence 0: unknown.

        Raises:
            PyMongoError: MongoDB did not answer.
        """
        log = self._logs.get(conversation_id)
        if log is None:
            loading = self._loading.get(conversation_id)
            if loading is None:
                loading = self._loading[conversation_id] = self.spawn(self._load(conversation_id))
            log = await asyncio.shield(loading)
        log.idle_since = asyncio.get_running_loop().time()
        return log

    async def warm(self, conversation_ids: Iterable[str]) -> None:
        """Have these logs' newest entries in memory before anybody asks; what cannot be read now is left out."""

        async def warm(conversation_id: str) -> None:
            with suppress(PyMongoError):
                await (await self.get(conversation_id)).tail()

        await gather_some(warm(conversation_id) for conversation_id in conversation_ids)

    async def heads(self, conversation_ids: Iterable[str]) -> dict[str, Head]:
        """Return the heads of conversations as anybody was told of them; from Redis where it can.

        Raises:
            PyMongoError: MongoDB had to be asked, and did not answer.
        """
        wanted = list(conversation_ids)
        found = await self.cache.heads(wanted)
        missing = [key for key in wanted if key not in found]
        for key in wanted:
            self.cache.counted("heads", hit=key in found)

        async def head(conversation_id: str) -> Head:
            log = await self.get(conversation_id)
            await log.refresh()
            conversation = log.state.conversation
            archived = conversation is not None and conversation.archived_at is not None
            return Head(said_at=await log.said_at(), archived=archived)

        read = await gather_some(head(key) for key in missing)
        return found | dict(zip(missing, read, strict=True))

    def keep(self, log: Log) -> None:
        """Keep a log that has come to exist."""
        self._logs.setdefault(log.conversation_id, log)

    async def read_shared(self, conversation_id: str, after: int, upto: int, control: int) -> list[Entry]:
        """Return the entries in (after, upto]; readers who ask for the same at once cost one read.

        A reader who has seen a newer control entry than another asks for something else: messages may have changed.
        """
        asked = (conversation_id, after, upto, control)
        reading = self._reads.get(asked)
        if reading is None:
            reading = self._reads[asked] = self.spawn(
                self.entries.read(conversation_id, after=after, upto=upto, limit=upto - after)
            )
            reading.add_done_callback(lambda _: self._reads.pop(asked))
        return await asyncio.shield(reading)

    async def _load(self, conversation_id: str) -> Log:
        try:
            found = await self.cache.tail(conversation_id)
            self.cache.counted("logs", hit=isinstance(found, Tail))
            if isinstance(found, Tail):
                log = Log(conversation_id, self, found, told=found.state.sequence)
            else:
                state = await self.projections.load(conversation_id)
                log = Log(conversation_id, self, Tail(state, []), settled=state.control)
        finally:
            del self._loading[conversation_id]
        if log.sequence:
            self.keep(log)
            if isinstance(found, Grant):
                self.spawn(log.share(found))
        return log

    async def _drop_unused(self) -> None:
        while True:
            await asyncio.sleep(KEEP_SECONDS / 2)
            oldest = asyncio.get_running_loop().time() - KEEP_SECONDS
            unused = [log for log in self._logs.values() if not log.users and not log.busy]
            unused.sort(key=lambda log: log.idle_since)
            for place, log in enumerate(unused, start=1):
                if log.idle_since < oldest or len(unused) - place >= KEPT:
                    del self._logs[log.conversation_id]
