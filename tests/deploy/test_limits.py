"""What nginx refuses, in the shape of the API's own errors, and whom that leaves alone."""

from collections import Counter
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.clients import Api, Json
from tests.deploy.nginx import Nginx
from tests.deploy.volley import opening, post, volley

QUESTION = b'{"query": "{ __typename }"}'
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


def statuses(responses: list[httpx.Response]) -> Counter[int]:
    return Counter(response.status_code for response in responses)


async def test_operations_of_one_address_are_limited_and_nobody_elses(api: Api, token: str, address: str) -> None:
    def ask(from_address: str) -> bytes:
        return post(QUESTION, authorization=f"Bearer {token}", x_forwarded_for=from_address)

    found = await volley(api.url, [ask(address)] * 250)
    (other,) = await volley(api.url, [ask("203.0.113.1")])
    health = await api.http.get(f"{api.url}/health/live")

    assert statuses(found)[200] >= 100  # the burst
    assert statuses(found)[429] >= 50
    assert all(is_shaped(response) for response in found if response.status_code != 200)
    assert (other.status_code, health.status_code) == (200, 200)


async def test_who_has_no_token_may_ask_less_and_does_not_hinder_who_has_one(
    api: Api, token: str, address: str
) -> None:
    found = await volley(api.url, [post(QUESTION, x_forwarded_for=address)] * 80)
    known, other = await volley(
        api.url,
        [
            post(QUESTION, authorization=f"Bearer {token}", x_forwarded_for=address),
            post(QUESTION, x_forwarded_for="203.0.113.2"),
        ],
    )
    page = await api.http.get(f"{api.url}/graphql", headers={"accept": "text/html"})

    assert statuses(found)[200] >= 29  # the burst, and what this test began with
    assert statuses(found)[429] >= 40
    assert all(is_shaped(response) for response in found if response.status_code != 200)
    assert (known.status_code, other.status_code, page.status_code) == (200, 200, 200)


async def test_openings_of_sockets_are_limited_and_those_that_are_open_stay(api: Api, address: str) -> None:
    ann = await api.register()
    conversation = await ann.talk()
    async with ann.socket() as socket:
        updates = await socket.updates(conversation["id"])
        await updates.until_caught_up()

        found = await volley(api.url, [opening(x_forwarded_for=address)] * 60)
        (other,) = await volley(api.url, [opening(x_forwarded_for="203.0.113.3")])
        await ann.send(conversation["id"], "still here")
        update = await updates.update()

    assert statuses(found)[101] >= 21  # the burst and one
    assert statuses(found)[429] >= 20
    assert all(is_shaped(response) for response in found if response.status_code != 101)
    assert other.status_code == 101
    assert update["message"]["body"] == "still here"


async def test_a_network_of_ipv6_is_one_client(api: Api) -> None:
    same = await volley(
        api.url, [post(QUESTION, x_forwarded_for=f"2001:db8:1:1::{number:x}") for number in range(1, 81)]
    )
    others = await volley(
        api.url, [post(QUESTION, x_forwarded_for=f"2001:db8:2:{number:x}::1") for number in range(1, 41)]
    )

    assert statuses(same)[429] >= 40
    assert statuses(others) == {200: 40}


async def test_who_is_no_trusted_proxy_cannot_make_up_addresses(nginx: Nginx) -> None:
    # 127.0.0.2 is not among those that nginx believes.
    found = await volley(
        f"http://127.0.0.2:{nginx.port}",
        [post(QUESTION, x_forwarded_for=f"192.0.2.{number}") for number in range(1, 81)],
        local_address="127.0.0.2",
    )

    assert statuses(found)[429] >= 40


@pytest.mark.parametrize("chunked", [False, True])
async def test_what_is_too_large_is_refused_as_the_api_would(api: Api, chunked: bool) -> None:
    async def send(size: int) -> httpx.Response:
        head = b'{"query": "{ __typename }", "operationName": "'
        body = head + b"x" * (size - len(head) - 2) + b'"}'

        async def chunks() -> AsyncIterator[bytes]:
            yield body

        return await api.http.post(
            f"{api.url}/graphql", content=chunks() if chunked else body, headers={"content-type": "application/json"}
        )

    fits, large = await send(BODY_BYTES), await send(BODY_BYTES + 1)
    content: Json = large.json()

    assert fits.json()["errors"][0]["message"] == "No such operation."
    assert large.status_code == 413
    assert content["errors"][0]["extensions"] == {"code": "PAYLOAD_TOO_LARGE", "retryable": False}
    assert "retry-after" not in large.headers
