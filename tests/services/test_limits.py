"""Limits: exact over all processes while Redis is there, stricter and never open while it is not."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services import ids
from services.errors import RateLimited
from services.limit_rules import Bucket, Rule, Rules, parsed
from services.limits import Allowance, Caller, Limits
from services.redis import Redis
from services.services import SCRIPTS
from services.windows import SLOTS, LocalWindows, Window
from tests.faults.harness import until


@pytest.fixture
async def processes(redis_url: str) -> AsyncIterator[list[Redis]]:
    """Three processes' connections to one Redis."""
    async with AsyncExitStack() as stack:
        found = [await stack.enter_async_context(Redis(redis_url, SCRIPTS).running()) for _ in range(3)]
        for redis in found:
            await redis.up.wait()
        yield found


def rules(text: str) -> Rules:
    found = parsed(text)
    assert isinstance(found, Rules)
    return found


def somebody() -> Caller:
    return Caller(user_id=ids.user(), address="192.0.2.1")


async def admitted(limits: Limits, bucket: str, caller: Caller) -> bool:
    count = await limits.count(bucket, caller)
    return count is None or count.admitted


async def remaining(limits: Limits, bucket: str, caller: Caller) -> int:
    standing = await Allowance(limits, caller).look(bucket)
    assert standing is not None
    return standing.remaining


@dataclass
class Plain:
    """The rule in as few words as can be."""

    rule: Rule
    hits: list[float] = field(default_factory=list)

    def take(self, now: float) -> bool:
        inside = [hit for hit in self.hits if hit > now - self.rule.seconds]
        if len(inside) < self.rule.limit:
            self.hits.append(now)
            return True
        return False


@given(
    limit=st.integers(1, 5),
    seconds=st.integers(1, 4),
    pauses=st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0, 1.75, 4.0]), max_size=40),
)
def test_a_window_in_memory_admits_what_the_rule_says(limit: int, seconds: int, pauses: list[float]) -> None:
    rule, window, now = Rule(limit, seconds), Window(), 1_000.0
    plain = Plain(rule)

    for pause in pauses:
        now += pause
        hit = window.hit(now, rule, take=True)

        assert hit.taken == plain.take(now)
        assert (hit.states[0].wait_seconds > 0) == (not Plain(rule, list(plain.hits)).take(now))
        after = now + hit.states[0].wait_seconds
        assert Plain(rule, list(plain.hits)).take(after)


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pauses=st.lists(st.sampled_from([0.0, 0.0, 0.05, 0.3, 0.7, 1.05]), min_size=4, max_size=10))
def test_windows_in_redis_admit_what_the_rule_says(redis_url: str, pauses: list[float]) -> None:
    """Redis's clock is the judge: each answer lies between those for the moments before and after the call."""

    async def run() -> None:
        rule, caller = Rule(3, 1), somebody()
        async with Redis(redis_url, SCRIPTS).running() as redis:
            await redis.up.wait()
            limits = Limits(redis, Rules({"x": rule}))
            hits: list[tuple[float, float]] = []  # before and after each that was admitted
            for pause in pauses:
                await asyncio.sleep(pause)
                before = time.time()
                taken = await admitted(limits, "x", caller)
                after = time.time()
                surely = sum(low > after - rule.seconds for low, _ in hits)  # still inside, whenever it was counted
                maybe = sum(high > before - rule.seconds for _, high in hits)
                assert not (taken and surely >= rule.limit)
                assert taken or maybe >= rule.limit
                if taken:
                    hits.append((before, after))

    asyncio.run(run())


async def test_processes_that_count_at_once_admit_exactly_the_limit(processes: list[Redis]) -> None:
    limits = [Limits(redis, rules("messages=30/60")) for redis in processes]
    caller = somebody()

    answers = await asyncio.gather(*(admitted(limits[n % 3], "messages", caller) for n in range(300)))

    assert sum(answers) == 30


async def test_no_window_ever_holds_more_than_the_limit(processes: list[Redis]) -> None:
    limits = [Limits(redis, rules("messages=20/1")) for redis in processes]
    caller, admissions = somebody(), list[tuple[float, float]]()
    end = time.monotonic() + 3

    async def hammer(own: Limits) -> None:
        while time.monotonic() < end:
            before = time.monotonic()
            if await admitted(own, "messages", caller):
                admissions.append((before, time.monotonic()))

    await asyncio.gather(*(hammer(own) for own in limits for _ in range(4)))

    starts = [before for before, _ in admissions]
    for start in starts:  # all that were surely counted within one second from here
        assert sum(before >= start and after < start + 1 for before, after in admissions) <= 20
    assert len(admissions) > 40, "old hits leave the window"


async def test_what_is_refused_does_not_count(processes: list[Redis]) -> None:
    limits, caller = Limits(processes[0], rules("messages=2/1")), somebody()
    assert [await admitted(limits, "messages", caller) for _ in range(4)] == [True, True, False, False]

    with pytest.raises(RateLimited) as refused:
        await Allowance(limits, caller).take("messages")
    assert 0 < refused.value.retry_after_ms <= 1_000
    await asyncio.sleep(refused.value.retry_after_ms / 1_000)

    assert await admitted(limits, "messages", caller)


async def test_a_refusal_says_the_bucket_the_limit_and_how_long(processes: list[Redis]) -> None:
    limits, caller = Limits(processes[0], rules("messages=1/60")), somebody()
    await admitted(limits, "messages", caller)

    with pytest.raises(RateLimited) as refused:
        await Allowance(limits, caller).take("messages")

    assert (refused.value.bucket, refused.value.limit) == ("messages", 1)
    assert 59_000 < refused.value.retry_after_ms <= 60_000


