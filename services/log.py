"""The log of each conversation as this process sees it, and the one way to write to it.

Slot k+1 is inserted only by somebody who saw k committed, and only after every entry above the attempt's base was
compared with its key: so there are no holes, and one key is one entry, whatever dies. `tests/model` checks this
protocol exhaustively. What a process has seen of a log (`State` and the newest entries) only ever grows by committed
entries, in order: from its own inserts, from other processes' messages, and from MongoDB.
"""

import asyncio
import math
import random
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Protocol, Self

import stamina
import structlog
from pymongo.errors import BulkWriteError, PyMongoError

from services.cache import Grant
from services.clock import now
from services.entries import Draft, Entry, MessageChange, MessageSent
from services.entry_store import EntryStore
from services.errors import ChatError, CommitUnknown, Overloaded, Unavailable
from services.log_cache import LogCache, News, Tail
from services.mongo import DUPLICATE_KEY, Database
from services.state import Member, Projections, State
from services.tasks import Tasks, gather_some

PAGE = 200  # entries in one read while catching up
NEWEST = 512  # entries of each log kept in memory
TAIL = 128  # of them that are read at once, for whoever wants the newest messages
BATCH = 100  # entries in one insert
WAITING = 2_000  # appends to one conversation that may wait in one process; more are OVERLOADED
LOST_RACES = 32  # then OVERLOADED: nothing was committed
ATTEMPT_SECONDS = 30.0  # after this a lost outcome is COMMIT_UNKNOWN
ANSWER_SECONDS = 5.0  # the longest that a caller waits; the attempt goes on without it
KEEP_SECONDS = 60.0  # how long a log that nobody uses stays in memory
KEPT = 5_000  # how many of these at most
JITTER_SECONDS = 0.01
REORDER_SECONDS = 0.02  # what two processes' messages may overtake each other by before the hole is read

_logger = structlog.get_logger()

type Decide = Callable[[State], Draft]


class Outbox(Protocol):
    """Who sees to it that every entry leaves for Kafka, also when this process dies."""

    async def mark(self, conversation_id: str) -> None:
        """Note durably that entries of a conversation may come; before the first of them is inserted.

        Raises:
            PyMongoError: MongoDB did not answer.
        """


class Audience(Protocol):
    """Others that want to hear of an entry."""

    def publish(self, conversation_id: str, entries: Sequence[Entry]) -> None:
        """Tell them soon; what gets lost on the way is theirs to heal, never the writer's."""


class ReadBehindError(PyMongoError):
    """MongoDB's majority does not show yet what was seen committed; it will."""


