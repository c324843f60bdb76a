"""Bad input is refused as the contract and the semantics say; nothing is stored and nothing internal is shown."""

import base64
from collections.abc import Iterator

import jwt
import pytest

from services import ids
from tests.clients import ADD, CREATE, REGISTER, SEND, UPDATES, Api, Json, Person, Socket
from tests.stack_process import StackProcess, running_stack

PAGE = """query ($id: ID!, $first: Int, $after: String, $last: Int) { conversation(id: $id) {
  messages(first: $first, after: $after, last: $last) { nodes { body } } } }"""
UNKNOWN = "cnv_" + 26 * "0"


def code(response: Json) -> str:
    (error,) = response["errors"]
    return str(error["extensions"]["code"])


async def bodies(person: Person, conversation_id: str) -> list[str]:
    response = await person.post(PAGE, {"id": conversation_id, "first": 100})
    return [node["body"] for node in response["data"]["conversation"]["messages"]["nodes"]]


@pytest.mark.parametrize(
    "body",
    ["", "   \n\t", "x" * 10_001, "€" * 10_001, "𝄞" * 8_193, "nul\x00l"],
    ids=["empty", "white space", "long", "long in bytes", "8 193 of four bytes", "null character"],
)
async def test_a_body_that_cannot_be_stored_is_refused(api: Api, body: str) -> None:
    ann = await api.register()
    conversation = await ann.talk()

    payload = await ann.send(conversation["id"], body, "the-id")

    assert payload["message"] is None
    (error,) = payload["userErrors"]
    assert (error["code"], error["path"]) == ("INVALID_INPUT", ["input", "body"])
    assert await bodies(ann, conversation["id"]) == []
    assert (await ann.send(conversation["id"], "good", "the-id"))["message"]["body"] == "good"


async def test_the_longest_body_is_stored_as_nfc(api: Api) -> None:
    ann = await api.register()
    conversation = await ann.talk()

    payload = await ann.send(conversation["id"], "e\u0301" * 10_000)

    assert payload["message"]["body"] == "é" * 10_000


@pytest.mark.parametrize("client_id", ["", "x" * 65, "ü", "tab\t"])
async def test_a_client_id_that_is_none_is_refused(api: Api, client_id: str) -> None:
    ann = await api.register()
    conversation = await ann.talk()

    payload = await ann.mutate(SEND, conversationId=conversation["id"], body="hello", clientMessageId=client_id)

    assert payload["userErrors"][0]["path"] == ["input", "clientMessageId"]
    assert payload["userErrors"][0]["code"] == "INVALID_INPUT"


async def test_the_same_client_id_with_another_body_is_a_conflict(api: Api, other_api: Api) -> None:
    ann = await api.register()
    conversation = await ann.talk()
    await ann.send(conversation["id"], "first", "the-id")

    payload = await ann.at(other_api).send(conversation["id"], "second", "the-id")

    assert payload["message"] is None
    assert payload["userErrors"][0]["code"] == "CONFLICT"
    assert payload["userErrors"][0]["path"] == ["input", "clientMessageId"]
    assert await bodies(ann, conversation["id"]) == ["first"]


@pytest.mark.parametrize("conversation_id", [UNKNOWN, "", "cnv_", "not an id", "cnv_$where", "usr_" + UNKNOWN[4:]])
async def test_an_unknown_conversation_is_not_found_anywhere(api: Api, conversation_id: str) -> None:
    ann = await api.register()

    sent = await ann.send(conversation_id, "hello")
    added = await ann.mutate(ADD, conversationId=conversation_id, userIds=[])
    read = await ann.post("query ($id: ID!) { conversation(id: $id) { id } }", {"id": conversation_id})
    async with ann.socket() as socket:
        followed = await (await socket.updates(conversation_id)).message()

    for payload in (sent, added):
        assert payload["userErrors"][0]["code"] == "NOT_FOUND"
        assert payload["userErrors"][0]["path"] == ["input", "conversationId"]
    assert read["data"]["conversation"] is None
    assert followed["type"] == "error"
    assert followed["payload"][0]["extensions"]["code"] == "NOT_FOUND"


