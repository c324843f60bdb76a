"""Signing in, staying in and signing out, as front ends do."""

import os
import subprocess
import sys
from pathlib import Path

import jwt

from tests.clients import PASSWORD, REGISTER, Api, Json, Person, Socket
from tests.stack_process import StackProcess

LOGIN = """mutation ($input: LoginInput!) { login(input: $input) {
  user { handle } session { id device viewerIsCurrent } accessToken refreshToken userErrors { code message path } } }"""
REFRESH = """mutation ($input: RefreshSessionInput!) { refreshSession(input: $input) {
  session { id } accessToken refreshToken userErrors { code path } } }"""
LOGOUT = "mutation { logout { sessionId userErrors { code } } }"
REVOKE = """mutation ($input: RevokeSessionInput!) { revokeSession(input: $input) {
  sessionId userErrors { code path } } }"""
CHANGE = """mutation ($input: ChangePasswordInput!) { changePassword(input: $input) {
  user { id } session { id viewerIsCurrent } accessToken refreshToken accessTokenExpiresAt
  userErrors { code path } } }"""
RESET = """mutation ($input: ResetPasswordInput!) { resetPassword(input: $input) {
  user { id } session { id device } accessToken refreshToken accessTokenExpiresAt userErrors { code path } } }"""
SESSIONS = "{ viewer { sessions { id device viewerIsCurrent } } }"
ANOTHER = "staple of another kind"


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


async def login(api: Api, handle: str, device: str | None = None, password: str = PASSWORD) -> Json:
    """Return the payload of a login."""
    response = await api.post(LOGIN, {"input": {"handle": handle, "password": password, "device": device}})
    payload: Json = response["data"]["login"]
    return payload


async def sessions_of(person: Person) -> list[Json]:
    found: list[Json] = (await person.post(SESSIONS))["data"]["viewer"]["sessions"]
    return found


async def can_refresh(api: Api, refresh_token: str) -> bool:
    response = await api.post(REFRESH, {"input": {"refreshToken": refresh_token}})
    return response["data"]["refreshSession"]["accessToken"] is not None


def session_id(token: str) -> str:
    found: str = jwt.decode(token, options={"verify_signature": False})["sid"]
    return found


async def test_the_viewer_sees_the_live_sessions_the_oldest_first(api: Api, other_api: Api) -> None:
    ann, eve = await api.register(), await api.register()
    phone, tablet = await login(other_api, ann.handle, "phone"), await login(api, ann.handle, "tablet")

    all_of_them = await sessions_of(ann)
    await other_api.post(LOGOUT, token=phone["accessToken"])
    left = (await other_api.post(SESSIONS, token=tablet["accessToken"]))["data"]["viewer"]["sessions"]

    assert all_of_them == [
        {"id": session_id(ann.token), "device": None, "viewerIsCurrent": True},
        {"id": phone["session"]["id"], "device": "phone", "viewerIsCurrent": False},
        {"id": tablet["session"]["id"], "device": "tablet", "viewerIsCurrent": False},
    ]
    assert [(session["device"], session["viewerIsCurrent"]) for session in left] == [(None, False), ("tablet", True)]
    assert len(await sessions_of(eve)) == 1


