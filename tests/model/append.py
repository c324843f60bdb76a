"""A model of the append protocol, and a search through everything that can happen to it.

A state is the store (log, send records, requests under way that nobody waits for) and what each writer knows. A step is
one atomic action on the store, or a writer's death. What is not modelled as an action is left to chance instead: how
stale a head or a majority read is, which requests arrive late, and when. Slots and sequences count from 1; the
conversation's creation in slot 1 is always there.
"""

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, IntEnum, auto
from functools import cache, cached_property
from typing import NamedTuple


class Mistake(Enum):
    """What a wrong protocol does."""

    RAISES_BASE = auto()  # a retry takes its own head as base instead of the stored one
    RECORD_EXPIRES = auto()  # a send record may vanish
    RECORDS_EARLY = auto()  # the place is written into the send record before the insert
    DECIDES_ONCE = auto()  # a lost race changes the slot, not the decision
    WRITES_UNSEEN = auto()  # somebody's intention to write slot k counts as k committed
    LOSS_IS_FAILURE = auto()  # after a lost reply the next slot is tried, without a read
    OVERWRITES = auto()  # the insert replaces what is in the slot
    UNORDERED = auto()  # a batch goes on after a duplicate
    GIVES_UP_BLIND = auto()  # after a duplicate all of a batch is given up as not committed, its own slot seen or not
    REST_UNSETTLED = auto()  # after a duplicate the rest of a batch is not looked for in what was read


class Violation(Enum):
    """What must never be."""

    HOLE = auto()  # an empty slot below a taken one
    DUPLICATE = auto()  # one key in two slots
    UNAUTHORISED = auto()  # an entry that was not allowed on the state just before it
    FALSE_ACK = auto()  # an acknowledged slot holds something else
    TWO_ACKS = auto()  # one key, acknowledged with two sequences
    FALSE_REFUSAL = auto()  # a refused key is in the log, or one that its only writer gave up as not committed


class Op(NamedTuple):
    """What a writer wants in the log: a message, or the removal of a member (itself: it leaves).

    A message's key is the client's and may come again, so it has a send record; a removal's is made for one attempt.
    """

    key: str
    actor: str
    removes: str = ""


class Record(NamedTuple):
    """A key's document in `sends`."""

    base: int
    sequence: int = 0  # 0 until it was filled in


class Request(NamedTuple):
    """The part of an ordered insert that the store has not done yet."""

    slot: int
    ops: tuple[Op, ...]


class Phase(IntEnum):
    """What a writer does next."""

    RECORD = auto()  # insert the send record of the next op
    STORED = auto()  # read that record: it exists
    LOOK = auto()  # take a head, look for the keys, decide
    INSERT = auto()  # have the batch inserted
    READ = auto()  # read on: the slot is taken
    DONE = auto()  # answered; what was acknowledged may still be filled into the records
    DEAD = auto()


class Writer(NamedTuple):
    """A batch of attempts in one process; a single attempt is a batch of one."""

    ops: tuple[Op, ...]
    phase: Phase = Phase.RECORD
    bases: tuple[int, ...] = ()
    outcomes: tuple[int, ...] = ()  # for each op the acknowledged sequence, or one of the three below
    seen: int = 0  # the head that was decided on
    request: Request = Request(0, ())  # what was decided
    stored: int = 0  # how much of the request the store has done


PENDING, REFUSED, GAVE_UP = 0, -1, -2

type Log = tuple[Op | None, ...]
type Step = tuple[str, State]

CREATION = Op("creation", "owner")


class State(NamedTuple):
    """Everything there is at one moment."""

    log: Log
    records: tuple[tuple[str, Record], ...]  # by key, sorted
    late: frozenset[Request]  # requests whose sender no longer waits; each may still arrive
    writers: tuple[Writer, ...]  # sorted: which of two equal ones acts is no difference


@cache
def members(log: Log, users: frozenset[str]) -> frozenset[str]:
    """Return who may act after these entries."""
    return users - {op.removes for op in log if op is not None}


def allowed(op: Op, may_act: frozenset[str]) -> bool:
    """Decide: members only, and the last one cannot go."""
    return op.actor in may_act and (not op.removes or (op.removes in may_act and len(may_act) > 1))


