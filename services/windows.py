"""Sliding windows: at most so many hits in any span of so many seconds. In Redis for all processes, or in memory.

A window is the times of its newest admitted hits; what was refused leaves no trace.
"""

import math
import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.limit_rules import Rule
from services.redis import Redis, Script

SLOTS: Final = 16_384  # windows of one rule that a process keeps at most; more callers than that share them
SWEEP_SECONDS: Final = 10.0

# One step for all windows: a hit counts in each of them or, where one is full, in none. Redis's clock is everybody's.
_HIT: Final = Script("""
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local counts, full = {}, false
for i, key in ipairs(KEYS) do
  local newest = tonumber(redis.call('LINDEX', key, -1) or 0)
  if newest > now then now = newest end
end
for i, key in ipairs(KEYS) do
  local gone = now - ARGV[2 * i + 1] * 1000000
  local oldest = redis.call('LINDEX', key, 0)
  while oldest and tonumber(oldest) <= gone do
    redis.call('LPOP', key)
    oldest = redis.call('LINDEX', key, 0)
  end
  counts[i] = redis.call('LLEN', key)
  full = full or counts[i] >= tonumber(ARGV[2 * i])
end
local taken = ARGV[1] == '1' and not full
local stamp = string.format('%.0f', now)
local answer = {taken and 1 or 0, stamp}
for i, key in ipairs(KEYS) do
  local limit, span = tonumber(ARGV[2 * i]), ARGV[2 * i + 1] * 1000000
  local wait, reset = 0, 0
  if taken then
    redis.call('RPUSH', key, stamp)
    redis.call('EXPIRE', key, ARGV[2 * i + 1])
    counts[i] = counts[i] + 1
  end
  if counts[i] > 0 then reset = redis.call('LINDEX', key, -1) + span - now end
  if counts[i] >= limit then wait = redis.call('LINDEX', key, counts[i] - limit) + span - now end
  answer[#answer + 1] = counts[i]
  answer[#answer + 1] = wait
  answer[#answer + 1] = reset
end
return answer
""")
SCRIPTS: Final = (_HIT,)


@dataclass(frozen=True, slots=True)
class State:
    """What a window says after a hit, or after a look at it."""

    count: int  # hits in it
    wait_seconds: float  # until one more fits; 0 while one does
    reset_seconds: float  # until it is empty


@dataclass(frozen=True, slots=True)
class Hit:
    """Whether a hit was admitted, and what each window says."""

    taken: bool
    stamp: str | float  # names the hit, to take it back
    states: list[State]


class RemoteWindows:
    """Windows that all processes share."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def hit(self, keys: Sequence[str], rules: Sequence[Rule], *, take: bool) -> Hit:
        """Count a hit in all of these windows if all have room, or only look.

        Raises:
            RedisFailedError: nobody knows.
        """
        arguments = [number for rule in rules for number in (rule.limit, rule.seconds)]
        taken, stamp, *numbers = await self._redis.run(_HIT, keys, int(take), *arguments)
        states = [
            State(count, wait / 1e6, reset / 1e6)
            for count, wait, reset in zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True)
        ]
        return Hit(bool(taken), stamp.decode(), states)

    def take_back(self, key: str, hit: Hit) -> None:
        """Undo a hit soon."""
        self._redis.send("LREM", key, -1, str(hit.stamp))


class Window:
    """A window in memory."""

    __slots__ = ("_hits",)

    def __init__(self) -> None:
        self._hits: list[float] = []  # a deque takes ten times as much, and each socket has one of these

    def hit(self, now: float, rule: Rule, *, take: bool) -> Hit:
        """Count a hit if there is room, or only look."""
        hits = self._hits
        del hits[: bisect_right(hits, now - rule.seconds)]
        taken = take and len(hits) < rule.limit
        if taken:
            hits.append(now)
        wait = hits[len(hits) - rule.limit] + rule.seconds - now if len(hits) >= rule.limit else 0.0
        return Hit(taken, now, [State(len(hits), wait, hits[-1] + rule.seconds - now if hits else 0.0)])

    def take_back(self, hit: Hit) -> None:
        """Undo a hit."""
        if isinstance(hit.stamp, float) and hit.stamp in self._hits:
            self._hits.remove(hit.stamp)

    def is_empty(self, now: float, seconds: float) -> bool:
        """Whether nothing counts any more."""
        return not self._hits or self._hits[-1] <= now - seconds


class LocalWindows:
    """Windows of this process alone, in bounded memory: callers beyond the bound share windows, so none is let off."""

    def __init__(self) -> None:
        self._windows: dict[tuple[str, int], dict[int, Window]] = {}  # by the rule's name and span, then by slot
        self._swept_at = -math.inf

    def hit(self, name: str, who: Sequence[str], rule: Rule, *, take: bool) -> Hit:
        """Count a hit in the windows of all of these if all have room, or only look."""
        now = time.monotonic()
        windows = [self._window(name, one, rule, now) for one in who]
        looks = [window.hit(now, rule, take=False) for window in windows]
        if not take or any(look.states[0].count >= rule.limit for look in looks):
            return Hit(taken=False, stamp=now, states=[look.states[0] for look in looks])
        hits = [window.hit(now, rule, take=True) for window in windows]
        return Hit(taken=True, stamp=now, states=[hit.states[0] for hit in hits])

    def take_back(self, name: str, who: str, rule: Rule, hit: Hit) -> None:
        """Undo a hit."""
        self._window(name, who, rule, time.monotonic()).take_back(hit)

    def _window(self, name: str, who: str, rule: Rule, now: float) -> Window:
        if now - self._swept_at > SWEEP_SECONDS:
            self._swept_at = now
            for (_, seconds), windows in self._windows.items():
                for slot in [slot for slot, window in windows.items() if window.is_empty(now, seconds)]:
                    del windows[slot]
        # Texts have another hash in each process: nobody can choose with whom to share.
        return self._windows.setdefault((name, rule.seconds), {}).setdefault(hash(who) % SLOTS, Window())
