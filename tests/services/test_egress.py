"""What users name is called only where it is public, whatever its name meant before."""

import socket
from collections.abc import AsyncIterator
from ipaddress import ip_network

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from parley.stack.stack import free_port
from services.egress import ANSWER_BYTES, Egress, RefusedAddressError

LOOPBACK = [ip_network("127.0.0.0/8")]


class Server:
    """Counts what comes to it."""

    def __init__(self) -> None:
        self.port = free_port()
        self.requests = 0

    async def answer(self, request: web.Request) -> web.Response:
        self.requests += 1
        match request.path:
            case "/redirect":
                raise web.HTTPTemporaryRedirect(f"http://127.0.0.1:{self.port}/elsewhere")
            case "/large":
                return web.Response(body=bytes(1_000 * ANSWER_BYTES))
            case "/busy":
                return web.Response(status=429, headers={"Retry-After": "7"})
        return web.Response(status=201)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server, app = Server(), web.Application()
    app.router.add_post("/{tail:.*}", server.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", server.port).start()
    yield server
    await runner.cleanup()


class Named(AbstractResolver):
    """A name server that says what it is told to say."""

    def __init__(self, address: str) -> None:
        self.address = address

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=self.address, port=port, family=family, proto=0, flags=0),
        ]

    async def close(self) -> None:
        pass


async def test_a_name_that_leads_inside_by_now_is_not_connected_to(server: Server) -> None:
    async with Egress(allows_http=True, resolver=Named("127.0.0.1")).running() as egress:
        with pytest.raises(OSError):  # noqa: PT011  # aiohttp words it
            await egress.post(f"http://harmless.example:{server.port}/", {}, b"")

    assert server.requests == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0x7f.1", "2130706433"])
async def test_no_way_to_write_this_machine_is_connected_to(server: Server, host: str) -> None:
    url = f"http://{host}:{server.port}/"
    async with Egress(allows_http=True).running() as egress:
        with pytest.raises(RefusedAddressError):
            await egress.check(url)
        with pytest.raises((OSError, ValueError)):
            await egress.post(url, {}, b"")

    assert server.requests == 0


async def test_http_is_refused_unless_it_was_allowed(server: Server) -> None:
    url = f"http://127.0.0.1:{server.port}/"
    async with Egress(networks=LOOPBACK).running() as egress:
        with pytest.raises(RefusedAddressError):
            await egress.check(url)
        with pytest.raises(OSError, match="scheme"):
            await egress.post(url, {}, b"")

    assert server.requests == 0


async def test_a_network_of_ones_own_is_connected_to(server: Server) -> None:
    async with Egress(networks=LOOPBACK, allows_http=True).running() as egress:
        await egress.check(f"http://127.0.0.1:{server.port}/")
        answer = await egress.post(f"http://127.0.0.1:{server.port}/", {}, b"")

    assert (answer.status, server.requests) == (201, 1)


async def test_no_redirect_is_followed_and_no_large_answer_is_read(server: Server) -> None:
    async with Egress(networks=LOOPBACK, allows_http=True).running() as egress:
        answers = [
            await egress.post(f"http://127.0.0.1:{server.port}/{path}", {}, b"")
            for path in ("redirect", "large", "busy")
        ]

    assert [answer.status for answer in answers] == [307, 200, 429]
    assert answers[2].retry_after_seconds == 7
    assert server.requests == 3


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "1.1.1.1"])
def test_public_addresses_are_allowed(address: str) -> None:
    assert Egress().allows(address)