@dataclass(frozen=True)
class Model:
    """The protocol as some writers run it, right or with one mistake."""

    users: frozenset[str]
    batches: tuple[tuple[Op, ...], ...]
    mistake: Mistake | None = None

    @property
    def start(self) -> State:
        writers = (_with_fresh_keys(Writer(ops, outcomes=(PENDING,) * len(ops))) for ops in self.batches)
        return State((CREATION,), (), frozenset(), tuple(sorted(writers)))

    @cached_property
    def single_keys(self) -> frozenset[str]:
        """The keys that one writer alone has."""
        counts = Counter(op.key for batch in self.batches for op in batch)
        return frozenset(key for key, count in counts.items() if count == 1)

    # ------------------------------------------------------------ what can happen

    def steps(self, state: State) -> Iterator[Step]:
        """Yield each thing that can happen next, with its name and the state it leads to."""
        for request in state.late:
            yield from self._arrive(state, request)
        if self.mistake is Mistake.RECORD_EXPIRES:
            for record in state.records:
                remaining = tuple(other for other in state.records if other != record)
                yield f"{record[0]}'s record expires", state._replace(records=remaining)
        for index, writer in enumerate(state.writers):
            if index and writer == state.writers[index - 1]:
                continue
            name = "+".join(op.key for op in writer.ops)
            for what, after, changed in self._act(state, writer):
                yield f"{name} {what}", _with_writer(after, index, changed)

    def _act(self, state: State, writer: Writer) -> Iterator[tuple[str, State, Writer]]:
        match writer.phase:
            case Phase.RECORD:
                yield from self._record(state, writer)
            case Phase.STORED:
                yield from self._read_record(state, writer)
            case Phase.LOOK:
                for seen in range(1, self._newest(state) + 1):
                    yield f"has seen {seen}", *self._decide(state, writer, seen)
            case Phase.INSERT:
                yield from self._insert(state, writer)
            case Phase.READ:
                for seen in range(writer.seen + 1, len(state.log) + 1):
                    yield f"reads up to {seen}", *self._decide(state, writer, seen)
                    yield (
                        f"reads up to {seen}, gives up",
                        *self._decide(state, self._given_up(state, writer, seen), seen),
                    )
            case Phase.DONE:
                yield from self._fill_in(state, writer)
            case Phase.DEAD:
                pass
        if writer.phase not in {Phase.DONE, Phase.DEAD}:
            sent = writer.phase is Phase.INSERT
            after = self._with_late(state, _rest(writer.request, writer.stored)) if sent else state
            yield "dies", after, _ended(writer, Phase.DEAD)

    def _record(self, state: State, writer: Writer) -> Iterator[tuple[str, State, Writer]]:
        key = writer.ops[len(writer.bases)].key
        if key in dict(state.records):
            yield f"finds {key} recorded", state, writer._replace(phase=Phase.STORED)
            return
        for base in range(1, len(state.log) + 1):
            after = _with_record(state, key, Record(base))
            yield f"records {key} with base {base}", after, _with_base(writer, base)

    def _read_record(self, state: State, writer: Writer) -> Iterator[tuple[str, State, Writer]]:
        key = writer.ops[len(writer.bases)].key
        record = dict(state.records).get(key)
        if record is None:
            yield f"misses {key}'s record", state, writer._replace(phase=Phase.RECORD)
        elif record.sequence:
            settled = _with_base(_settled(writer, key, record.sequence), record.base)
            yield f"finds {key} placed at {record.sequence}", state, settled
        elif self.mistake is Mistake.RAISES_BASE:
            for base in range(1, len(state.log) + 1):
                yield f"raises {key}'s base to {base}", state, _with_base(writer, base)
        else:
            yield f"reads {key}'s base {record.base}", state, _with_base(writer, record.base)

    def _newest(self, state: State) -> int:
        """The newest slot that a process may take for committed."""
        if self.mistake is not Mistake.WRITES_UNSEEN:
            return len(state.log)
        intended = (*state.late, *(writer.request for writer in state.writers))
        return max(len(state.log), *(request.slot + len(request.ops) - 1 for request in intended))

    def _given_up(self, state: State, writer: Writer, seen: int) -> Writer:
        """Answer OVERLOADED, nothing was committed, to every op whose slot was seen to hold something else."""
        blind = self.mistake is Mistake.GIVES_UP_BLIND
        for slot, op in enumerate(writer.request.ops, writer.request.slot):
            if (
                (slot <= seen or blind)
                and (op, PENDING) in _results(writer)
                and not _has_key_in(state.log[:seen], op.key)
            ):
                writer = _settled(writer, op.key, GAVE_UP)
        return writer

    def _decide(self, state: State, writer: Writer, seen: int) -> tuple[State, Writer]:
        """Settle by key what is in the log; decide the rest in order, each on the state that the one before makes."""
        log = state.log[:seen]
        unsettled = self.mistake is Mistake.REST_UNSETTLED and writer.phase is Phase.READ
        outcomes = list(writer.outcomes)
        going: list[Op] = []
        for index, (op, base) in enumerate(zip(writer.ops, writer.bases, strict=True)):
            if outcomes[index] != PENDING:
                continue
            place = next((slot for slot in range(base + 1, len(log) + 1) if _has_key(log[slot - 1], op.key)), None)
            if place and not (unsettled and op != writer.request.ops[writer.stored]):
                outcomes[index] = place
            elif self._still_allowed(op, writer) or allowed(op, members((*log, *going), self.users)):
                going.append(op)
            else:
                outcomes[index] = REFUSED
        writer = writer._replace(outcomes=tuple(outcomes), seen=seen, stored=0)
        if not going:
            return state, _ended(writer, Phase.DONE)
        request = Request(seen + 1, tuple(going))
        if self.mistake is Mistake.RECORDS_EARLY:
            for slot, op in enumerate(going, request.slot):
                state = _with_record(state, op.key, Record(0, slot))
        return state, writer._replace(phase=Phase.INSERT, request=request)

    def _still_allowed(self, op: Op, writer: Writer) -> bool:
        return self.mistake is Mistake.DECIDES_ONCE and op in writer.request.ops

    def _insert(self, state: State, writer: Writer) -> Iterator[tuple[str, State, Writer]]:
        """Let the store do one document more, or the writer give up waiting and send the same again."""
        request = writer.request
        rest = _rest(request, writer.stored)
        slot, op = rest.slot, rest.ops[0]
        if not self._is_free(state.log, slot):
            after = self._with_late(state, _rest(rest, 1)) if self.mistake is Mistake.UNORDERED else state
            behind = _acknowledged(writer, writer.stored)._replace(phase=Phase.READ, seen=slot - 1)
            yield f"finds {slot} taken", after, behind
        elif len(rest.ops) > 1:
            yield (
                f"has {op.key} stored at {slot}",
                self._with_entry(state, slot, op),
                writer._replace(stored=writer.stored + 1),
            )
        else:
            after = self._with_entry(state, slot, op)
            yield f"stores {op.key} at {slot}", after, _ended(_acknowledged(writer, len(request.ops)), Phase.DONE)
            yield f"stores {op.key} at {slot}, reply lost", after, self._again(writer)
        yield "loses its request", self._with_late(state, rest), self._again(writer)

    def _again(self, writer: Writer) -> Writer:
        further = 1 if self.mistake is Mistake.LOSS_IS_FAILURE else 0
        request = writer.request._replace(slot=writer.request.slot + further)
        return writer._replace(request=request, stored=0)

    def _arrive(self, state: State, request: Request) -> Iterator[Step]:
        """Let the store do the next document of a request that nobody waits for."""
        after = state._replace(late=state.late - {request})
        if self._is_free(state.log, request.slot):
            after = self._with_entry(self._with_late(after, _rest(request, 1)), request.slot, request.ops[0])
        elif self.mistake is Mistake.UNORDERED:
            after = self._with_late(after, _rest(request, 1))
        yield f"{request.ops[0].key} arrives late at {request.slot}", after

    def _with_late(self, state: State, request: Request) -> State:
        return state._replace(late=state.late | {request}) if self._can_matter(state.log, request) else state

    def _with_entry(self, state: State, slot: int, op: Op) -> State:
        padded = state.log + (None,) * (slot - len(state.log))
        log = (*padded[: slot - 1], op, *padded[slot:])
        # What can change nothing any more is forgotten, so that equal futures are one state.
        return state._replace(log=log, late=frozenset(late for late in state.late if self._can_matter(log, late)))

    def _can_matter(self, log: Log, request: Request) -> bool:
        going_on = self.mistake is Mistake.UNORDERED and len(request.ops) > 1
        return bool(request.ops) and (going_on or self._is_free(log, request.slot))

    def _is_free(self, log: Log, slot: int) -> bool:
        return slot > len(log) or log[slot - 1] is None or self.mistake is Mistake.OVERWRITES

    def _fill_in(self, state: State, writer: Writer) -> Iterator[tuple[str, State, Writer]]:
        records = dict(state.records)
        for op, outcome in _results(writer):
            record = records.get(op.key)
            if outcome > 0 and record is not None and not record.sequence:
                after = _with_record(state, op.key, record._replace(sequence=outcome))
                yield f"fills in {op.key}'s place {outcome}", after, writer

    # ------------------------------------------------------------ what must hold

    def violations(self, state: State) -> Iterator[Violation]:
        """Yield what is wrong in this state."""
        yield from _log_violations(state.log, self.users)
        acknowledged: dict[str, int] = {}
        for writer in state.writers:
            for op, outcome in _results(writer):
                refused = outcome == REFUSED or (outcome == GAVE_UP and op.key in self.single_keys)
                if refused and _has_key_in(state.log, op.key):
                    yield Violation.FALSE_REFUSAL
                if outcome > 0:
                    if len(state.log) < outcome or not _has_key(state.log[outcome - 1], op.key):
                        yield Violation.FALSE_ACK
                    if acknowledged.setdefault(op.key, outcome) != outcome:
                        yield Violation.TWO_ACKS


