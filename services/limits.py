"""Who may do how much more: counts what callers do, over all processes, and refuses what is too much.

While Redis is away each process counts by itself and admits half as much: stricter, never open.
"""

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
    reset_at: datetime  # when all of it is there again, if nothing more is done


class Limits:
    """The limits of all callers."""

    def __init__(self, redis: Redis, rules: Rules) -> None:
        self.rules = rules
        self._remote = RemoteWindows(redis)
        self._local = LocalWindows()

    async def take(self, bucket: str, caller: Caller, who: Sequence[str] = ()) -> "Taken | None":
        """Count one, under the caller's name unless others are given; None where there is no limit.

        Raises:
            RateLimited: it would be one too many; it was not counted.
        """
        rule = self.rules.of(bucket, caller.roles)
        if rule is None:
            return None
        who = who or (caller.name,)
        hit, is_local = await self._hit(bucket, who, rule, take=True)
        standing = _standing(bucket, _halved(rule) if is_local else rule, hit.states)
        if not hit.taken:
            raise refusal(standing)
        return Taken(standing, rule, tuple(who), hit, is_local)

    async def look(self, bucket: str, caller: Caller, who: Sequence[str] = ()) -> Standing | None:
        """Return what is left, without counting; None where there is no limit."""
        rule = self.rules.of(bucket, caller.roles)
        if rule is None:
            return None
        hit, is_local = await self._hit(bucket, who or (caller.name,), rule, take=False)
        return _standing(bucket, _halved(rule) if is_local else rule, hit.states)

    def take_back(self, taken: "Taken") -> None:
        """Undo what was counted for something else."""
        for one in taken.who:
            if taken.is_local:
                self._local.take_back(taken.standing.bucket, one, taken.rule, taken.hit)
            else:
                self._remote.take_back(_key(taken.standing.bucket, one), taken.hit)

    async def _hit(self, bucket: str, who: Sequence[str], rule: Rule, *, take: bool) -> tuple[Hit, bool]:
        """Return what the windows say, and whether they are this process's own."""
        try:
            keys = [_key(bucket, one) for one in who]
            return await self._remote.hit(keys, [rule] * len(keys), take=take), False
        except RedisFailedError:
            return self._local.hit(bucket, who, _halved(rule), take=take), True


@dataclass(frozen=True, slots=True)
class Taken:
    """One that was counted."""

    standing: Standing
    rule: Rule
    who: tuple[str, ...]
    hit: Hit
    is_local: bool


class Allowance:
    """What one operation may do of its caller's limits, and what is left of those that it has used."""

    def __init__(self, limits: Limits, caller: Caller, socket: Window | None = None) -> None:
        """Count for a caller; `socket` is the window of the socket that it came over, None over HTTP."""
        self.used: dict[str, Standing] = {}  # by bucket; what was left after the newest use
        self._limits = limits
        self._caller = caller
        self._socket = socket
        self._paid: Counter[str] = Counter()  # counted at entering, for fields to come
        self._entered: Taken | None = None  # what entering as a light operation has counted

    async def enter(self, *, light: bool) -> None:
        """Count an operation before it is looked at, by what it seems to be.

        Raises:
            RateLimited: it is one too many.
        """
        if light:
            self._entered = await self._limits.take(Bucket.LIGHT, self._caller)
            self._use(self._entered)
            self._paid[Bucket.LIGHT] += 1
        elif self._socket is None:
            self._use(await self._limits.take(Bucket.API, self._caller))
        else:
            self._take_of_socket(self._socket)

    async def enter_after_all(self) -> None:
        """Count an operation anew that seemed to be light, and is not. Raises as `enter`."""
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
            return
        self._use(await self._limits.take(bucket, self._caller))

    async def take_field(self, name: str) -> None:
        """Count a use of a root field: those that are light, and those with a rule of their own. Raises as `take`."""
        if name in LIGHT_FIELDS:
            await self.take(Bucket.LIGHT)
        if name in self._limits.rules.fields:
            await self.take(name)

    async def take_authentication(self, account: str) -> None:
        """Count an attempt to show or set the password of an account, named by its handle. Raises as `take`."""
        self._use(await self._limits.take(Bucket.AUTHENTICATION, self._caller, self._authenticating(account)))

    async def look(self, bucket: str) -> Standing | None:
        """Return what is left, without counting; None where there is no limit."""
        return await self._limits.look(bucket, self._caller)

    async def all(self, handle: str | None) -> list[Standing]:
        """Return what is left of each limit; `handle` is that of the caller, None when it has no account."""
        found = [await self.look(bucket) for bucket in (Bucket.API, Bucket.MESSAGES, Bucket.LIGHT)]
        if handle is not None:
            who = self._authenticating(handle)
            found.append(await self._limits.look(Bucket.AUTHENTICATION, self._caller, who))
        if self._socket is not None and (rule := self._limits.rules.of(Bucket.SOCKET, self._caller.roles)) is not None:
            hit = self._socket.hit(time.monotonic(), rule, take=False)
            found.append(_standing(Bucket.SOCKET, rule, hit.states))
        return [standing for standing in found if standing is not None]

    def _authenticating(self, account: str) -> tuple[str, ...]:
        """Return under what names an attempt counts: what somebody typed may be long, or no handle at all."""
        typed = account[:1_000]
        account = f"account {handles.normalised(typed) or derived_id('none', ascii(typed))}"
        return (account,) if self._caller.address is None else (account, f"address {self._caller.address}")

    def _take_of_socket(self, window: Window) -> None:
        rule = self._limits.rules.of(Bucket.SOCKET, self._caller.roles)
        if rule is None:
            return
        hit = window.hit(time.monotonic(), rule, take=True)
        standing = self.used[Bucket.SOCKET] = _standing(Bucket.SOCKET, rule, hit.states)
        if not hit.taken:
            raise refusal(standing)

    def _use(self, taken: Taken | None) -> None:
        if taken is not None:
            self.used[taken.standing.bucket] = taken.standing


def refusal(standing: Standing) -> RateLimited:
    """Return the error that says so."""
    return RateLimited(
        f"Too much at once: at most {standing.limit} in {standing.window_seconds} s. Wait a moment.",
        bucket=standing.bucket,
        limit=standing.limit,
        retry_after_ms=standing.retry_after_ms,
    )


def _standing(bucket: str, rule: Rule, states: Sequence[State]) -> Standing:
    """Return what is left where several windows count: what the fullest has."""
    return Standing(
        bucket=str(bucket),
        limit=rule.limit,
        window_seconds=rule.seconds,
        remaining=max(0, rule.limit - max(state.count for state in states)),
        retry_after_ms=math.ceil(max(state.wait_seconds for state in states) * 1_000),
        reset_at=now() + timedelta(seconds=max(state.reset_seconds for state in states)),
    )


def _halved(rule: Rule) -> Rule:
    return Rule(max(1, rule.limit // 2), rule.seconds)


def _key(bucket: str, who: str) -> str:
    # The windows of one step have to be in one slot of a cluster: those of an attempt to sign in are.
    tag = Bucket.AUTHENTICATION if bucket == Bucket.AUTHENTICATION else who
    return f"limit:{{{tag}}}:{bucket}:{who}"