async def test_an_outsider_hears_what_everybody_hears_of_nothing(api: Api) -> None:
    ann, eve = await api.register(), await api.register()
    conversation = await ann.talk()
    sent = (await ann.send(conversation["id"], "secret"))["message"]

    missing = await eve.send(UNKNOWN, "hello")
    hidden = await eve.send(conversation["id"], "hello")
    nodes = await eve.post(
        "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": [conversation["id"], sent["id"], UNKNOWN]}
    )
    async with eve.socket() as socket:
        followed = [await (await socket.updates(id_)).message() for id_ in (conversation["id"], UNKNOWN)]

    assert hidden == missing
    assert nodes["data"]["nodes"] == [None, None, None]
    assert followed[0]["payload"] == followed[1]["payload"]


async def test_unknown_people_cannot_be_added(api: Api) -> None:
    ann = await api.register()
    conversation = await ann.talk()

    made = await ann.mutate(CREATE, memberIds=[ids.user()])
    added = await ann.mutate(ADD, conversationId=conversation["id"], userIds=["nobody"])

    assert (made["userErrors"][0]["code"], made["userErrors"][0]["path"]) == ("NOT_FOUND", ["input", "memberIds"])
    assert (added["userErrors"][0]["code"], added["userErrors"][0]["path"]) == ("NOT_FOUND", ["input", "userIds"])


@pytest.mark.parametrize("window", [{"first": 101}, {"first": -1}, {"last": 101}, {"first": 1, "last": 1}])
async def test_a_page_that_cannot_be_is_bad_input(api: Api, window: Json) -> None:
    ann = await api.register()
    conversation = await ann.talk()

    assert code(await ann.post(PAGE, {"id": conversation["id"], **window})) == "BAD_USER_INPUT"


