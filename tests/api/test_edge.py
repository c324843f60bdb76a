"""What browsers elsewhere, cookies, and addresses and operators in what clients write can do here: nothing."""

import asyncio

import pytest

from tests.clients import PROFILE, SEND, Api, Socket
from tests.local_api import local_api
from tests.raw_socket import RawSocket, request
from tests.stack_process import StackProcess

VIEWER = "{ viewer { user { id } } }"


async def test_a_cookie_signs_nobody_in(api: Api) -> None:
    ann = await api.register()
    cookie = f"token={ann.token}; authorization=Bearer {ann.token}; session={ann.token}"

    answer = await api.http.post(f"{api.url}/graphql", json={"query": VIEWER}, headers={"cookie": cookie})
    async with RawSocket.open(api, request(cookie=cookie)) as socket:
        await socket.enter()
        socket.tell({"id": "1", "type": "subscribe", "payload": {"query": VIEWER}})
        message = await socket.message()

    assert answer.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert message["payload"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert "set-cookie" not in answer.headers


async def test_only_allowed_origins_are_told_answers(stack: StackProcess) -> None:
    async with local_api(stack, allowed_origins="https://app.example") as served, Api(served.url) as api:
        for origin, expected in (("https://app.example", "https://app.example"), ("https://evil.example", None)):
            preflight = await api.http.options(
                f"{api.url}/graphql",
                headers={
                    "origin": origin,
                    "access-control-request-method": "POST",
                    "access-control-request-headers": "authorization,content-type",
                },
            )
            answer = await api.http.post(
                f"{api.url}/graphql", json={"query": "{ __typename }"}, headers={"origin": origin}
            )

            assert (preflight.status_code == 200) is (expected is not None)
            for response in (preflight, answer):
                assert response.headers.get("access-control-allow-origin") == expected
                assert "access-control-allow-credentials" not in response.headers


async def test_graphiql_is_there_where_the_schema_may_be_seen(api: Api, stack: StackProcess) -> None:
    accept = {"accept": "text/html"}
    shown = await api.http.get(f"{api.url}/graphql", headers=accept)
    async with local_api(stack, introspection=False) as served, Api(served.url) as closed:
        hidden = await closed.http.get(f"{closed.url}/graphql", headers=accept)

    assert "worker-src 'self'" in shown.headers["content-security-policy"] or shown.status_code == 503  # not built
    assert (hidden.status_code, hidden.headers["content-type"]) == (406, "application/json; charset=utf-8")


@pytest.mark.parametrize("scheme", ["https", "http"])
async def test_no_address_that_a_client_gives_is_asked_for(api: Api, scheme: str) -> None:
    asked: list[str] = []

    async def hear(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(str(writer.get_extra_info("peername")))
        writer.close()

    async with await asyncio.start_server(hear, "127.0.0.1", 0) as server:
        url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}/picture.png"
        ann = await api.register()
        conversation = await ann.talk()
        pictured = await ann.mutate(PROFILE, avatarUrl=url)
        sent = await ann.mutate(
            SEND,
            conversationId=conversation["id"],
            body=f"look at {url}",
            clientMessageId="the-id",
            attachments=[{"name": "a", "url": url, "mediaType": "image/png", "sizeBytes": 1}],
        )
        async with ann.socket() as socket:
            await (await socket.updates(conversation["id"], conversation["cursor"])).until_caught_up()

    assert asked == []
    assert (pictured["user"] is not None) is (scheme == "https")
    assert (sent["message"] is not None) is (scheme == "https")


async def test_operators_of_mongodb_in_values_are_values(api: Api) -> None:
    ann = await api.register()
    conversation = await ann.talk()
    login = "mutation ($h: String!, $p: String!) { login(input: {handle: $h, password: $p}) { accessToken } }"
    injection = '{"$ne": null}'

    body = (await ann.send(conversation["id"], injection, "$where"))["message"]
    objects = [
        await api.post(login, {"h": {"$ne": ""}, "p": {"$ne": ""}}),
        await ann.post("query ($id: ID!) { node(id: $id) { id } }", {"id": {"$gt": ""}}),
        await ann.post("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": [{"$regex": ".*"}]}),
    ]
    texts = [
        (await api.post(login, {"h": injection, "p": injection}))["data"]["login"]["accessToken"],
        (await ann.post("query ($h: String!) { userByHandle(handle: $h) { id } }", {"h": ".*"}))["data"][
            "userByHandle"
        ],
        (await ann.post('{ users(search: "..") { nodes { id } } }'))["data"]["users"]["nodes"],
    ]
    async with Socket.open(api, {"Authorization": f"Bearer {ann.token}"}) as socket:
        followed = await (await socket.updates('cnv_{"$ne":1}')).message()

    assert (body["body"], body["clientMessageId"]) == (injection, "$where")
    assert {error["extensions"]["code"] for answer in objects for error in answer["errors"]} == {"BAD_USER_INPUT"}
    assert texts == [None, None, []]
    assert followed["payload"][0]["extensions"]["code"] == "NOT_FOUND"
