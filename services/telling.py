"""Telling Redis of what was appended, in order and without a hole, before it is answered (decision 12)."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from services.entries import Entry
from services.errors import CommitUnknown
from services.log_cache import LogCache
from services.state import State
from services.tasks import Tasks

if TYPE_CHECKING:
    from services.log import Log


class Telling:
    """How far everybody was told of one log, and what is being told."""

    def __init__(self, log: "Log", cache: LogCache, tasks: Tasks, *, told: int) -> None:
        self._log = log
        self._cache = cache
        self._tasks = tasks
        self._told = told  # up to where everybody was told, or nobody can read less any more
        self._begun_upto = told
        self._newest: asyncio.Task[None] | None = None  # the newest that was begun

    async def told(self, sequence: int) -> None:
        """Return once nobody reads less than this any more; it is one that this process has seen.

        Raises:
            CommitUnknown: that is not sure.
        """
        while self._told < sequence:
            newest = self._newest
            if newest is None or newest.done() or self._begun_upto < sequence:
                newest = self.begin([])
            await asyncio.shield(newest)

    def begin(self, run: Sequence[Entry], state: State | None = None) -> asyncio.Task[None]:
        """Begin to tell of a run that was just inserted, given the state right after it; of none, of all that is seen.

        What was begun earlier is told earlier.
        """
        self._begun_upto = run[-1].sequence if run else self._log.sequence
        self._newest = self._tasks.spawn(self._tell_after(self._newest, run, state))
        return self._newest

    async def _tell_after(self, earlier: asyncio.Task[None] | None, run: Sequence[Entry], state: State | None) -> None:
        if earlier is not None and not earlier.done():
            await asyncio.wait([earlier])
        try:
            end = None
            if state is not None:
                end = await self._cache.tell(self._log.conversation_id, run, state)
                upto = run[-1].sequence
            if state is None or end is not None:
                upto = self._log.sequence
                await self._tell_readers()
        except CommitUnknown:
            self._begun_upto = self._told
            raise
        self._told = max(self._told, upto)

    async def _tell_readers(self) -> None:
        """Tell those who will read of all that this process has seen."""
        entries = self._log.remembered(self._log.sequence - 1)
        for _ in range(2):
            if not entries:
                break
            end = await self._cache.fill(self._log.conversation_id, entries, self._log.state)
            if end is None:
                return
            entries = self._log.remembered(end)
        await self._cache.forget(self._log.conversation_id)

    def known(self, sequence: int) -> None:
        """Take note that everybody was told up to a sequence."""
        self._told = max(self._told, sequence)
