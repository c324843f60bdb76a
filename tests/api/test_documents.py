"""Documents by their ids: trusted ones, and those that callers register."""

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from parley.asked import Asked
from parley.documents import LONGEST_REGISTERED, REGISTERED, Documents, Meant, digest, open_documents
from parley.execution import RequestRefused
from services.clock import now
from services.tokens import Claims
from services.users import Role
from tests.clients import Api, Json
from tests.local_api import local_api
from tests.stack_process import StackProcess

QUERY = "query Mine { viewer { roles } }"


def claims(*roles: Role) -> Claims:
    return Claims(user_id="usr_a", session_id="ses_a", roles=frozenset(roles), expires_at=now())


def apollo(text: str, *, version: int = 1, key: str | None = None) -> Json:
    return {"persistedQuery": {"version": version, "sha256Hash": key or hashlib.sha256(text.encode()).hexdigest()}}


async def ask(api: Api, token: str | None = None, **content: Any) -> Json:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    response = await api.http.post(f"{api.url}/graphql", json=content, headers=headers)
    found: Json = response.json()
    return found


def refusal(documents: Documents, asked: Asked, who: Claims | None = None) -> tuple[str, str]:
    with pytest.raises(RequestRefused) as refused:
        documents.meant(asked, who)
    (error,) = refused.value.errors
    return error["message"], error["extensions"]["code"]


async def test_apollo_registers_a_document_and_then_sends_its_hash_alone(api: Api) -> None:
    ann = await api.register()
    text = f"query Mine{ann.handle} {{ viewer {{ roles }} }}"

    unknown = await ask(api, ann.token, extensions=apollo(text))
    registering = await ask(api, ann.token, query=text, extensions=apollo(text))
    known = await ask(api, ann.token, extensions=apollo(text))
    by_get = await api.http.get(
        f"{api.url}/graphql",
        params={"extensions": json.dumps(apollo(text))},
        headers={"authorization": f"Bearer {ann.token}"},
    )
    by_id = await ask(api, ann.token, documentId=f"sha256:{digest(text)}")

    (error,) = unknown["errors"]
    assert (error["message"], error["extensions"]["code"]) == ("PersistedQueryNotFound", "PERSISTED_QUERY_NOT_FOUND")
    assert registering == known == by_get.json() == by_id == {"data": {"viewer": {"roles": ["USER"]}}}


async def test_a_socket_takes_documents_by_their_hashes_too(api: Api) -> None:
    ann = await api.register()
    text = f"query Mine{ann.handle} {{ viewer {{ roles }} }}"
    async with ann.socket() as socket:

        async def answer(operation_id: str, payload: Json) -> Json:
            socket._queues[operation_id] = asyncio.Queue()
            await socket.tell({"type": "subscribe", "id": operation_id, "payload": payload})
            message: Json = await socket._queues[operation_id].get()
            return message

        unknown = await answer("a", {"extensions": apollo(text)})
        registering = await answer("b", {"query": text, "extensions": apollo(text)})
        known = await answer("c", {"extensions": apollo(text)})
        by_id = await answer("d", {"documentId": digest(text)})

    assert unknown["payload"][0]["extensions"]["code"] == "PERSISTED_QUERY_NOT_FOUND"
    assert registering["payload"] == known["payload"] == by_id["payload"] == {"data": {"viewer": {"roles": ["USER"]}}}


async def test_who_is_not_signed_in_registers_nothing(api: Api) -> None:
    text = "query Public { health { status } }"

    answered = await ask(api, query=text, extensions=apollo(text))
    unknown = await ask(api, extensions=apollo(text))

    assert answered["data"]["health"]
    assert unknown["errors"][0]["extensions"]["code"] == "PERSISTED_QUERY_NOT_FOUND"


