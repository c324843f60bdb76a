"""How many sockets somebody may have open: exact in a process, and free again as soon as one is closed."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from websockets.exceptions import InvalidStatus

from parley.seats import Seats
from tests.clients import Api, Person, Socket
from tests.local_api import LocalApi, local_api
from tests.raw_socket import RawSocket
from tests.stack_process import StackProcess


def test_each_name_has_as_many_seats_as_the_bound_says() -> None:
    seats = Seats(2)

    assert [seats.take(name) for name in ("ann", "ann", "ann", "bob")] == [True, True, False, True]
    seats.leave("ann")
    assert [seats.take("ann"), seats.take("ann")] == [True, False]


def test_nobody_is_remembered_who_has_left() -> None:
    seats = Seats(2)
    for number in range(1_000):
        assert seats.take(f"user {number}")
        seats.leave(f"user {number}")

    assert len(seats) == 0


async def until_empty(seats: Seats) -> None:
    async with asyncio.timeout(10):
        while len(seats):  # noqa: ASYNC110  # sockets end by themselves
            await asyncio.sleep(0.01)


async def tries(served: LocalApi, person: Person, count: int) -> list[int | None]:
    """Open sockets at once and be let in; return the close codes of those that were closed, None for the others."""
    async with AsyncExitStack() as stack, Api(served.url) as api:

        async def one() -> int | None:
            socket = await stack.enter_async_context(RawSocket.open(api))
            socket.tell({"type": "connection_init", "payload": {"Authorization": f"Bearer {person.token}"}})
            opcode, payload = await socket.frame()
            return None if opcode == 1 else int.from_bytes(payload[:2])

        return await asyncio.gather(*(one() for _ in range(count)))


async def test_a_user_has_at_most_so_many_sockets_however_they_are_opened(stack: StackProcess) -> None:
    async with local_api(stack, rate_limits="", sockets_per_user=5) as served, Api(served.url) as api:
        ann = await api.register()

        first = await tries(served, ann, 20)
        await until_empty(served.sockets.of_users)
        again = await tries(served, ann, 20)
        await until_empty(served.sockets.of_addresses)

    for closed in (first, again):
        assert closed.count(None) == 5
        assert closed.count(1013) == 15, "a client may come back when another has left"


async def test_an_address_has_at_most_so_many_sockets(stack: StackProcess) -> None:
    async with (
        local_api(stack, rate_limits="", sockets_per_address=3, trusted_proxies="127.0.0.1") as served,
        Api(served.url) as api,
        AsyncExitStack() as opened,
    ):
        ann = await api.register()
        for _ in range(3):
            await opened.enter_async_context(ann.socket())
        with pytest.raises(InvalidStatus) as refused:
            async with Socket.open(api, None):
                pass
        await opened.aclose()
        await until_empty(served.sockets.of_addresses)
        async with ann.socket():
            pass

    assert refused.value.response.status_code == 429
    assert int(refused.value.response.headers["retry-after"]) > 0


async def test_where_nothing_is_limited_nobody_is_counted(stack: StackProcess) -> None:
    async with local_api(stack, sockets_per_user=1, sockets_per_address=1) as served, Api(served.url) as api:
        ann = await api.register()
        async with ann.socket(), ann.socket():
            assert len(served.sockets.of_users) == len(served.sockets.of_addresses) == 0
