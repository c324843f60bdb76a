"""Mistakes, each planted into API processes by itself, to see that the checker finds what it breaks.

`python -m tests.chaos.mutants NAME MODULE ENTRY ARGUMENT…` plants one and goes on as `parley.stack.standby` does.
Nothing of this is in the product.
"""

import asyncio
import os
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from parley.fanout import Reader
from parley.frames import SharedText
from parley.load import Load
from parley.stack import standby
from parley.transport import _Answer
from services.append import Appender
from services.bus import Bus
from services.entries import Entry, to_document
from services.entry_store import EntryStore
from services.feeds import Feeds
from services.log import Log
from services.messages import Messages
from services.redis import channel_of
from services.streams import Streams
from services.telling import Telling
from tests.chaos.soak import tasks_file
from tests.checker.check import Kind

SHARE = 0.03  # of deliveries that go wrong, where each could
UNHEARD = 0.2  # of what Redis publishes


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A mistake."""

    plant: Callable[[], None]
    breaks: frozenset[Kind]  # one of these has to be found
    faults: tuple[str, ...] = ()  # without which it would not show
    is_calm: bool = False  # whether it would not show where every process writes to every conversation all the time
    needs_far_redis: bool = False  # on one host Redis has answered before anything can be missed


def _put(owner: type, name: str, function: Callable[..., Any]) -> None:
    setattr(owner, name, function)


def _on_deliveries(change: Callable[[_Answer, list[SharedText]], list[SharedText]]) -> None:
    original = _Answer.next

    def next_(self: _Answer, results: list[SharedText]) -> None:
        # Who waits for `CaughtUp` waits for ever without it: that is found soon enough, but not by the checker.
        entries = all(b"CaughtUp" not in result.frame(b"") for result in results)
        original(self, change(self, results) if entries else results)

    _put(_Answer, "next", next_)


def _drop() -> None:
    _on_deliveries(lambda _, results: [result for result in results if random.random() > SHARE])


def _dup() -> None:
    _on_deliveries(lambda _, results: [one for result in results for one in [result] * (1 + (random.random() < SHARE))])


def _swap() -> None:
    held: dict[int, Any] = {}

    def change(answer: _Answer, results: list[Any]) -> list[Any]:
        if id(answer) in held:
            return [*results, held.pop(id(answer))]
        if random.random() < SHARE:
            held[id(answer)] = results[-1]
            return results[:-1]
        return results

    _on_deliveries(change)


def _on_decided(then: Callable[[Appender, list[Any], Sequence[tuple[Entry, Any]]], None]) -> None:
    original = Appender._decided

    def decided(self: Appender, batch: list[Any], state: Any) -> list[tuple[Entry, Any]]:
        placed = original(self, batch, state)
        then(self, batch, placed)
        return placed

    _put(Appender, "_decided", decided)


def _ack_before_write() -> None:
    def ack(_: Appender, batch: list[Any], placed: Sequence[tuple[Entry, Any]]) -> None:
        attempts = {attempt.key: attempt for attempt in batch}
        for entry, _state in placed:
            attempts[entry.key].placed.set_result(entry)

    async def told(_: Telling, _sequence: int) -> None:
        pass

    _on_decided(ack)
    _put(Telling, "told", told)


def _publish_before_commit() -> None:
    def publish(appender: Appender, _: list[Any], placed: Sequence[tuple[Entry, Any]]) -> None:
        if placed:
            appender._log.telling.begin([entry for entry, _ in placed], placed[-1][1])

    _on_decided(publish)


def _save_for_insert() -> None:
    async def insert(self: EntryStore, entries: Sequence[Entry]) -> None:
        for entry in entries:
            document = to_document(entry)
            await self._entries.replace_one({"_id": document["_id"]}, document, upsert=True)

    _put(EntryStore, "insert", insert)


def _no_confirm_wait() -> None:
    async def subscribe(self: Bus, prefix: str, *names: str) -> bool:
        # As broadcaster does: it is on its way, and nobody waits for the answer.
        channels = [channel_of(prefix, name) for name in names]
        fresh = {channel: asyncio.Event() for channel in channels if channel not in self._channels}
        self._channels |= fresh
        self._tasks.spawn(self._settle_in(fresh))
        return True

    _put(Bus, "subscribe", subscribe)


def _no_gap_fill() -> None:
    heard = Feeds._heard

    async def nothing(_: Any) -> None:
        pass

    def hear_some(self: Feeds, conversation_id: str, data: bytes) -> None:
        if random.random() > UNHEARD:
            heard(self, conversation_id, data)

    # What a cut loses is told with the next entry, so that a hole takes more than a cut.
    _put(Feeds, "_heard", hear_some)
    _put(Log, "_fill_hole", nothing)
    _put(Feeds, "_compare_all", nothing)


def _cursor_plus_one() -> None:
    original = Streams.start

    async def start(self: Streams, *arguments: Any) -> Any:
        found = await original(self, *arguments)
        return replace(found, sequence=found.sequence + 1) if arguments[0].after is not None else found

    _put(Streams, "start", start)


def _early_ttl() -> None:
    original = Messages._base

    async def base(self: Messages, log: Log, key: str, fingerprint: bytes) -> int:
        await self._sends._sends.delete_one({"_id": f"{log.conversation_id}:{key}"})
        return await original(self, log, key, fingerprint)

    _put(Messages, "_base", base)


def _dedupe_by_process() -> None:
    bases: dict[tuple[str, str], int] = {}

    async def base(_: Messages, log: Log, key: str, _fingerprint: bytes) -> int:
        return bases.setdefault((log.conversation_id, key), log.sequence)

    _put(Messages, "_base", base)


def _no_removal_check() -> None:
    _put(Reader, "is_last", lambda _self, _entry: False)


def _count_tasks() -> None:
    """Let a process say now and then how many tasks it has; this is no mistake, and nobody sees it from outside."""
    original, file = Load.note, tasks_file(Path(os.environ["PARLEY_DATA"]), os.getpid())

    def note(self: Load, lag_seconds: float) -> None:
        original(self, lag_seconds)
        file.write_text(str(len(asyncio.all_tasks())))

    _put(Load, "note", note)


COUNTED = "count-tasks"
MUTANTS: dict[str, Mutant] = {
    "drop": Mutant(plant=_drop, breaks=frozenset({"lost"})),
    "dup": Mutant(plant=_dup, breaks=frozenset({"duplicate"})),
    "swap": Mutant(plant=_swap, breaks=frozenset({"order"})),
    "ack-before-write": Mutant(plant=_ack_before_write, breaks=frozenset({"lost"})),
    "save-for-insert": Mutant(plant=_save_for_insert, breaks=frozenset({"lost", "divergence"})),
    "no-confirm-wait": Mutant(plant=_no_confirm_wait, breaks=frozenset({"late"}), needs_far_redis=True),
    "no-gap-fill": Mutant(plant=_no_gap_fill, breaks=frozenset({"late"}), is_calm=True),
    "cursor-plus-one": Mutant(plant=_cursor_plus_one, breaks=frozenset({"lost"}), faults=("cut clients",)),
    "early-ttl": Mutant(plant=_early_ttl, breaks=frozenset({"duplicate"}), faults=("cut answers",)),
    "publish-before-commit": Mutant(plant=_publish_before_commit, breaks=frozenset({"divergence", "phantom"})),
    "no-removal-check": Mutant(plant=_no_removal_check, breaks=frozenset({"authorisation"})),
    "dedupe-by-process": Mutant(plant=_dedupe_by_process, breaks=frozenset({"duplicate"}), faults=("cut answers",)),
}


def main() -> None:
    """Plant, and go on as if nothing had happened."""
    name = sys.argv.pop(1)
    (_count_tasks if name == COUNTED else MUTANTS[name].plant)()
    standby.main()


if __name__ == "__main__":
    main()
