"""Who may do how much more: counts what callers do, over all processes, and refuses what is too much.

While Redis is away each process counts by itself and admits half as much: stricter, never open.
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from services import handles
from services.clock import now
from services.errors import RateLimited
from services.ids import derived_id
from services.limit_rules import Bucket, Rule, Rules
from services.redis import Redis, RedisFailedError
from services.windows import Hit, LocalWindows, RemoteWindows, State, Window

# Root fields that clients call without anybody having asked for it; they count in `light` and nowhere else.
LIGHT_FIELDS: Final = frozenset({"setTyping", "setPresence", "markRead", "markDelivered"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who is counted."""

    user_id: str | None = None  # None when nobody is signed in
    address: str | None = None  # None where it plays no part: in a subscription's events
    roles: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """Under what name the caller's requests count."""
        return self.user_id or f"address {self.address}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is left of a limit."""

    bucket: str
    limit: int
    window_seconds: int
    remaining: int
    retry_after_ms: int  # until one more is admitted; 0 while one is
    reset_in_ms: int  # until all of it is there again, if nothing more is done
    reset_at: datetime  # when all of it is there again, if nothing more is done


@dataclass(frozen=True, slots=True)
class Count:
    """An attempt to do one more."""

    standing: Standing  # after it
    rule: Rule
    who: tuple[str, ...]
    hit: Hit
    is_local: bool

    @property
    def admitted(self) -> bool:
        """Whether it may be done; what may not was not counted."""
        return self.hit.taken