@dataclass(slots=True, eq=False)
class _Attempt:
    """One wish to append, until it has its place or is refused."""

    key: str
    concerns: frozenset[str]  # users whose memberships `decide` looks at
    messages: frozenset[int]  # messages that it looks at
    decide: Decide
    placed: asyncio.Future[Entry]
    slot: int = 0  # the highest place that an insert of it was sent for; until that is seen taken, its outcome is open
    races: int = 0  # how often somebody else took its slot

    def refuse(self, error: ChatError) -> None:
        if not self.placed.done():
            self.placed.set_exception(error)
            self.placed.exception()  # the caller may have gone


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
        self._told = told  # up to where everybody was told, or nobody can read less any more
        self._newest: deque[Entry] = deque(maxlen=NEWEST)
        self._early: dict[int, Entry] = {}  # entries that overtook others
        self._queue: deque[_Attempt] = deque()
        self._waiting: dict[str, _Attempt] = {}  # by key: queued or in flight
        self._writing: asyncio.Task[None] | None = None
        self._reading = asyncio.Lock()
        self._next_read: asyncio.Task[None] | None = None  # asked for, not begun
        self._read_at = -math.inf  # when the newest read began that was finished, by the event loop's clock
        self._next_refresh: asyncio.Task[None] | None = None  # asked for, not begun
        self._telling: asyncio.Task[None] | None = None  # the newest that was begun
        self._telling_upto = 0
        self._filling: asyncio.Task[None] | None = None
        for entry in tail.entries:
            self._remember(entry)

    @property
    def sequence(self) -> int:
        """The newest sequence that this process has seen committed."""
        return self.state.sequence

    @property
    def busy(self) -> bool:
        """Whether appends are waiting for their place."""
        return bool(self._waiting)

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
            self._told = max(self._told, news.last)
            return
        await self.catch_up()
        if news is not None:
            self._logs.spawn(self.share(news))

    async def share(self, grant: Grant) -> None:
        """Have the end of the log remembered, by all processes."""
        try:
            await self.tail()
        except PyMongoError:
            return  # another reader will do it
        if self._newest:
            self._logs.cache.put(self.conversation_id, grant, Tail(self.state, list(self._newest)[-TAIL:]))

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

    async def load_members(self, user_ids: Iterable[str]) -> None:
        """Make the memberships of these users known to `state`."""
        missing = [user_id for user_id in user_ids if user_id not in self.state.members]
        if not missing:
            return
        control = self.state.control
        known = await self._logs.cache.members(self.conversation_id, missing, control=control)
        self._logs.cache.counted("members", hit=len(known) == len(missing))
        if len(known) < len(missing):
            read = await self._logs.projections.members(
                self.conversation_id, [user_id for user_id in missing if user_id not in known]
            )
            self._logs.cache.put_members(self.conversation_id, read, control=control)
            known |= read
        self.state = self.state.with_members(known)

    async def member(self, user_id: str) -> Member | None:
        """Return a user's active membership as of what this process has seen; None for whoever is not in."""
        await self.load_members([user_id])
        return self.state.members[user_id]

    async def settle(self) -> None:
        """See to it that the documents show everything that this process has seen.

        Raises:
            PyMongoError: MongoDB did not answer.
        """
        control = self.state.control
        if self._settled < control:
            await self._logs.projections.settle(self.conversation_id, control)
            self._settled = max(self._settled, control)

    async def messages(self, sequences: Iterable[int]) -> dict[int, MessageSent]:
        """Return those of these places that are messages, each with every change that this process has seen.

        A message that is read may be ahead of that. It does no harm, nor where it is decided on: then the place that
        is decided about is taken, and the decision is made again.

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
            if self.state.control == control:  # else one of them may have changed after it was read
                return read | {sequence: entry for sequence, entry in found.items() if isinstance(entry, MessageSent)}

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
        attempt = self._waiting.pop(entry.key, None)
        if attempt is not None and not attempt.placed.done():
            attempt.placed.set_result(entry)

    def _remember(self, entry: Entry) -> None:
        if isinstance(entry, MessageChange) and (index := self._index(entry.message)) >= 0:
            message = self._newest[index]
            assert isinstance(message, MessageSent)
            self._newest[index] = entry.applied_to(message)
        self._newest.append(entry)

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
        """Append what `decide` makes of the state just before it, or return the entry that already has this key.

        `base` is a sequence that was committed before the key's first attempt. `decide` is pure: it runs again after
        every lost race. It looks at no users but those in `concerns` and at no messages but those in `messages`.

        Raises:
            ChatError: what `decide` refuses with.
            Overloaded: too many appends at once; nothing was committed.
            Unavailable: MongoDB does not answer; nothing was committed.
            CommitUnknown: MongoDB did not say, or it may not show everywhere; the same key settles it.
        """
        try:
            entry = await self._placed(key, decide, base, frozenset(concerns), frozenset(messages))
        except ChatError:
            # What a refusal rests on may be what the caller wrote before, with an answer that was lost.
            await self.told(self.sequence)
            raise
        await self.told(entry.sequence)
        return entry

    async def _placed(
        self, key: str, decide: Decide, base: int, concerns: frozenset[str], messages: frozenset[int]
    ) -> Entry:
        attempt = self._waiting.get(key)
        if attempt is None:
            known = await self._find(key, base)
            if known is not None:
                return known
            attempt = self._waiting.get(key) or self._enqueue(key, decide, concerns, messages)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await asyncio.shield(attempt.placed)
        except TimeoutError:
            # With nothing of it under way it is taken back, so that it does not appear later.
            if self._is_settled(attempt):
                self._give_up([attempt])
            raise self._no_answer(attempt) from None

    async def told(self, sequence: int) -> None:
        """Return once nobody reads less than this any more; it is one that this process has seen.

        Raises:
            CommitUnknown: that is not sure.
        """
        while self._told < sequence:
            if self._telling_upto < sequence or self._telling is None:
                self._tell([])
            assert self._telling is not None
            await asyncio.shield(self._telling)

    def _tell(self, run: Sequence[Entry], state: State | None = None) -> None:
        """Begin to tell of a run that was just inserted, given the state right after it; of none, of all that is seen.

        What was begun earlier is told earlier.
        """
        self._telling_upto = run[-1].sequence if run else self.sequence
        self._telling = self._logs.spawn(self._tell_after(self._telling, run, state))

    async def _tell_after(self, earlier: asyncio.Task[None] | None, run: Sequence[Entry], state: State | None) -> None:
        if earlier is not None and not earlier.done():
            await asyncio.wait([earlier])
        try:
            end = None
            if state is not None:
                end = await self._logs.cache.tell(self.conversation_id, run, state)
                upto = run[-1].sequence
            if state is None or end is not None:
                upto = self.sequence
                await self._tell_readers()
        except CommitUnknown:
            self._telling_upto = self._told
            raise
        self._told = max(self._told, upto)

    async def _tell_readers(self) -> None:
        """Tell those who will read of all that this process has seen."""
        entries = self.remembered(self.sequence - 1)
        for _ in range(2):
            if not entries:
                break
            end = await self._logs.cache.fill(self.conversation_id, entries, self.state)
            if end is None:
                return
            entries = self.remembered(end)
        await self._logs.cache.forget(self.conversation_id)

    def _enqueue(self, key: str, decide: Decide, concerns: frozenset[str], messages: frozenset[int]) -> _Attempt:
        if len(self._waiting) >= WAITING:
            raise Overloaded("Too many messages at once. Try again.", retry_after_ms=1_000)
        attempt = _Attempt(key, concerns, messages, decide, asyncio.get_running_loop().create_future())
        self._waiting[key] = attempt
        self._queue.append(attempt)
        if self._writing is None:
            self._writing = self._logs.spawn(self._write())
        return attempt

    async def _find(self, key: str, base: int) -> Entry | None:
        """Return the entry with this key above `base`, as far as this process has seen the log."""
        position = base
        while position < self.sequence:
            page = await self.entries(position, PAGE)
            for entry in page:
                if entry.key == key:
                    return entry
            position = page[-1].sequence
        return None

    async def _write(self) -> None:
        """Place the queued attempts, a batch at a time, in the order in which they came."""
        batch: list[_Attempt] = []
        try:
            while self._queue:
                batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
                await self._place(batch)
        except PyMongoError as error:
            _logger.warning("log.not_written", conversation=self.conversation_id, error=repr(error))
        finally:
            self._give_up(batch)
            self._writing = self._logs.spawn(self._write()) if self._queue else None

    def _give_up(self, attempts: Iterable[_Attempt]) -> None:
        for attempt in attempts:
            if not attempt.placed.done():
                self._waiting.pop(attempt.key, None)
                attempt.refuse(self._no_answer(attempt))

    def _is_settled(self, attempt: _Attempt) -> bool:
        """Whether every place that the attempt was sent for is known to be somebody else's."""
        return attempt.slot <= self.sequence

    def _no_answer(self, attempt: _Attempt, settled: ChatError | None = None) -> ChatError:
        """Return what a caller hears whose attempt ends unplaced: `settled` only if it cannot get a place any more."""
        if not self._is_settled(attempt):
            return CommitUnknown("This may or may not have been stored. Send it again with the same id.")
        return settled or Unavailable("The service cannot store this now. Try again.", retry_after_ms=1_000)

    async def _place(self, batch: list[_Attempt]) -> None:
        await self._logs.outbox.mark(self.conversation_id)
        state = await self.state_with(
            {user_id for attempt in batch for user_id in attempt.concerns},
            {sequence for attempt in batch for sequence in attempt.messages},
        )
        before = {attempt.key: (attempt, attempt.slot) for attempt in batch}
        placed = self._decided(batch, state)
        if not placed:
            return
        inserted, is_certain = await self._insert([entry for entry, _ in placed])
        if is_certain:
            for entry, _ in placed[inserted:]:  # nothing of these is under way: a refusal is one, not an open outcome
                attempt, slot = before[entry.key]
                attempt.slot = slot
        entries = [entry for entry, _ in placed[:inserted]]
        await self._project(placed[:inserted])
        self.see(entries)
        if entries:
            self._tell(entries, placed[inserted - 1][1])
            for audience in self._logs.audiences:
                audience.publish(self.conversation_id, entries)
        if inserted < len(placed):
            # Somebody else has that slot: what they wrote is read, and settles by key what it can.
            await self._see_slot(placed[inserted][0].sequence)
            if any(entry.is_control and entry.sequence <= self.sequence for entry, _ in placed[inserted:]):
                self._logs.spawn(self._mend())  # an outcome that was lost may have been a success
            self._requeue(attempt for attempt in batch if not attempt.placed.done())

    def _decided(self, batch: list[_Attempt], state: State) -> list[tuple[Entry, State]]:
        """Return the entries of a batch, each decided on the state after the one before it, with the state it makes."""
        placed: list[tuple[Entry, State]] = []
        for attempt in batch:
            if attempt.placed.done():
                continue
            try:
                draft = attempt.decide(state)
            except ChatError as refusal:
                self._waiting.pop(attempt.key, None)
                attempt.refuse(self._no_answer(attempt, refusal))
                continue
            entry = draft.placed(
                self.conversation_id, state.sequence + 1, key=attempt.key, at=now(), control=state.control
            )
            state = state.after(entry)
            placed.append((entry, state))
            attempt.slot = max(attempt.slot, entry.sequence)
        return placed

    async def _project(self, placed: Iterable[tuple[Entry, State]]) -> None:
        try:
            for entry, state in placed:
                if entry.is_control:
                    await self._logs.projections.write(entry, state)
                    self._settled = max(self._settled, entry.sequence)
        except PyMongoError:  # the entries stand, and what follows from them comes as soon as MongoDB does
            _logger.warning("log.not_projected", conversation=self.conversation_id)
            self._logs.spawn(self._mend())

    async def _mend(self) -> None:
        """Bring the documents up to the log, however long MongoDB is away."""
        async for attempt in stamina.retry_context(on=PyMongoError, attempts=None, timeout=None, wait_max=1.0):
            with attempt:
                await self._logs.projections.load(self.conversation_id)

    async def _see_slot(self, sequence: int) -> None:
        """Read on until a slot that is taken is seen; a majority read may be behind for a moment."""
        await asyncio.sleep(random.uniform(0, JITTER_SECONDS))  # noqa: S311  # two writers should not stay in step
        async for attempt in stamina.retry_context(
            on=PyMongoError, attempts=None, timeout=ATTEMPT_SECONDS, wait_initial=JITTER_SECONDS, wait_max=1.0
        ):
            with attempt:
                await self.catch_up()
                if self.sequence < sequence:
                    raise ReadBehindError(f"{self.conversation_id}: {sequence} is taken, {self.sequence} seen")

    async def _insert(self, entries: list[Entry]) -> tuple[int, bool]:
        """Insert a run of entries; return how many of its first ones this call saw committed, and if no more can be.

        A lost outcome is settled by inserting the same documents at the same slots again, until each slot is known to
        be taken; by whom, the keys tell.
        """
        deadline = asyncio.get_running_loop().time() + ATTEMPT_SECONDS
        pause = 0.05
        is_certain = True
        while True:
            try:
                await self._logs.entries.insert(entries)
            except BulkWriteError as error:
                failure = error.details["writeErrors"][0] if error.details["writeErrors"] else None
                if failure is None or failure["code"] != DUPLICATE_KEY:
                    raise
                return int(failure["index"]), is_certain
            except PyMongoError:
                is_certain = False  # what was sent may still arrive
                if asyncio.get_running_loop().time() + pause > deadline:
                    raise
                await asyncio.sleep(pause)
                pause = min(pause * 2, 1.0)
            else:
                return len(entries), True

    def _requeue(self, lost: Iterable[_Attempt]) -> None:
        again: list[_Attempt] = []
        for attempt in lost:
            attempt.races += 1
            if attempt.races >= LOST_RACES:
                self._waiting.pop(attempt.key, None)
                overloaded = Overloaded("Too many messages at once. Try again.", retry_after_ms=1_000)
                attempt.refuse(self._no_answer(attempt, overloaded))
            else:
                again.append(attempt)
        self._queue.extendleft(reversed(again))


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
        self._tasks = Tasks()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Own the tasks of all logs; what they are writing is finished before this ends."""
        sweeper = self._tasks.spawn(self._drop_unused())
        try:
            yield self
        finally:
            sweeper.cancel()
            await self._tasks.close(grace_seconds=ATTEMPT_SECONDS)

    def spawn[T](self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run work of a log."""
        return self._tasks.spawn(work)

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
