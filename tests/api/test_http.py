"""GraphQL over HTTP in every corner: media types, methods, statuses, and what caches may keep."""

from typing import Any

import httpx
import pytest

from parley.media_types import JSON_TYPE, RESPONSE_TYPE
from tests.clients import Api

SCHEMA = "{ __schema { queryType { name } } }"


async def get(api: Api, query: str, token: str | None = None, **headers: str) -> httpx.Response:
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await api.http.get(f"{api.url}/graphql", params={"query": query}, headers=named)


async def post(api: Api, content: Any, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await api.http.post(f"{api.url}/graphql", json=content, headers=named)


def code(response: httpx.Response) -> str:
    found: str = response.json()["errors"][0]["extensions"]["code"]
    return found


@pytest.mark.parametrize(
    ("query", "status", "expected"),
    [
        ("{", 400, "GRAPHQL_PARSE_FAILED"),
        ("{ nothing }", 400, "GRAPHQL_VALIDATION_FAILED"),
        ("query A { __typename } query B { __typename }", 400, "BAD_USER_INPUT"),
        ("query ($id: ID!) { node(id: $id) { id } }", 400, "BAD_USER_INPUT"),
        ("subscription { session { kind } }", 400, "BAD_USER_INPUT"),
    ],
)
async def test_what_is_wrong_before_it_runs_has_no_data(api: Api, query: str, status: int, expected: str) -> None:
    strict = await post(api, {"query": query}, accept=RESPONSE_TYPE)

    assert strict.status_code == status
    assert strict.headers["content-type"] == f"{RESPONSE_TYPE}; charset=utf-8"
    assert "data" not in strict.json()
    assert code(strict) == expected


async def test_an_answer_with_data_has_status_200_whatever_failed(api: Api) -> None:
    partly = await post(api, {"query": "{ health { status } viewer { roles } }"}, accept=RESPONSE_TYPE)

    assert partly.status_code == 200
    assert "data" in partly.json()
    assert code(partly) == "UNAUTHENTICATED"


async def test_what_cannot_be_answered_in_a_way_that_the_client_takes_is_406(api: Api) -> None:
    for accept in ("text/html;q=1", "text/event-stream", "application/json;q=0"):
        response = await post(api, {"query": "{ __typename }"}, accept=accept)

        assert (response.status_code, code(response)) == (406, "BAD_USER_INPUT")
        assert response.headers["content-type"] == f"{JSON_TYPE}; charset=utf-8"


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_another_method_is_405_with_those_that_there_are(api: Api, method: str) -> None:
    response = await api.http.request(method, f"{api.url}/graphql")

    assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD, POST")
    assert code(response) == "BAD_USER_INPUT"


async def test_a_mutation_by_get_is_405_and_does_nothing(api: Api) -> None:
    ann = await api.register()

    response = await get(api, "mutation { logout { sessionId } }", ann.token)

    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert "errors" not in await ann.post("{ viewer { roles } }")


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "multipart/form-data; boundary=x"},
        {"content-type": "application/json; charset=utf-16"},
        {"content-type": "application/json", "content-encoding": "gzip"},
        {},
    ],
)
async def test_a_body_that_is_not_plain_json_is_415(api: Api, headers: dict[str, str]) -> None:
    response = await api.http.post(f"{api.url}/graphql", content=b'{"query": "{ __typename }"}', headers=headers)

    assert (response.status_code, code(response)) == (415, "BAD_USER_INPUT")


async def test_a_body_over_256_kib_is_413_also_when_its_length_is_not_told(api: Api) -> None:
    async def endless() -> Any:
        for _ in range(80):
            yield b" " * 4096

    told = await post(api, {"query": "#" * 300_000})
    untold = await api.http.post(f"{api.url}/graphql", content=endless(), headers={"content-type": "application/json"})

    assert {(answer.status_code, code(answer)) for answer in (told, untold)} == {(413, "PAYLOAD_TOO_LARGE")}


@pytest.mark.parametrize(
    "url",
    [
        "?query={__typename}&variables=[",
        "?query={__typename}&variables=[]",
        "?query={__typename}&extensions=1",
        "?query={__typename}&query={__typename}",
        "?operationName=A",
        "",
    ],
)
async def test_a_url_that_is_no_request_is_400(api: Api, url: str) -> None:
    response = await api.http.get(f"{api.url}/graphql{url}", headers={"accept": RESPONSE_TYPE})

    assert (response.status_code, code(response)) == (400, "BAD_USER_INPUT")


async def test_a_bad_token_is_401_whatever_is_asked(api: Api) -> None:
    response = await get(api, "{ __typename }", token="none")

    assert (response.status_code, code(response)) == (401, "UNAUTHENTICATED")
    assert response.headers["www-authenticate"] == "Bearer"
    assert "data" not in response.json()


async def test_what_is_public_may_be_kept_and_is_not_sent_twice(api: Api) -> None:
    first = await get(api, SCHEMA)
    again = await get(api, SCHEMA, if_none_match=f'"other", W/{first.headers["etag"]}')
    other = await get(api, SCHEMA, if_none_match='"other"')
    strict = await get(api, SCHEMA, accept=RESPONSE_TYPE)

    assert first.headers["cache-control"] == "public, max-age=300"
    assert first.headers["surrogate-key"] == "parley schema"
    assert first.headers["vary"] == "Accept, Authorization"
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert (other.status_code, other.json()) == (200, first.json())
    assert strict.headers["etag"] != first.headers["etag"], "another representation"
    assert (await get(api, "{ health { status } }")).headers["cache-control"] == "public, max-age=5"


async def test_what_is_not_public_is_not_kept(api: Api) -> None:
    ann = await api.register()

    answers = [
        await get(api, "{ viewer { roles } }", ann.token),
        await get(api, SCHEMA, ann.token),
        await get(api, "{ __typename viewer { roles } }"),
        await get(api, "{ nothing }"),
        await post(api, {"query": SCHEMA}),
    ]

    for answer in answers:
        assert answer.headers["cache-control"] == "no-store"
        assert "etag" not in answer.headers


async def test_head_says_what_get_would_without_a_body(api: Api) -> None:
    full = await get(api, SCHEMA)

    head = await api.http.head(f"{api.url}/graphql", params={"query": SCHEMA})

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["etag"] == full.headers["etag"]
    assert head.headers["content-length"] == full.headers["content-length"]


async def test_a_browser_gets_graphiql_only_when_it_asks_for_nothing(api: Api) -> None:
    accept = "text/html,application/xhtml+xml,*/*;q=0.8"

    page = await api.http.get(f"{api.url}/graphql", headers={"accept": accept})
    answer = await get(api, "{ __typename }", accept=accept)

    assert not page.headers["content-type"].startswith(JSON_TYPE)
    assert answer.json() == {"data": {"__typename": "Query"}}
