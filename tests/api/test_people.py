"""Profiles, looking people up, blocks, and what operators do to accounts."""

import asyncio
import os
import subprocess
import sys
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from services import ids
from services.config import Settings
from services.mongo import Database
from services.users import Users
from tests.api.test_messages import EDIT, said, seen
from tests.clients import ADD, BLOCK, CREATE, PASSWORD, PROFILE, UNBLOCK, Api, Json, Person
from tests.stack_process import StackProcess

USERS = """query ($search: String!, $first: Int, $after: String, $last: Int, $before: String) {
  users(search: $search, first: $first, after: $after, last: $last, before: $before) {
    nodes { handle } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""
BLOCKED = """query ($first: Int, $after: String) { viewer { blockedUsers(first: $first, after: $after) {
  nodes { id } pageInfo { hasNextPage endCursor } } } }"""
CAN_SEND = "query ($id: ID!) { conversation(id: $id) { viewerCanSend { allowed reason } } }"
LOGIN = """mutation ($input: LoginInput!) { login(input: $input) {
  accessToken userErrors { code message } } }"""
REFRESH = """mutation ($input: RefreshSessionInput!) { refreshSession(input: $input) {
  accessToken refreshToken userErrors { code } } }"""


def refusal(payload: Json) -> tuple[str, str]:
    """Return the code of a refusal, and the part of the input that it names."""
    (error,) = payload["userErrors"]
    return error["code"], error["path"][-1]


async def can_send(person: Person, conversation_id: str) -> Any:
    response = await person.post(CAN_SEND, {"id": conversation_id})
    return response["data"]["conversation"]["viewerCanSend"]


# ---------------------------------------------------------------- profiles


async def test_a_changed_profile_is_seen_on_the_other_process(api: Api, other_api: Api) -> None:
    ann, bob = await api.register(), await other_api.register()

    changed = await ann.mutate(PROFILE, displayName=" Ann Smith ", avatarUrl="https://example.org/ann.png?size=64")
    seen = await bob.post(
        "query ($handle: String!) { userByHandle(handle: $handle) { id displayName avatarUrl } }",
        {"handle": ann.handle},
    )

    assert changed["user"] == seen["data"]["userByHandle"]
    assert changed["user"] == {
        "id": ann.id,
        "displayName": "Ann Smith",
        "avatarUrl": "https://example.org/ann.png?size=64",
    }


async def test_what_is_left_out_of_a_profile_stays_and_null_takes_the_picture_away(api: Api) -> None:
    ann = await api.register()
    await ann.mutate(PROFILE, displayName="Ann", avatarUrl="https://example.org/ann.png", sharePresence=False)

    kept = await ann.mutate(PROFILE, displayName=None, sharePresence=None)
    taken_away = await ann.mutate(PROFILE, avatarUrl=None)

    assert (kept["user"]["displayName"], kept["user"]["avatarUrl"]) == ("Ann", "https://example.org/ann.png")
    assert (taken_away["user"]["displayName"], taken_away["user"]["avatarUrl"]) == ("Ann", None)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://example.org/a.png",
        "https://",
        "https:///a.png",
        "https://example.org:0/a.png",
        "https://example.org:99999/",
        "https://ann:secret@example.org/",
        "https://[::1/",
        "https://example.org/a b",
        "https://example.org/\n",
        "javascript:alert(1)",
        "//example.org/a.png",
        "https://example.org/" + "a" * 2_029,
    ],
)
async def test_a_picture_that_is_no_https_address_is_refused(api: Api, url: str) -> None:
    ann = await api.register()

    assert refusal(await ann.mutate(PROFILE, avatarUrl=url)) == ("INVALID_INPUT", "avatarUrl")


async def test_a_picture_has_an_address_of_up_to_2048_characters(api: Api) -> None:
    ann = await api.register()
    url = "https://example.org/" + "a" * 2_028

    assert (await ann.mutate(PROFILE, avatarUrl=url))["user"]["avatarUrl"] == url


@pytest.mark.parametrize("name", ["", " ", "x" * 65, "a\u202eb"])
async def test_a_display_name_that_cannot_be_shown_is_refused(api: Api, name: str) -> None:
    ann = await api.register()

    assert refusal(await ann.mutate(PROFILE, displayName=name)) == ("INVALID_INPUT", "displayName")


# ---------------------------------------------------------------- looking people up


async def test_people_are_found_by_how_their_handles_begin(api: Api, other_api: Api) -> None:
    prefix = uuid.uuid4().hex[:12]
    for ending in ("", ".a", "_b", "1", "z"):
        ann = await api.register(prefix + ending)
    await api.register(f"{prefix[:-1]}~{prefix[-1]}".replace("~", "_"))  # begins otherwise

    async def page(search: str = prefix, **window: object) -> tuple[list[str], Json]:
        response = await ann.at(other_api).post(USERS, {"search": search, **window})
        users = response["data"]["users"]
        return [user["handle"].removeprefix(prefix) for user in users["nodes"]], users["pageInfo"]

    whole, _ = await page(prefix.upper())
    first, info = await page(first=2)
    second, info = await page(first=3, after=info["endCursor"])
    back, back_info = await page(last=2, before=info["startCursor"])

    assert whole == ["", ".a", "1", "_b", "z"]
    assert (first, second, back) == (["", ".a"], ["1", "_b", "z"], ["", ".a"])
    assert (info["hasNextPage"], info["hasPreviousPage"]) == (False, True)
    assert (back_info["hasNextPage"], back_info["hasPreviousPage"]) == (True, False)


async def test_a_search_that_fits_no_handle_finds_nobody(api: Api) -> None:
    ann = await api.register()

    for search in ("no such handle", "éé", "x" * 33, f"{ann.handle}$"):
        response = await ann.post(USERS, {"search": search})
        assert response["data"]["users"]["nodes"] == []


@pytest.mark.parametrize(
    ("search", "window"), [("", {}), ("a", {}), ("ab", {"first": 101}), ("ab", {"after": "x"}), ("ab", {"before": ""})]
)
async def test_a_search_that_cannot_be_is_bad_input(api: Api, search: str, window: Json) -> None:
    ann = await api.register()

    (error,) = (await ann.post(USERS, {"search": search, **window}))["errors"]

    assert error["extensions"]["code"] == "BAD_USER_INPUT"


async def test_only_who_is_signed_in_looks_people_up(api: Api) -> None:
    (error,) = (await api.post(USERS, {"search": "ann"}))["errors"]

    assert error["extensions"]["code"] == "UNAUTHENTICATED"


# ---------------------------------------------------------------- blocks


async def test_whoever_is_blocked_cannot_write_in_the_direct_conversation_until_that_ends(
    api: Api, other_api: Api
) -> None:
    ann, bob = await api.register(), await other_api.register()
    conversation = await ann.talk(bob, kind="DIRECT")
    early = await bob.send(conversation["id"], "before", "the-id")

    blocked = [await ann.mutate(BLOCK, userId=bob.id) for _ in range(2)]
    refused = await bob.send(conversation["id"], "hello")
    permission = await can_send(bob, conversation["id"])
    retried = await bob.send(conversation["id"], "before", "the-id")
    hers = await ann.send(conversation["id"], "I can")
    asked_again = await bob.talk(ann, kind="DIRECT")
    unblocked = [await ann.mutate(UNBLOCK, userId=bob.id) for _ in range(2)]
    sent = await bob.send(conversation["id"], "after")

    assert [payload["user"] for payload in (*blocked, *unblocked)] == [{"id": bob.id}] * 4
    assert refusal(refused) == ("FORBIDDEN", "conversationId")
    assert permission == {"allowed": False, "reason": "You cannot write to this person."}
    assert retried["message"]["id"] == early["message"]["id"]
    assert asked_again["id"] == conversation["id"]
    assert (hers["userErrors"], sent["userErrors"]) == ([], [])
    assert (await can_send(bob, conversation["id"]))["allowed"]


async def test_whoever_is_blocked_can_edit_nothing_there_and_is_told_so(api: Api, other_api: Api) -> None:
    ann, bob = await api.register(), await other_api.register()
    direct, group = await ann.talk(bob, kind="DIRECT"), await ann.talk(bob)
    messages = [await said(bob, conversation) for conversation in (direct, group)]
    await ann.mutate(BLOCK, userId=bob.id)

    shown = [(await seen(bob, message))["viewerCanEdit"] for message in messages]
    payload = await bob.mutate(EDIT, messageId=messages[0]["id"], body="another")
    await ann.mutate(UNBLOCK, userId=bob.id)

    assert shown == [False, True]
    assert refusal(payload) == ("FORBIDDEN", "messageId")
    assert (await seen(bob, messages[0]))["viewerCanEdit"]


async def test_whoever_blocked_somebody_is_as_good_as_missing_to_them(api: Api, other_api: Api) -> None:
    ann, bob, cleo = await api.register(), await other_api.register(), await api.register()
    conversation = await bob.talk()
    await ann.mutate(BLOCK, userId=bob.id)

    async def tries(user_id: str) -> list[Json]:
        return [
            await bob.mutate(CREATE, kind="DIRECT", memberIds=[user_id]),
            await bob.mutate(CREATE, kind="GROUP", memberIds=[cleo.id, user_id]),
            await bob.mutate(ADD, conversationId=conversation["id"], userIds=[cleo.id, user_id]),
        ]

    assert await tries(ann.id) == await tries(ids.user())
    assert {refusal(payload)[0] for payload in await tries(ann.id)} == {"NOT_FOUND"}
    assert (await ann.mutate(CREATE, kind="DIRECT", memberIds=[bob.id]))["userErrors"] == []


async def test_a_block_changes_nothing_in_a_group(api: Api) -> None:
    ann, bob = await api.register(), await api.register()
    conversation = await ann.talk(bob)
    await ann.mutate(BLOCK, userId=bob.id)

    assert (await bob.send(conversation["id"], "hello"))["userErrors"] == []


async def test_a_creation_that_is_retried_after_a_block_returns_what_was_made(api: Api) -> None:
    ann, bob = await api.register(), await api.register()
    fields = {"memberIds": [ann.id], "clientConversationId": "mine"}
    made = await bob.mutate(CREATE, **fields)
    await ann.mutate(BLOCK, userId=bob.id)

    assert (await bob.mutate(CREATE, **fields))["conversation"]["id"] == made["conversation"]["id"]


async def test_the_blocked_are_listed_page_by_page_and_only_to_who_blocked_them(api: Api, other_api: Api) -> None:
    ann, bob = await api.register(), await api.register()
    others = sorted([(await api.register()).id for _ in range(3)])
    for other in others:
        await ann.mutate(BLOCK, userId=other)

    first = (await ann.at(other_api).post(BLOCKED, {"first": 2}))["data"]["viewer"]["blockedUsers"]
    rest = (await ann.post(BLOCKED, {"first": 2, "after": first["pageInfo"]["endCursor"]}))["data"]["viewer"]
    his = (await bob.post(BLOCKED))["data"]["viewer"]["blockedUsers"]

    assert [user["id"] for user in first["nodes"] + rest["blockedUsers"]["nodes"]] == others
    assert (first["pageInfo"]["hasNextPage"], rest["blockedUsers"]["pageInfo"]["hasNextPage"]) == (True, False)
    assert his["nodes"] == []


async def test_nobody_blocks_themselves_or_whoever_does_not_exist(api: Api) -> None:
    ann = await api.register()
    conversation = await ann.talk()

    assert refusal(await ann.mutate(BLOCK, userId=ann.id)) == ("INVALID_INPUT", "userId")
    for user_id in (ids.user(), conversation["id"], "", "nobody"):
        for query in (BLOCK, UNBLOCK):
            assert refusal(await ann.mutate(query, userId=user_id)) == ("NOT_FOUND", "userId")


# ---------------------------------------------------------------- operators


def parley_user(*arguments: str, data: Path) -> subprocess.CompletedProcess[str]:
    """Run `parley user …` on a data directory."""
    return parley_command("user", *arguments, data=data)


def parley_command(*arguments: str, data: Path) -> subprocess.CompletedProcess[str]:
    """Run a command on a data directory."""
    environment = {name: value for name, value in os.environ.items() if name != "PARLEY_MONGO_URL"}
    return subprocess.run(
        [sys.executable, "-m", "parley", *arguments, "--data", str(data)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment,
    )


async def test_a_suspended_account_cannot_do_anything_sign_in_or_be_found_until_it_is_restored(
    api: Api, other_api: Api, stack: StackProcess
) -> None:
    ann, bob = await api.register(), await other_api.register()
    conversation = await ann.talk(bob)

    async def login() -> Json:
        response = await api.post(LOGIN, {"input": {"handle": ann.handle, "password": PASSWORD}})
        payload: Json = response["data"]["login"]
        return payload

    async def found() -> list[Json]:
        response = await bob.post(USERS, {"search": ann.handle, "first": 1})
        nodes: list[Json] = response["data"]["users"]["nodes"]
        return nodes

    suspended = parley_user("suspend", ann.handle.upper(), data=stack.directory)
    for person in (ann, ann.at(other_api)):
        async with asyncio.timeout(30):
            while "errors" not in (response := await person.post(CAN_SEND, {"id": conversation["id"]})):
                pass
        assert response["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    refreshed = (await api.post(REFRESH, {"input": {"refreshToken": ann.refresh_token}}))["data"]["refreshSession"]
    refused, hidden = await login(), await found()
    restored = parley_user("restore", ann.handle, data=stack.directory)
    again = await login()
    old = await ann.post(CAN_SEND, {"id": conversation["id"]})
    back = replace(ann, token=again["accessToken"])
    await until_sending(back, conversation["id"], allowed=True)

    assert (suspended.returncode, suspended.stderr, restored.returncode, restored.stderr) == (0, "", 0, "")
    assert refreshed["userErrors"][0]["code"] == "INVALID_CREDENTIALS"
    assert refused["userErrors"] == [{"code": "FORBIDDEN", "message": "This account is suspended."}]
    assert (hidden, await found()) == ([], [{"handle": ann.handle}])
    assert again["userErrors"] == []
    assert old["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert (await back.send(conversation["id"], "again"))["userErrors"] == []


async def until_sending(person: Person, conversation_id: str, *, allowed: bool) -> None:
    """Wait until what each process remembers of the account has gone."""
    async with asyncio.timeout(30):
        while (await can_send(person, conversation_id))["allowed"] is not allowed:
            pass


async def test_a_suspended_account_cannot_send_even_with_a_token_that_is_good(
    api: Api, other_api: Api, stack: StackProcess
) -> None:
    ann, bob = await api.register(), await other_api.register()
    conversation = await ann.talk(bob)
    database = Database(
        Settings(mongo_url=stack.url("mongo"), redis_url="", kafka_url="", embedded=True, data=stack.directory)
    )

    await Users(database).set_suspended(ann.id, datetime.now(UTC))
    database.close()
    for person in (ann, ann.at(other_api)):
        await until_sending(person, conversation["id"], allowed=False)
    sent = [await person.send(conversation["id"], "hello") for person in (ann, ann.at(other_api))]

    assert [refusal(payload) for payload in sent] == [("FORBIDDEN", "conversationId")] * 2


async def test_a_role_comes_with_the_next_renewal_of_the_tokens(api: Api, stack: StackProcess) -> None:
    ann = await api.register()

    async def roles_after(role: str, refresh_token: str) -> tuple[list[str], str]:
        assert parley_user("promote", ann.handle, role, data=stack.directory).returncode == 0
        response = await api.post(REFRESH, {"input": {"refreshToken": refresh_token}})
        payload = response["data"]["refreshSession"]
        viewer = await api.post("{ viewer { roles } }", token=payload["accessToken"])
        return viewer["data"]["viewer"]["roles"], payload["refreshToken"]

    admin, token = await roles_after("admin", ann.refresh_token)
    operator, token = await roles_after("OPERATOR", token)
    plain, _ = await roles_after("USER", token)

    assert [set(roles) for roles in (admin, operator, plain)] == [{"USER", "ADMIN"}, {"USER", "OPERATOR"}, {"USER"}]


def test_what_cannot_be_done_to_an_account_is_said(stack: StackProcess) -> None:
    commands = (["suspend", "nobody.at.all"], ["restore", "nobody.at.all"], ["promote", "nobody.at.all", "ADMIN"])
    for command in commands:
        done = parley_user(*command, data=stack.directory)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "parley: Nobody has the handle 'nobody.at.all'.\n"

    assert parley_user("promote", "nobody.at.all", "KING", data=stack.directory).returncode == 2
