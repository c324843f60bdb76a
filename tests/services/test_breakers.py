"""A circuit opens after failures in a row, lets one caller try, and closes when that goes well."""

import asyncio

import pytest

from services.breakers import FAILURES, Breaker, CircuitOpenError
from tests.faults.harness import until


def fail(breaker: Breaker, error: Exception) -> None:
    with pytest.raises(type(error)), breaker.guard(1):
        raise error


def opened() -> Breaker:
    breaker = Breaker("part", (OSError,))
    for _ in range(FAILURES):
        fail(breaker, OSError())
    return breaker


def lets_through(breaker: Breaker) -> bool:
    """Tell whether a call is let through; it goes well."""
    try:
        with breaker.guard(1):
            return True
    except CircuitOpenError:
        return False


def test_failures_in_a_row_open_it_and_nobody_is_let_through() -> None:
    breaker = opened()

    assert not breaker.closed
    fail(breaker, CircuitOpenError())


def test_an_answer_between_failures_keeps_it_closed() -> None:
    breaker = Breaker("part", (OSError,))
    for _ in range(3):
        for _ in range(FAILURES - 1):
            fail(breaker, OSError())
        assert lets_through(breaker)

    assert breaker.closed


def test_what_is_no_failure_of_the_part_is_an_answer() -> None:
    breaker = Breaker("part", (OSError,))
    for _ in range(2 * FAILURES):
        fail(breaker, ValueError())

    assert breaker.closed


async def test_it_closes_when_the_part_answers_again() -> None:
    breaker = opened()

    await until(lambda: lets_through(breaker), "somebody may try")

    assert breaker.closed


async def test_one_caller_tries_and_its_failure_opens_it_again() -> None:
    breaker = opened()
    trying, go_on = asyncio.Event(), asyncio.Event()

    async def try_it() -> None:
        while not trying.is_set():
            try:
                with breaker.guard(60):
                    trying.set()
                    await go_on.wait()
                    raise BrokenPipeError
            except CircuitOpenError:
                await asyncio.sleep(0.01)

    task = asyncio.create_task(try_it())
    async with asyncio.timeout(30):
        await trying.wait()

    assert not lets_through(breaker)
    go_on.set()
    with pytest.raises(BrokenPipeError):
        await task
    assert not lets_through(breaker)
