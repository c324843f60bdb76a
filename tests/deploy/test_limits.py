"""What nginx refuses, in the shape of the API's own errors, and whom that leaves alone."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.clients import Api, Json
from tests.deploy.nginx import Nginx

QUESTION = {"query": "{ __typename }"}
BODY_BYTES = 256 * 1024


@pytest.fixture
async def token(api: Api) -> str:
    return (await api.register()).token


def is_shaped(response: httpx.Response) -> bool:
    """Whether this is a 429 that a GraphQL client understands."""
    (error,) = response.json()["errors"]
    extensions = error["extensions"]
    return (
        response.status_code == 429
        and response.headers["content-type"] == "application/json"
        and response.headers["retry-after"] == "1"
        and len(response.headers["x-request-id"]) == 32
        and extensions == {"code": "RATE_LIMITED", "retryable": True, "retryAfterMs": 1000}
    )


async def answers(ask: Callable[[], Awaitable[httpx.Response]], count: int) -> list[httpx.Response]:
    return await asyncio.gather(*(ask() for _ in range(count)))


async def test_operations_of_one_address_are_limited_and_nobody_elses(api: Api, token: str, address: str) -> None:
    def ask(from_address: str) -> Awaitable[httpx.Response]:
        headers = {"authorization": f"Bearer {token}", "x-forwarded-for": from_address}
        return api.http.post(f"{api.url}/graphql", json=QUESTION, headers=headers)

    found = await answers(lambda: ask(address), 400)
    other = await ask("203.0.113.1")
    health = await api.http.get(f"{api.url}/health/live")

    refused = [response for response in found if response.status_code != 200]
    assert len(found) - len(refused) >= 100  # the burst
    assert refused
    assert all(map(is_shaped, refused))
    assert (other.status_code, health.status_code) == (200, 200)


async def test_who_has_no_token_may_ask_less_and_does_not_hinder_who_has_one(
    api: Api, token: str, address: str
) -> None:
    def sign_in(from_address: str, authorization: str | None = None) -> Awaitable[httpx.Response]:
        headers = {"x-forwarded-for": from_address} | ({"authorization": authorization} if authorization else {})
        return api.http.post(f"{api.url}/graphql", json=QUESTION, headers=headers)

    found = await answers(lambda: sign_in(address), 80)
    known, other = await sign_in(address, f"Bearer {token}"), await sign_in("203.0.113.2")
    page = await api.http.get(f"{api.url}/graphql", headers={"accept": "text/html"})

    statuses = Counter(response.status_code for response in found)
    assert statuses[200] >= 29  # the burst, and one that this test began with
    assert statuses[429] >= 20
    assert all(is_shaped(response) for response in found if response.status_code != 200)
    assert (known.status_code, other.status_code, page.status_code) == (200, 200, 200)


async def test_openings_of_sockets_are_limited_and_those_that_are_open_stay(api: Api, address: str) -> None:
    async def opened(from_address: str) -> int | httpx.Response:
        try:
            async with connect(
                api.socket_url,
                subprotocols=["graphql-transport-ws"],  # type: ignore[list-item]  # a NewType of str
                additional_headers={"x-forwarded-for": from_address},
            ):
                return 101
        except InvalidStatus as refused:
            response = refused.response
            return httpx.Response(
                response.status_code, headers=list(response.headers.raw_items()), content=bytes(response.body or b"")
            )

    ann = await api.register()
    conversation = await ann.talk()
    async with ann.socket() as socket:
        updates = await socket.updates(conversation["id"])
        await updates.until_caught_up()
        found = await asyncio.gather(*(opened(address) for _ in range(60)))
        other = await opened("203.0.113.3")
        await ann.send(conversation["id"], "still here")
        update = await updates.update()

    refused = [answer for answer in found if isinstance(answer, httpx.Response)]
    assert found.count(101) >= 21  # the burst and one
    assert len(refused) >= 10
    assert all(map(is_shaped, refused))
    assert other == 101
    assert update["message"]["body"] == "still here"


async def test_a_network_of_ipv6_is_one_client(api: Api) -> None:
    async def ask(from_address: str) -> int:
        headers = {"x-forwarded-for": from_address}
        return (await api.http.post(f"{api.url}/graphql", json=QUESTION, headers=headers)).status_code

    same = await asyncio.gather(*(ask(f"2001:db8:1:1::{number:x}") for number in range(1, 81)))
    others = await asyncio.gather(*(ask(f"2001:db8:2:{number:x}::1") for number in range(1, 41)))

    assert same.count(429) >= 20
    assert set(others) == {200}


async def test_who_is_no_trusted_proxy_cannot_make_up_addresses(nginx: Nginx) -> None:
    # 127.0.0.2 is not among those that nginx believes.
    transport = httpx.AsyncHTTPTransport(local_address="127.0.0.2")
    numbers = itertools.count(1)

    async with httpx.AsyncClient(transport=transport) as client:
        found = await answers(
            lambda: client.post(
                f"http://127.0.0.2:{nginx.port}/graphql",
                json=QUESTION,
                headers={"x-forwarded-for": f"192.0.2.{next(numbers)}"},
            ),
            80,
        )

    assert [response.status_code for response in found].count(429) >= 20


@pytest.mark.parametrize("chunked", [False, True])
async def test_what_is_too_large_is_refused_as_the_api_would(api: Api, chunked: bool) -> None:
    async def post(size: int) -> httpx.Response:
        head = b'{"query": "{ __typename }", "operationName": "'
        body = head + b"x" * (size - len(head) - 2) + b'"}'

        async def chunks() -> AsyncIterator[bytes]:
            yield body

        return await api.http.post(
            f"{api.url}/graphql", content=chunks() if chunked else body, headers={"content-type": "application/json"}
        )

    fits, large = await post(BODY_BYTES), await post(BODY_BYTES + 1)
    content: Json = large.json()

    assert fits.json()["errors"][0]["message"] == "No such operation."
    assert large.status_code == 413
    assert content["errors"][0]["extensions"] == {"code": "PAYLOAD_TOO_LARGE", "retryable": False}
    assert "retry-after" not in large.headers
