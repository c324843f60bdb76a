"""The one way to write to a log.

Slot k+1 is inserted only by somebody who saw k committed, and only after every entry above the attempt's base was
compared with its key: so there are no holes, and one key is one entry, whatever dies. `tests/model` checks this
protocol exhaustively.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import stamina
import structlog
from pymongo.errors import BulkWriteError, PyMongoError

from services.clock import now
from services.entries import Draft, Entry
from services.errors import ChatError, CommitUnknown, Overloaded, Unavailable
from services.failures import described
from services.mongo import DUPLICATE_KEY
from services.origins import Headers, origin
from services.state import State
from services.tracing import continued

if TYPE_CHECKING:
    from services.log import Log, Logs

BATCH = 100  # entries in one insert
WAITING = 2_000  # appends to one conversation that may wait in one process; more are OVERLOADED
LOST_RACES = 32  # then OVERLOADED: nothing was committed
ATTEMPT_SECONDS = 30.0  # after this a lost outcome is COMMIT_UNKNOWN
ANSWER_SECONDS = 4.5  # the longest that a caller waits; the attempt goes on without it
FIND = 200  # entries in one read while looking for a key
JITTER_SECONDS = 0.01

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
    origin: Headers = field(default_factory=origin)  # of the request that wishes it

    def refuse(self, error: ChatError) -> None:
        if not self.placed.done():
            self.placed.set_exception(error)
            self.placed.exception()  # the caller may have gone


class Appender:
    """The attempts to append to one log in this process."""

    def __init__(self, log: "Log", logs: "Logs") -> None:
        self._log = log
        self._logs = logs
        self._queue: deque[_Attempt] = deque()
        self._waiting: dict[str, _Attempt] = {}  # by key: queued or in flight
        self._writing: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether appends are waiting for their place."""
        return bool(self._waiting)

    def seen(self, entry: Entry) -> None:
        """Take note that an entry has its place."""
        attempt = self._waiting.pop(entry.key, None)
        if attempt is not None and not attempt.placed.done():
            attempt.placed.set_result(entry)

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
            await self._log.telling.told(self._log.sequence)
            raise
        await self._log.telling.told(entry.sequence)
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
        while position < self._log.sequence:
            page = await self._log.entries(position, FIND)
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
                with continued("append", [attempt.origin for attempt in batch]):
                    await self._place(batch)
        except PyMongoError as error:
            _logger.warning("log.not_written", conversation=self._log.conversation_id, error=described(error))
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
        return attempt.slot <= self._log.sequence

    def _no_answer(self, attempt: _Attempt, settled: ChatError | None = None) -> ChatError:
        """Return what a caller hears whose attempt ends unplaced: `settled` only if it cannot get a place any more."""
        if not self._is_settled(attempt):
            return CommitUnknown("This may or may not have been stored. Send it again with the same id.")
        return settled or Unavailable("The service cannot store this now. Try again.", retry_after_ms=1_000)

    async def _place(self, batch: list[_Attempt]) -> None:
        await self._logs.outbox.mark(self._log.conversation_id)
        state = await self._log.state_with(
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
        self._log.see(entries)
        if entries:
            self._log.telling.begin(entries, placed[inserted - 1][1])
            for audience in self._logs.audiences:
                audience.publish(self._log.conversation_id, entries)
        if inserted < len(placed):
            # Somebody else has that slot: what they wrote is read, and settles by key what it can.
            await asyncio.sleep(random.uniform(0, JITTER_SECONDS))  # noqa: S311  # two writers should not stay in step
            await self._log.read_to(placed[inserted][0].sequence)
            if any(entry.is_control and entry.sequence <= self._log.sequence for entry, _ in placed[inserted:]):
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
                self._log.conversation_id,
                state.sequence + 1,
                key=attempt.key,
                at=now(),
                control=state.control,
                origin=attempt.origin,
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
                    self._log.documented(entry.sequence)
        except PyMongoError:  # the entries stand, and what follows from them comes as soon as MongoDB does
            _logger.warning("log.not_projected", conversation=self._log.conversation_id)
            self._logs.spawn(self._mend())

    async def _mend(self) -> None:
        """Bring the documents up to the log, however long MongoDB is away."""
        async for attempt in stamina.retry_context(on=PyMongoError, attempts=None, timeout=None, wait_max=1.0):
            with attempt:
                await self._logs.projections.load(self._log.conversation_id)

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