async def test_what_is_not_valid_is_not_registered(api: Api) -> None:
    ann = await api.register()
    text = "{ nothing }"

    first = await ask(api, ann.token, query=text, extensions=apollo(text))
    again = await ask(api, ann.token, extensions=apollo(text))

    assert first["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
    assert again["errors"][0]["extensions"]["code"] == "PERSISTED_QUERY_NOT_FOUND"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (Asked(QUERY, None, None, apollo("other")), "provided sha does not match query"),
        (Asked(QUERY, None, None, apollo(QUERY, version=2)), "Unsupported persisted query version"),
        (Asked(QUERY, None, None, {"persistedQuery": 1}), "must be an object"),
        (Asked(QUERY, None, None, {"persistedQuery": {"version": 1}}), "must be an object"),
        (Asked(QUERY, None, None, None, "sha256:a"), "not both"),
        (Asked(None, None, None, {"other": 1}), "`query` must be a string"),
    ],
)
def test_a_request_that_names_its_document_wrongly_is_refused(asked: Asked, message: str) -> None:
    found, code = refusal(Documents({}, trusted_only=False), asked, claims())

    assert message in found
    assert code == "BAD_USER_INPUT"


def test_registered_documents_are_bounded_and_those_used_longest_ago_go() -> None:
    documents = Documents({}, trusted_only=False)
    texts = [f"query N{number} {{ health {{ status }} }}" for number in range(REGISTERED + 1)]

    def register(text: str) -> None:
        documents.register(documents.meant(Asked(text, None, None, apollo(text)), claims()))

    for text in texts[:-1]:
        register(text)
    documents.meant(Asked(None, None, None, apollo(texts[0])), claims())
    register(texts[-1])
    long = "#" * (LONGEST_REGISTERED + 1)

    assert documents.meant(Asked(None, None, None, apollo(texts[0])), None) == Meant(texts[0])
    assert refusal(documents, Asked(None, None, None, apollo(texts[1])))[1] == "PERSISTED_QUERY_NOT_FOUND"
    assert documents.meant(Asked(long, None, None, apollo(long)), claims()).register_as is None


def test_where_only_trusted_documents_are_run_operators_may_try_others() -> None:
    documents = Documents({"mine": QUERY}, trusted_only=True)
    other = "{ health { status } }"

    assert documents.meant(Asked(QUERY, None, None), None).text == QUERY
    assert documents.meant(Asked(None, None, None, None, "mine"), None).text == QUERY
    assert documents.meant(Asked(None, None, None, None, f"sha256:{digest(QUERY)}"), None).text == QUERY
    assert refusal(documents, Asked(other, None, None), claims(Role.USER))[1] == "FORBIDDEN"
    assert refusal(documents, Asked(other, None, None, apollo(other)), claims())[1] == "FORBIDDEN"
    assert refusal(documents, Asked(None, None, None, apollo(other)), claims()) == (
        "PersistedQueryNotSupported",
        "PERSISTED_QUERY_NOT_SUPPORTED",
    )
    assert documents.meant(Asked(other, None, None), claims(Role.OPERATOR)).text == other


@pytest.mark.parametrize(
    "content",
    [
        [QUERY],
        {"mine": QUERY},
        {f"sha256:{digest(QUERY)}": QUERY},
        {
            "format": "apollo-persisted-query-manifest",
            "version": 1,
            "operations": [{"id": "mine", "name": "Mine", "type": "query", "body": QUERY}],
        },
    ],
)
def test_a_manifest_has_one_of_the_forms_that_tools_write(content: object, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps(content))

    documents = open_documents(tmp_path, manifest, trusted_only=True)

    assert documents.meant(Asked(None, None, None, apollo(QUERY)), None).text == QUERY


@pytest.mark.parametrize("content", ["", "5", "[5]", '{"a": 5}', "null"])
def test_a_manifest_that_cannot_be_read_stops_the_start(content: str, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.json"
    manifest.write_text(content)

    with pytest.raises(ValueError, match="manifest"):
        open_documents(tmp_path, manifest, trusted_only=True)


async def test_a_server_runs_what_an_operators_manifest_trusts_and_nothing_else(
    stack: StackProcess, tmp_path: Path
) -> None:
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps(["{ health { status } }"]))
    async with local_api(stack, documents_file=str(manifest), trusted_only="true") as local, Api(local.url) as api:
        trusted = await api.post("{ health { status } }")
        other = await api.post("{ health { version } }")

    assert trusted["data"]["health"]
    assert other["errors"][0]["extensions"]["code"] == "FORBIDDEN"