@cache
def _log_violations(log: Log, users: frozenset[str]) -> tuple[Violation, ...]:
    found = []
    if None in log:
        found.append(Violation.HOLE)
    keys = [op.key for op in log if op is not None]
    if len(set(keys)) < len(keys):
        found.append(Violation.DUPLICATE)
    if any(op and not allowed(op, members(log[:index], users)) for index, op in enumerate(log) if index):
        found.append(Violation.UNAUTHORISED)
    return tuple(found)


@dataclass
class Explored:
    """What a search found."""

    states: int = 0
    finished: int = 0  # states in which nothing can happen any more
    violations: dict[Violation, list[str]] = field(default_factory=dict)  # each with one shortest way to it


def explore(model: Model, until: Violation | None = None) -> Explored:
    """Visit every state that can be reached, nearest first; a state that is wrong is not followed further.

    With `until` the search ends at that violation: some mistakes lead to states without end.
    """
    explored = Explored()
    came_from: dict[State, tuple[State, str] | None] = {model.start: None}
    queue = deque([model.start])
    while queue and until not in explored.violations:
        state = queue.popleft()
        wrong = set(model.violations(state))
        if not wrong:
            following = list(model.steps(state))
            explored.finished += not following
            for name, after in following:
                if after not in came_from:
                    came_from[after] = (state, name)
                    queue.append(after)
        for violation in wrong - explored.violations.keys():
            explored.violations[violation] = _way_to(state, came_from)
    explored.states = len(came_from)
    return explored