async def test_looking_does_not_count(processes: list[Redis]) -> None:
    limits, caller = Limits(processes[0], rules("api=3/60")), somebody()
    await admitted(limits, "api", caller)

    assert [await remaining(limits, "api", caller) for _ in range(5)] == [2] * 5


async def test_callers_are_counted_apart(processes: list[Redis]) -> None:
    limits = Limits(processes[0], rules("api=1/60"))

    assert await admitted(limits, "api", somebody())
    assert await admitted(limits, "api", somebody())


async def test_attempts_count_by_account_and_by_address(processes: list[Redis]) -> None:
    limits = Limits(processes[0], rules("authentication=2/60"))
    mark = ids.new_id("x")

    async def attempt(account: str, address: str) -> bool:
        allowance = Allowance(limits, Caller(address=mark + address))
        try:
            await allowance.take_authentication(mark[-20:] + account)
        except RateLimited:
            return False
        return True

    assert await attempt("ann", "1")
    assert await attempt("ANN", "2")
    assert not await attempt("ann", "3"), "two for this account"
    assert await attempt("bob", "3"), "the refused one left no trace at its address"
    assert await attempt("eve", "3")
    assert not await attempt("joe", "3"), "two from this address"
    assert await attempt("joe", "4"), "nor at the account"


async def test_a_role_may_have_a_rule_of_its_own(processes: list[Redis]) -> None:
    limits = Limits(processes[0], rules("api=1/60, api@OPERATOR=3/60, api@ADMIN=off"))
    user = somebody()
    operator = Caller(user_id=ids.user(), roles=frozenset({"USER", "OPERATOR"}))
    admin = Caller(user_id=ids.user(), roles=frozenset({"USER", "ADMIN"}))

    assert [await admitted(limits, "api", user) for _ in range(2)] == [True, False]
    assert [await admitted(limits, "api", operator) for _ in range(4)] == [True, True, True, False]
    assert all([await admitted(limits, "api", admin) for _ in range(10)])


async def test_an_operation_that_only_seemed_light_counts_where_it_belongs(processes: list[Redis]) -> None:
    limits, caller = Limits(processes[0], rules("api=2/60, light=2/60")), somebody()
    allowance = Allowance(limits, caller)

    await allowance.enter(light=True)
    await allowance.enter_as_heavy()

    assert [await remaining(limits, bucket, caller) for bucket in ("light", "api")] == [2, 1]
    assert list(allowance.used) == ["api"]


async def test_entering_pays_for_the_first_light_field(processes: list[Redis]) -> None:
    limits, caller = Limits(processes[0], rules("light=3/60")), somebody()
    allowance = Allowance(limits, caller)

    await allowance.enter(light=True)
    for _ in range(3):
        await allowance.take_field("markRead")

    with pytest.raises(RateLimited):
        await allowance.take_field("setTyping")


async def test_without_redis_each_process_admits_half_and_never_more() -> None:
    redis = Redis("redis://127.0.0.1:1")
    limits, caller = Limits(redis, rules("messages=10/60")), somebody()

    answers = [await admitted(limits, "messages", caller) for _ in range(50)]

    assert sum(answers) == 5
    standing = await Allowance(limits, caller).look("messages")
    assert standing is not None
    assert (standing.limit, standing.remaining) == (5, 0)


async def test_counting_in_redis_goes_on_when_it_is_back(redis_url: str) -> None:
    async with Redis(redis_url, SCRIPTS).running() as redis:
        limits, caller = Limits(redis, rules("messages=4/60")), somebody()
        early = sum([await admitted(limits, "messages", caller) for _ in range(4)])  # there is no connection yet
        await until(redis.up.is_set, "Redis is there", 10)
        late = sum([await admitted(limits, "messages", caller) for _ in range(10)])

    assert early == 2
    assert late == 4


def test_more_callers_than_there_is_room_for_share_and_none_is_let_off() -> None:
    windows, rule = LocalWindows(), Rule(1, 60)

    taken = sum(windows.hit("api", [f"{n}"], rule, take=True).taken for n in range(2 * SLOTS))

    assert SLOTS // 2 < taken <= SLOTS
    assert not any(windows.hit("api", [f"{n}"], rule, take=True).taken for n in range(1_000))


def test_windows_in_memory_are_forgotten_when_they_are_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    windows, rule, begin = LocalWindows(), Rule(5, 1), time.monotonic()
    for n in range(1_000):
        windows.hit("api", [f"{n}"], rule, take=True)

    monkeypatch.setattr(time, "monotonic", lambda: begin + 60)
    windows.hit("api", ["one more"], rule, take=True)

    assert len(windows._windows["api", 1]) == 1


@pytest.mark.parametrize("text", ["api", "api=5", "api=0/60", "api=5/0", "api=-1/60", "api@GOD=1/1", "on", "a b=1/1"])
def test_a_rule_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not"):
        parsed(text)


def test_off_turns_every_limit_off() -> None:
    assert [rules("off").of(bucket) for bucket in Bucket] == [None] * 6


def test_what_is_not_named_stays_as_usual() -> None:
    found = rules("messages=1/2, sendMessage=3/4")

    assert [found.of(bucket) for bucket in Bucket] == [
        Rule(100, 60),
        Rule(5, 900),
        Rule(1, 2),
        Rule(120, 60),
        Rule(50, 60),
        Rule(120, 60),
    ]
    assert found.fields == {"sendMessage"}