@pytest.mark.parametrize("cursor", ["", "x", "é", "A" * 39, "A" * 64, "AQ" * 2_000])
async def test_a_malformed_cursor_is_bad_input(api: Api, cursor: str) -> None:
    ann = await api.register()
    conversation = await ann.talk()

    paged = await ann.post(PAGE, {"id": conversation["id"], "after": cursor})
    async with ann.socket() as socket:
        followed = await (await socket.updates(conversation["id"], cursor)).message()

    assert code(paged) == "BAD_USER_INPUT"
    assert followed["type"] == "error"
    assert followed["payload"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_a_cursor_of_another_conversation_is_bad_input(api: Api) -> None:
    ann = await api.register()
    one, other = await ann.talk(), await ann.talk()

    async with ann.socket() as socket:
        followed = await (await socket.updates(one["id"], other["cursor"])).message()

    assert followed["payload"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert code(await ann.post(PAGE, {"id": one["id"], "after": other["cursor"]})) == "BAD_USER_INPUT"


async def test_a_cursor_of_another_epoch_asks_to_read_again(api: Api) -> None:
    ann = await api.register()
    conversation = await ann.talk()
    packed = bytearray(base64.urlsafe_b64decode(conversation["cursor"] + "="))
    packed[20] ^= 1  # the last byte of the epoch
    cursor = base64.urlsafe_b64encode(packed).rstrip(b"=").decode()

    async with ann.socket() as socket:
        updates = await socket.updates(conversation["id"], cursor)
        first, second = await updates.update(), await updates.update()
        await ann.send(conversation["id"], "live")
        third = await updates.update()

    assert (first["__typename"], first["reason"]) == ("ResyncRequired", "EPOCH_CHANGED")
    assert first["cursor"] == second["cursor"] == conversation["cursor"]
    assert (second["__typename"], third["__typename"]) == ("CaughtUp", "MessageSent")


async def test_a_bad_token_refuses_the_whole_request_and_a_missing_one_the_fields_that_need_it(api: Api) -> None:
    query = "{ health { status } viewer { roles } }"

    bad = await api.post(query, token="bad")
    missing = await api.post(query)

    assert code(bad) == "UNAUTHENTICATED"
    assert "data" not in bad
    assert code(missing) == "UNAUTHENTICATED"
    assert (await api.post("{ health { status } }"))["data"]["health"]["status"] == "HEALTHY"


async def test_a_forged_token_is_refused_on_both_transports(api: Api) -> None:
    ann = await api.register()
    claims = jwt.decode(ann.token, options={"verify_signature": False})
    forged = jwt.encode(claims, "x" * 32, "HS256", headers={"kid": jwt.get_unverified_header(ann.token)["kid"]})

    response = await api.post("{ viewer { roles } }", token=forged)
    with pytest.raises(Exception, match="4403"):
        async with Socket.open(api, {"Authorization": f"Bearer {forged}"}):
            pass

    assert code(response) == "UNAUTHENTICATED"


async def test_a_socket_without_a_token_may_ask_for_health_only(api: Api) -> None:
    async with Socket.open(api, None) as socket:
        health = await (await socket.start("{ health { status } }")).message()
        viewer = await (await socket.start("{ viewer { roles } }")).message()
        register = await (await socket.start(REGISTER, {"input": {"handle": "x", "password": "y"}})).message()
        follow = await (await socket.start(UPDATES, {"id": UNKNOWN})).message()

    assert health["payload"]["data"]["health"]["status"] == "HEALTHY"
    for refused in (viewer, register, follow):
        assert refused["type"] == "error"
        assert refused["payload"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_one_bad_operation_leaves_the_others_of_its_socket(api: Api) -> None:
    ann = await api.register()
    conversation = await ann.talk()
    async with ann.socket() as socket:
        updates = await socket.updates(conversation["id"])
        await updates.until_caught_up()
        broken = await (await socket.start("{ not closed")).message()
        unknown = await (await socket.start("{ nothing }")).message()
        unfit = await (await socket.start(UPDATES, {"id": None})).message()
        await ann.send(conversation["id"], "still here")

        assert (await updates.update())["message"]["body"] == "still here"

    codes = [message["payload"][0]["extensions"]["code"] for message in (broken, unknown, unfit)]
    assert codes == ["GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED", "BAD_USER_INPUT"]


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b"1", 400),
        (b"null", 400),
        (b'{"query": 5}', 400),
        (b'{"query": "{ health { status } }", "variables": []}', 400),
        (b"[" * 100_000, 400),
        (b'{"query": "' + b"{a" * 20_000 + b'"}', 200),
        (b" " * 300_000, 413),
    ],
)
async def test_a_malformed_request_gets_a_coded_error(api: Api, content: bytes, status: int) -> None:
    response = await api.http.post(f"{api.url}/graphql", content=content, headers={"content-type": "application/json"})

    assert response.status_code == status
    assert response.json()["errors"][0]["extensions"]["code"]
    assert "Traceback" not in response.text


async def test_wrong_methods_and_types_are_told_apart(api: Api) -> None:
    url = f"{api.url}/graphql"

    plain = await api.http.post(url, content=b"{}", headers={"content-type": "text/plain"})
    mutation = await api.http.get(url, params={"query": "mutation { logout { sessionId } }"})
    query = await api.http.get(url, params={"query": "{ health { status } }"})
    strict = await api.http.post(
        url, json={"query": "{ nothing }"}, headers={"accept": "application/graphql-response+json"}
    )

    assert plain.status_code == 415
    assert (mutation.status_code, mutation.headers["allow"]) == (405, "POST")
    assert query.json() == {"data": {"health": {"status": "HEALTHY"}}}
    assert (strict.status_code, "data" in strict.json()) == (400, False)


@pytest.fixture(scope="module")
def short_lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    with running_stack(
        tmp_path_factory.mktemp("short"), replicas=1, environment={"PARLEY_ACCESS_TOKEN_SECONDS": "2"}
    ) as stack:
        yield stack


async def test_an_expired_token_is_refused_and_ends_its_socket(short_lived: StackProcess) -> None:
    async with Api(short_lived.urls[0]) as api:
        ann = await api.register()
        conversation = await ann.talk()
        async with ann.socket() as socket:
            updates = await socket.updates(conversation["id"])
            await updates.until_caught_up()

            end = await updates.message()
            response = await ann.post("{ viewer { roles } }")
        with pytest.raises(Exception, match="4403"):
            async with ann.socket():
                pass

    assert end == {"type": "closed", "code": 4403}
    assert code(response) == "TOKEN_EXPIRED"
