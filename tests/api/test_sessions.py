"""Signing in, staying in and signing out, as front ends do."""

import jwt

from tests.clients import PASSWORD, REGISTER, Api, Json, Socket

LOGIN = """mutation ($input: LoginInput!) { login(input: $input) {
  user { handle } session { id device viewerIsCurrent } accessToken refreshToken userErrors { code message path } } }"""
REFRESH = """mutation ($input: RefreshSessionInput!) { refreshSession(input: $input) {
  session { id } accessToken refreshToken userErrors { code path } } }"""
LOGOUT = "mutation { logout { sessionId userErrors { code } } }"


async def test_a_token_serves_http_and_sockets_and_is_verified_by_the_published_key(api: Api) -> None:
    ann = await api.register()

    (key,) = (await api.http.get(f"{api.url}/.well-known/jwks.json")).json()["keys"]
    claims = jwt.decode(ann.token, jwt.PyJWK(key), algorithms=["EdDSA"], issuer="parley")
    over_http = await ann.post("{ viewer { user { id handle displayName } roles } }")
    async with Socket.open(api, {"authorization": f"bearer {ann.token}"}) as socket:
        over_socket = (await (await socket.start("{ viewer { user { id handle displayName } roles } }")).message())[
            "payload"
        ]

    assert jwt.get_unverified_header(ann.token)["kid"] == key["kid"]
    assert claims["sub"] == ann.id
    assert over_http == over_socket
    assert over_http["data"]["viewer"] == {
        "user": {"id": ann.id, "handle": ann.handle, "displayName": ann.handle},
        "roles": ["USER"],
    }


async def test_who_signs_in_again_gets_a_session_of_its_own(api: Api, other_api: Api) -> None:
    ann = await api.register()

    response = await other_api.post(
        LOGIN, {"input": {"handle": ann.handle.upper(), "password": PASSWORD, "device": "phone"}}
    )
    payload = response["data"]["login"]
    viewer = await other_api.post("{ viewer { user { id } } }", token=payload["accessToken"])

    assert payload["user"] == {"handle": ann.handle}
    assert payload["session"]["device"] == "phone"
    assert viewer["data"]["viewer"]["user"]["id"] == ann.id


async def test_a_wrong_password_and_an_unknown_handle_are_refused_alike(api: Api) -> None:
    ann = await api.register()

    answers = [
        await api.post(LOGIN, {"input": {"handle": handle, "password": "wrong password"}})
        for handle in (ann.handle, "nobody.at.all")
    ]

    assert answers[0] == answers[1]
    assert answers[0]["data"]["login"]["userErrors"][0]["code"] == "INVALID_CREDENTIALS"
    assert answers[0]["data"]["login"]["accessToken"] is None


async def test_a_taken_or_unfit_handle_is_refused(api: Api, other_api: Api) -> None:
    ann = await api.register()

    async def refusal(handle: str, password: str = PASSWORD) -> Json:
        response = await other_api.post(REGISTER, {"input": {"handle": handle, "password": password}})
        (error,) = response["data"]["register"]["userErrors"]
        found: Json = error
        return found

    taken, confusable, short = (
        await refusal(ann.handle),
        await refusal("\u0430d\u0430"),
        await refusal("ada_x", "short"),
    )

    assert (taken["code"], taken["path"]) == ("CONFLICT", ["input", "handle"])
    assert (confusable["code"], confusable["path"]) == ("INVALID_INPUT", ["input", "handle"])
    assert (short["code"], short["path"]) == ("INVALID_INPUT", ["input", "password"])


async def test_a_refresh_token_works_once_and_a_logout_ends_it(api: Api, other_api: Api) -> None:
    ann = await api.register()

    first = (await other_api.post(REFRESH, {"input": {"refreshToken": ann.refresh_token}}))["data"]["refreshSession"]
    ended = await other_api.post(LOGOUT, token=first["accessToken"])
    after = (await api.post(REFRESH, {"input": {"refreshToken": first["refreshToken"]}}))["data"]["refreshSession"]
    made_up = (await api.post(REFRESH, {"input": {"refreshToken": "made up"}}))["data"]["refreshSession"]

    assert first["refreshToken"] != ann.refresh_token
    assert ended["data"]["logout"] == {"sessionId": first["session"]["id"], "userErrors": []}
    for refused in (after, made_up):
        assert refused["accessToken"] is None
        assert refused["userErrors"] == [{"code": "INVALID_CREDENTIALS", "path": ["input", "refreshToken"]}]


async def test_a_node_is_shown_to_whom_it_belongs(api: Api) -> None:
    ann, eve = await api.register(), await api.register()
    conversation = await ann.talk()
    message = (await ann.send(conversation["id"], "hello"))["message"]
    session = jwt.decode(ann.token, options={"verify_signature": False})["sid"]
    query = "query ($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }"
    wanted = {"ids": [ann.id, conversation["id"], message["id"], session]}

    hers, others = await ann.post(query, wanted), await eve.post(query, wanted)
    malformed = await ann.post('{ node(id: "msg_1") { id } }')

    assert [node["__typename"] for node in hers["data"]["nodes"]] == ["User", "Conversation", "Message", "Session"]
    assert [node and node["__typename"] for node in others["data"]["nodes"]] == ["User", None, None, None]
    assert malformed["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_conversations_are_listed_the_newest_first(api: Api) -> None:
    ann = await api.register()
    made = [(await ann.talk())["id"] for _ in range(5)]
    query = """query ($first: Int, $after: String) { viewer { conversations(first: $first, after: $after) {
      nodes { id lastMessage { body } } pageInfo { endCursor hasNextPage hasPreviousPage } } } }"""

    first = (await ann.post(query, {"first": 3}))["data"]["viewer"]["conversations"]
    rest = (await ann.post(query, {"first": 3, "after": first["pageInfo"]["endCursor"]}))["data"]["viewer"][
        "conversations"
    ]

    assert [node["id"] for node in (*first["nodes"], *rest["nodes"])] == made[::-1]
    assert (first["pageInfo"]["hasNextPage"], first["pageInfo"]["hasPreviousPage"]) == (True, False)
    assert (rest["pageInfo"]["hasNextPage"], rest["pageInfo"]["hasPreviousPage"]) == (False, True)