class Limits:
    """The limits of all callers."""

    def __init__(self, redis: Redis, rules: Rules) -> None:
        self.rules = rules
        self._remote = RemoteWindows(redis)
        self._local = LocalWindows()

    async def count(self, bucket: str, caller: Caller, who: Sequence[str] = (), *, take: bool = True) -> Count | None:
        """Count one, or only look, under the caller's name unless others are given; None where there is no limit."""
        rule = self.rules.of(bucket, caller.roles)
        if rule is None:
            return None
        names = tuple(who) or (caller.name,)
        try:
            hit = await self._remote.hit([_key(bucket, name) for name in names], [rule] * len(names), take=take)
        except RedisFailedError:
            rule = Rule(max(1, rule.limit // 2), rule.seconds)
            hit = self._local.hit(bucket, names, rule, take=take)
            return Count(_standing(bucket, rule, hit.states), rule, names, hit, is_local=True)
        return Count(_standing(bucket, rule, hit.states), rule, names, hit, is_local=False)

    def take_back(self, count: Count) -> None:
        """Undo what was counted."""
        for name in count.who:
            if count.is_local:
                self._local.take_back(count.standing.bucket, name, count.rule, count.hit)
            else:
                self._remote.take_back(_key(count.standing.bucket, name), count.hit)


class Allowance:
    """What one operation may do of its caller's limits, and what is left of those that it has used."""

    def __init__(self, limits: Limits, caller: Caller, socket: Window | None = None) -> None:
        """Count for a caller; `socket` is the window of the socket that it came over, None over HTTP."""
        self.used: dict[str, Standing] = {}  # by bucket; what was left after the newest use
        self._limits = limits
        self._caller = caller
        self._socket = socket
        self._paid: Counter[str] = Counter()  # counted at entering, for fields to come
        self._seemed_light = False
        self._entered: Count | None = None  # what entering as a light operation has counted

    @property
    def address(self) -> str | None:
        """Where the caller comes from; None where that plays no part."""
        return self._caller.address

    async def enter(self, *, light: bool) -> None:
        """Count an operation before it is looked at, by what it seems to be.

        Raises:
            RateLimited: it is one too many.
        """
        self._seemed_light = light
        if light:
            self._entered = await self._take(Bucket.LIGHT)
            self._paid[Bucket.LIGHT] += 1
        elif self._socket is None:
            await self._take(Bucket.API)
        else:
            self._take_of_socket(self._socket)

    async def enter_as_heavy(self) -> None:
        """Count an operation anew if it entered as a light one, which it is not. Raises as `enter`."""
        if self._seemed_light:
            self._paid.clear()
            if self._entered is not None:
                self._limits.take_back(self._entered)
                del self.used[Bucket.LIGHT]
            await self.enter(light=False)

    async def take(self, bucket: str) -> None:
        """Count one.

        Raises:
            RateLimited: it is one too many.
        """
        if self._paid[bucket]:
            self._paid[bucket] -= 1
        else:
            await self._take(bucket)

    async def take_field(self, name: str) -> None:
        """Count a use of a root field: those that are light, and those with a rule of their own. Raises as `take`."""
        if name in LIGHT_FIELDS:
            await self.take(Bucket.LIGHT)
        if name in self._limits.rules.fields:
            await self.take(name)

    async def take_authentication(self, account: str) -> None:
        """Count an attempt to show or set the password of an account, named by its handle. Raises as `take`."""
        await self._take(Bucket.AUTHENTICATION, self._authenticating(account))

    async def look(self, bucket: str) -> Standing | None:
        """Return what is left, without counting; None where there is no limit."""
        return await self._look(bucket)

    async def all(self, handle: str | None) -> list[Standing]:
        """Return what is left of each limit; `handle` is that of the caller, None when it has no account."""
        looks = [self._look(bucket) for bucket in (Bucket.API, Bucket.MESSAGES, Bucket.LIGHT)]
        if handle is not None:
            looks.append(self._look(Bucket.AUTHENTICATION, self._authenticating(handle)))
        found = await asyncio.gather(*looks)  # one round trip
        if self._socket is not None and (rule := self._limits.rules.of(Bucket.SOCKET, self._caller.roles)) is not None:
            hit = self._socket.hit(time.monotonic(), rule, take=False)
            found.append(_standing(Bucket.SOCKET, rule, hit.states))
        return [standing for standing in found if standing is not None]

    def _authenticating(self, account: str) -> tuple[str, ...]:
        """Return under what names an attempt counts: what somebody typed may be long, or no handle at all."""
        typed = account[:1_000]
        name = f"account {handles.normalised(typed) or derived_id('none', ascii(typed))}"
        return (name,) if self._caller.address is None else (name, f"address {self._caller.address}")

    async def _look(self, bucket: str, who: Sequence[str] = ()) -> Standing | None:
        count = await self._limits.count(bucket, self._caller, who, take=False)
        return None if count is None else count.standing

    async def _take(self, bucket: str, who: Sequence[str] = ()) -> Count | None:
        count = await self._limits.count(bucket, self._caller, who)
        if count is not None:
            self._use(count.standing, admitted=count.admitted)
        return count

    def _take_of_socket(self, window: Window) -> None:
        rule = self._limits.rules.of(Bucket.SOCKET, self._caller.roles)
        if rule is not None:
            hit = window.hit(time.monotonic(), rule, take=True)
            self._use(_standing(Bucket.SOCKET, rule, hit.states), admitted=hit.taken)

    def _use(self, standing: Standing, *, admitted: bool) -> None:
        self.used[standing.bucket] = standing
        if not admitted:
            raise RateLimited(
                f"Too much at once: at most {standing.limit} in {standing.window_seconds} s. Wait a moment.",
                bucket=standing.bucket,
                limit=standing.limit,
                retry_after_ms=standing.retry_after_ms,
            )


def _standing(bucket: str, rule: Rule, states: Sequence[State]) -> Standing:
    """Return what is left where several windows count: what the fullest has."""
    reset_seconds = max(state.reset_seconds for state in states)
    return Standing(
        bucket=str(bucket),
        limit=rule.limit,
        window_seconds=rule.seconds,
        remaining=max(0, rule.limit - max(state.count for state in states)),
        retry_after_ms=math.ceil(max(state.wait_seconds for state in states) * 1_000),
        reset_in_ms=math.ceil(reset_seconds * 1_000),
        reset_at=now() + timedelta(seconds=reset_seconds),
    )


def _key(bucket: str, who: str) -> str:
    # The windows of one step have to be in one slot of a cluster: those of an attempt to sign in are.
    tag = Bucket.AUTHENTICATION if bucket == Bucket.AUTHENTICATION else who
    return f"limit:{{{tag}}}:{bucket}:{who}"
