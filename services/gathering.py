"""Reads of many keys at once, shared by all who ask: nobody gets what was read before they asked."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

type Spawn = Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]]


class Gathering[K, V]:
    """One read at a time: what is asked for meanwhile, by however many, is the next one."""

    def __init__(self, read: Callable[[list[K]], Awaitable[dict[K, V]]], spawn: Spawn) -> None:
        self._read = read
        self._spawn = spawn
        self._asked: dict[K, None] = {}  # of the next read
        self._next: asyncio.Task[dict[K, V]] | None = None  # asked for, not begun
        self._reading = asyncio.Lock()
        self._waiting = 0

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits for anything."""
        return not self._waiting

    async def get(self, keys: Iterable[K]) -> dict[K, V]:
        """Return the values of those of these keys that have one; raises as the read does."""
        wanted = list(keys)
        if not wanted:
            return {}
        self._asked |= dict.fromkeys(wanted)
        if self._next is None:
            self._next = self._spawn(self._read_next())
        self._waiting += 1
        try:
            found = await asyncio.shield(self._next)
        finally:
            self._waiting -= 1
        return {key: found[key] for key in wanted if key in found}

    async def _read_next(self) -> dict[K, V]:
        async with self._reading:
            asked, self._asked, self._next = list(self._asked), {}, None
            return await self._read(asked)