def _way_to(state: State, came_from: dict[State, tuple[State, str] | None]) -> list[str]:
    names: list[str] = []
    while (step := came_from[state]) is not None:
        state, name = step
        names.append(name)
    return names[::-1]


# ------------------------------------------------------------ changed copies


def _with_writer(state: State, index: int, writer: Writer) -> State:
    writers = list(state.writers)
    writers[index] = writer
    return state._replace(writers=tuple(sorted(writers)))


def _with_record(state: State, key: str, record: Record) -> State:
    return state._replace(records=tuple(sorted({**dict(state.records), key: record}.items())))


def _with_base(writer: Writer, base: int) -> Writer:
    return _with_fresh_keys(writer._replace(bases=(*writer.bases, base), phase=Phase.RECORD))


def _with_fresh_keys(writer: Writer) -> Writer:
    """Give the next ops a base if their keys are made here: nobody else can have written them."""
    bases = writer.bases
    while len(bases) < len(writer.ops) and writer.ops[len(bases)].removes:
        bases += (1,)
    return writer._replace(bases=bases, phase=Phase.LOOK if len(bases) == len(writer.ops) else Phase.RECORD)


def _settled(writer: Writer, key: str, sequence: int) -> Writer:
    outcomes = tuple(sequence if op.key == key else outcome for op, outcome in _results(writer))
    return writer._replace(outcomes=outcomes)


def _acknowledged(writer: Writer, count: int) -> Writer:
    """Settle the first ops of the request: they are where the request put them."""
    for slot, op in enumerate(writer.request.ops[:count], writer.request.slot):
        writer = _settled(writer, op.key, slot)
    return writer


def _ended(writer: Writer, phase: Phase) -> Writer:
    """Forget what no longer matters, so that equal futures are one state."""
    return Writer(writer.ops, phase, outcomes=writer.outcomes)


def _rest(request: Request, done: int) -> Request:
    return Request(request.slot + done, request.ops[done:])


def _results(writer: Writer) -> Iterator[tuple[Op, int]]:
    return zip(writer.ops, writer.outcomes, strict=True)


def _has_key(op: Op | None, key: str) -> bool:
    return op is not None and op.key == key


def _has_key_in(ops: Log, key: str) -> bool:
    return any(_has_key(op, key) for op in ops)
