"""An ended session is refused everywhere whatever has become of Redis; without MongoDB tokens go on being checked."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.api.test_live_sessions import Open, code_over_http, login, opened
from tests.api.test_sessions import REVOKE, session_id
from tests.clients import Api
from tests.stack_process import StackProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

WITHOUT_REDIS_SECONDS = 30.0
ANSWERED_SECONDS = 5.0  # what an ending waits for is MongoDB alone


def _stopped(stack: StackProcess) -> AbstractContextManager[None]:
    return stack.stopped("redis")


@contextmanager
def _killed(stack: StackProcess) -> "Iterator[None]":
    stack.kill_part("redis")
    yield


@pytest.mark.parametrize("broken", [_stopped, _killed])
async def test_a_session_that_ends_while_redis_is_away_is_refused_on_both_processes(
    fragile: StackProcess, apis: tuple[Api, Api], broken: Callable[[StackProcess], AbstractContextManager[None]]
) -> None:
    ann, bob = await apis[0].register(), await apis[0].register()
    conversation = (await ann.talk(bob))["id"]
    phone = await login(ann)
    async with opened(phone, apis, conversation) as both:
        with broken(fragile):
            started = time.monotonic()
            ended = await ann.mutate(REVOKE, sessionId=session_id(phone.token))
            answered = time.monotonic()
            await asyncio.gather(*(each.is_refused() for each in both))
            refused = time.monotonic()
        await bob.send(conversation, "not for the phone")
        notices = await asyncio.gather(*(each.notices() for each in both))

    assert ended["userErrors"] == []
    assert answered - started < ANSWERED_SECONDS
    assert refused - answered < WITHOUT_REDIS_SECONDS
    for heard in notices:
        assert [message["type"] for message in heard] == ["next", "complete"]
    assert await code_over_http(apis[1], ann.token) is None


async def test_while_mongodb_is_away_tokens_are_checked_by_what_is_known(
    fragile: StackProcess, apis: tuple[Api, Api]
) -> None:
    ann = await apis[0].register()
    conversation = (await ann.talk())["id"]
    phone = await login(ann)
    async with Open.at(phone.at(apis[1]), conversation) as there:
        await ann.mutate(REVOKE, sessionId=session_id(phone.token))
        await there.is_refused()
        with fragile.stopped("mongo"):
            codes = [await code_over_http(apis[1], token) for token in (phone.token, f"{ann.token[:-4]}AAAA")]
            roles = await apis[1].post("{ viewer { roles } }", token=ann.token)

    assert codes == ["UNAUTHENTICATED"] * 2
    assert roles["data"]["viewer"]["roles"] == ["USER"]