async def test_ones_own_sessions_are_revoked_and_nobody_elses(api: Api, other_api: Api) -> None:
    ann, eve = await api.register(), await api.register()
    phone = await login(api, ann.handle, "phone")
    revoked = phone["session"]["id"]

    answers = [await ann.at(each).mutate(REVOKE, sessionId=revoked) for each in (other_api, api)]
    refusals = [await ann.mutate(REVOKE, sessionId=id_) for id_ in (session_id(eve.token), f"{revoked[:-1]}!", "")]
    without_token = await api.post(REVOKE, {"input": {"sessionId": session_id(ann.token)}})

    assert answers == [{"sessionId": revoked, "userErrors": []}] * 2
    assert refusals == [
        {"sessionId": None, "userErrors": [{"code": "NOT_FOUND", "path": ["input", "sessionId"]}]}
    ] * len(refusals)
    assert without_token["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert [session["id"] for session in await sessions_of(ann)] == [session_id(ann.token)]
    assert not await can_refresh(api, phone["refreshToken"])
    assert await can_refresh(api, eve.refresh_token)


async def test_a_changed_password_leaves_one_session_with_new_tokens(api: Api, other_api: Api) -> None:
    ann = await api.register()
    phone = await login(other_api, ann.handle, "phone")

    changed = await ann.mutate(CHANGE, currentPassword=PASSWORD, newPassword=ANOTHER)

    assert changed["userErrors"] == []
    assert changed["user"] == {"id": ann.id}
    assert changed["session"] == {"id": session_id(ann.token), "viewerIsCurrent": True}
    assert session_id(changed["accessToken"]) == session_id(ann.token)
    assert [session["id"] for session in await sessions_of(ann)] == [session_id(ann.token)]
    assert not await can_refresh(other_api, phone["refreshToken"])
    assert not await can_refresh(other_api, ann.refresh_token)
    assert await can_refresh(other_api, changed["refreshToken"])
    assert (await login(other_api, ann.handle))["userErrors"][0]["code"] == "INVALID_CREDENTIALS"
    assert (await login(other_api, ann.handle, password=ANOTHER))["userErrors"] == []


async def test_a_password_is_not_changed_without_the_current_one_or_to_an_unfit_one(api: Api) -> None:
    ann = await api.register()
    phone = await login(api, ann.handle, "phone")

    wrong = await ann.mutate(CHANGE, currentPassword="wrong password", newPassword=ANOTHER)
    unfit = await ann.mutate(CHANGE, currentPassword=PASSWORD, newPassword="short")

    assert wrong["userErrors"] == [{"code": "INVALID_CREDENTIALS", "path": ["input", "currentPassword"]}]
    assert unfit["userErrors"] == [{"code": "INVALID_INPUT", "path": ["input", "newPassword"]}]
    assert wrong["accessToken"] is unfit["accessToken"] is None
    assert await can_refresh(api, phone["refreshToken"])
    assert (await login(api, ann.handle))["userErrors"] == []


def reset_link(*arguments: str, mongo_url: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run `parley user reset-link`."""
    environment = {name: value for name, value in os.environ.items() if name != "PARLEY_MONGO_URL"}
    if mongo_url is not None:
        environment["PARLEY_MONGO_URL"] = mongo_url
    return subprocess.run(
        [sys.executable, "-m", "parley", "user", "reset-link", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment,
    )


async def test_a_reset_link_sets_the_password_once_and_ends_every_session(
    api: Api, other_api: Api, stack: StackProcess
) -> None:
    ann = await api.register()
    phone = await login(api, ann.handle, "phone")
    done = reset_link(ann.handle.upper(), "--data", str(stack.directory))
    link, token = done.stdout.splitlines()

    unfit = await api.post(RESET, {"input": {"token": token, "newPassword": "short"}})
    fields = {"token": token, "newPassword": ANOTHER, "device": "new phone"}
    payload = (await other_api.post(RESET, {"input": fields}))["data"]["resetPassword"]
    again = await api.post(RESET, {"input": fields})
    made_up = await api.post(RESET, {"input": {"token": "made up", "newPassword": ANOTHER}})

    assert (done.returncode, done.stderr) == (0, "")
    assert link == f"{api.url}/reset?token={token}"
    assert unfit["data"]["resetPassword"]["userErrors"] == [{"code": "INVALID_INPUT", "path": ["input", "newPassword"]}]
    assert (payload["user"], payload["session"]["device"], payload["userErrors"]) == ({"id": ann.id}, "new phone", [])
    for refused in (again, made_up):
        assert refused["data"]["resetPassword"]["accessToken"] is None
        assert refused["data"]["resetPassword"]["userErrors"] == [
            {"code": "INVALID_CREDENTIALS", "path": ["input", "token"]}
        ]
    assert not await can_refresh(api, ann.refresh_token)
    assert not await can_refresh(api, phone["refreshToken"])
    assert await can_refresh(api, payload["refreshToken"])
    assert (await login(api, ann.handle, password=ANOTHER))["userErrors"] == []


async def test_a_reset_link_is_made_for_the_mongodb_that_the_environment_names(
    api: Api, stack: StackProcess, tmp_path: Path
) -> None:
    ann = await api.register()
    url = stack.run()["mongo"]["url"]

    done = reset_link(ann.handle, "--data", str(tmp_path), "--url", "https://chat.example/", mongo_url=url)
    link, token = done.stdout.splitlines()
    payload = (await api.post(RESET, {"input": {"token": token, "newPassword": ANOTHER}}))["data"]["resetPassword"]

    assert link == f"https://chat.example/reset?token={token}"
    assert payload["user"] == {"id": ann.id}


def test_no_reset_link_is_made_for_nobody_or_without_a_mongodb(stack: StackProcess, tmp_path: Path) -> None:
    for_nobody = reset_link("nobody.at.all", "--data", str(stack.directory))
    nowhere = reset_link("nobody.at.all", "--data", str(tmp_path))

    assert (for_nobody.returncode, for_nobody.stdout) == (1, "")
    assert for_nobody.stderr == "parley: Nobody has the handle 'nobody.at.all'.\n"
    assert (nowhere.returncode, nowhere.stdout) == (1, "")
    assert nowhere.stderr == f"parley: No Parley runs on {tmp_path}, and PARLEY_MONGO_URL is not set.\n"
