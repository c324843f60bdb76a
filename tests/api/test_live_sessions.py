"""Whoever may no longer is refused everywhere within the bound, on what is open and on what is new."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Self

import orjson
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.api.test_sessions import ANOTHER, CHANGE, LOGIN, LOGOUT, REFRESH, RESET, REVOKE, reset_link, session_id
from tests.api.test_typing import TYPING, type_
from tests.api.test_typing import until as shows
from tests.clients import ANSWER_SECONDS, INBOX, PASSWORD, REMOVE, SEND, Api, Json, Person, Running, Socket
from tests.local_api import local_api
from tests.raw_socket import RawSocket
from tests.stack_process import StackProcess

WITHIN_SECONDS = 1.0  # from the answer of what ended the session
GRACE_SECONDS = 5.0  # for which a socket outlives its token
LATE_SECONDS = 1.5  # a sweeper's tick, a clock's second, and a busy machine
SESSION = "subscription { session { kind expiresAt } }"
VIEWER = "{ viewer { user { id } } }"
REVOKED = {"kind": "REVOKED", "expiresAt": None}


async def login(person: Person, password: str = PASSWORD) -> Person:
    """Return the same person with another session."""
    response = await person.api.post(LOGIN, {"input": {"handle": person.handle, "password": password}})
    payload = response["data"]["login"]
    return replace(person, token=payload["accessToken"], refresh_token=payload["refreshToken"])


async def renewed(person: Person) -> Person:
    """Return the same person with the next tokens of the session."""
    response = await person.api.post(REFRESH, {"input": {"refreshToken": person.refresh_token}})
    payload = response["data"]["refreshSession"]
    return replace(person, token=payload["accessToken"], refresh_token=payload["refreshToken"])


async def code_over_http(api: Api, token: str) -> str | None:
    """Return the code with which a request is refused; None when it is answered."""
    response = await api.post(VIEWER, token=token)
    return response["errors"][0]["extensions"]["code"] if "errors" in response else None


async def code_of_new_socket(api: Api, token: str) -> int | None:
    """Return the code with which a new socket is closed; None when it is let in."""
    async with connect(api.socket_url, subprotocols=["graphql-transport-ws"]) as raw:  # type: ignore[list-item]
        init = {"type": "connection_init", "payload": {"Authorization": f"Bearer {token}"}}
        await raw.send(orjson.dumps(init).decode())
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await raw.recv()
        except ConnectionClosed:
            return raw.close_code
    return None


@dataclass(frozen=True, slots=True)
class Open:
    """A socket of a session, with its own end and a conversation followed."""

    person: Person
    session: Running
    updates: Running

    @classmethod
    @asynccontextmanager
    async def at(cls, person: Person, conversation_id: str) -> AsyncIterator[Self]:
        async with person.socket() as socket:
            session, updates = await socket.start(SESSION), await socket.updates(conversation_id)
            await updates.until_caught_up()
            yield cls(person, session, updates)

    async def notices(self) -> list[Json]:
        """Return what was said of the session from now until the socket was closed."""
        return [message async for message in messages(self.session)]

    async def is_refused(self) -> None:
        """Wait until requests, new sockets and this one are refused."""
        token, api = self.person.token, self.person.api

        async def requests() -> None:
            while await code_over_http(api, token) != "UNAUTHENTICATED":
                pass

        async def new_sockets() -> None:
            while await code_of_new_socket(api, token) != 4403:
                pass

        async def this_one() -> None:
            async for message in messages(self.updates):
                assert message["type"] != "error"

        async with asyncio.timeout(ANSWER_SECONDS):
            await asyncio.gather(requests(), new_sockets(), this_one())


async def messages(running: Running) -> AsyncIterator[Json]:
    """Yield what comes until the socket was closed, which is for the session's sake."""
    while (message := await running.message())["type"] != "closed":
        yield message
    assert message["code"] == 4403


@asynccontextmanager
async def opened(person: Person, apis: tuple[Api, Api], conversation_id: str) -> AsyncIterator[tuple[Open, Open]]:
    one, two = (Open.at(person.at(api), conversation_id) for api in apis)
    async with one as first, two as second:
        yield first, second


type End = Callable[[Person, Person, StackProcess], Awaitable[object]]


async def _logout(person: Person, _other: Person, _stack: StackProcess) -> None:
    assert (await person.post(LOGOUT))["data"]["logout"]["userErrors"] == []


async def _revoke(person: Person, other: Person, _stack: StackProcess) -> None:
    assert (await other.mutate(REVOKE, sessionId=session_id(person.token)))["userErrors"] == []


async def _change_password(_person: Person, other: Person, _stack: StackProcess) -> None:
    changed = await other.mutate(CHANGE, currentPassword=PASSWORD, newPassword=ANOTHER)
    assert changed["userErrors"] == []


async def _reset_password(person: Person, _other: Person, stack: StackProcess) -> None:
    done = await asyncio.to_thread(reset_link, person.handle, "--data", str(stack.directory))
    fields = {"token": done.stdout.splitlines()[-1], "newPassword": ANOTHER}
    response = await person.api.post(RESET, {"input": fields})
    assert response["data"]["resetPassword"]["userErrors"] == []


async def _reuse(person: Person, _other: Person, _stack: StackProcess) -> None:
    token = person.refresh_token
    for _ in range(2):  # the second replaces the first's successor, so the first is a stranger's
        response = await person.api.post(REFRESH, {"input": {"refreshToken": token}})
        token = response["data"]["refreshSession"]["refreshToken"]
    response = await person.api.post(REFRESH, {"input": {"refreshToken": person.refresh_token}})
    assert response["data"]["refreshSession"]["userErrors"][0]["code"] == "INVALID_CREDENTIALS"


async def _suspend(person: Person, _other: Person, stack: StackProcess) -> None:
    command = [sys.executable, "-m", "parley", "user", "suspend", person.handle, "--data", str(stack.directory)]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True, timeout=60)


@pytest.mark.parametrize(
    ("end", "is_other_refused"),
    [
        (_logout, False),
        (_revoke, False),
        (_change_password, False),
        (_reset_password, True),
        (_reuse, False),
        (_suspend, True),
    ],
)
async def test_an_ended_session_is_refused_on_both_processes_within_a_second(
    api: Api, other_api: Api, stack: StackProcess, end: End, is_other_refused: bool
) -> None:
    ann, bob = await api.register(), await api.register()
    conversation = (await ann.talk(bob))["id"]
    other = await login(ann)
    async with opened(ann, (api, other_api), conversation) as both:
        await end(ann, other, stack)
        began = time.monotonic()
        await asyncio.gather(*(each.is_refused() for each in both))
        seconds = time.monotonic() - began
        await bob.send(conversation, "not for ann")
        notices = await asyncio.gather(*(each.notices() for each in both))

    assert seconds < WITHIN_SECONDS
    for heard in notices:
        assert [message["type"] for message in heard] == ["next", "complete"]
        assert heard[0]["payload"]["data"]["session"] == REVOKED
    for each in (api, other_api):
        assert await code_over_http(each, other.token) == ("UNAUTHENTICATED" if is_other_refused else None)


async def test_a_session_that_ends_leaves_the_others_of_the_account_open(api: Api, other_api: Api) -> None:
    ann, bob = await api.register(), await api.register()
    conversation = (await ann.talk(bob))["id"]
    phone = await login(ann)
    async with (
        opened(phone, (api, other_api), conversation) as ended,
        opened(ann, (api, other_api), conversation) as kept,
    ):
        await _revoke(phone, ann, None)  # type: ignore[arg-type]  # it needs no stack
        await asyncio.gather(*(each.is_refused() for each in ended))
        await bob.send(conversation, "for ann")
        updates = [await each.updates.update() for each in kept]

    assert [update["message"]["body"] for update in updates] == ["for ann", "for ann"]


async def test_a_logout_over_a_socket_is_answered_before_it_closes_and_told_to_the_others_alone(
    api: Api, other_api: Api
) -> None:
    ann = await api.register()
    conversation = (await ann.talk())["id"]
    async with opened(ann, (api, other_api), conversation) as (here, there):
        answer = await (await here.session.socket.start(LOGOUT)).message()
        heard_here, heard_there = await here.notices(), await there.notices()

    assert answer["payload"]["data"]["logout"] == {"sessionId": session_id(ann.token), "userErrors": []}
    assert heard_here == []
    assert [message["type"] for message in heard_there] == ["next", "complete"]


async def until_end(running: Running) -> AsyncIterator[Json]:
    """Yield what comes until the operation has ended, and its end."""
    while True:
        message = await running.message()
        yield message
        if message["type"] != "next":
            return


async def test_who_is_removed_from_a_conversation_gets_nothing_more_of_it(api: Api, other_api: Api) -> None:
    ann, bob, eve = [await api.register() for _ in range(3)]
    conversation, other = [(await ann.talk(bob, eve))["id"] for _ in range(2)]
    async with opened(bob, (api, other_api), conversation) as both:
        inboxes = [await each.session.socket.start(INBOX) for each in both]
        for inbox in inboxes:
            for _ in (conversation, other):
                await inbox.until_caught_up()
        typing = [await each.session.socket.start(TYPING, {"id": conversation}) for each in both]
        await type_(eve, conversation)
        for each in typing:
            await shows(each, eve)
        removed = await ann.mutate(REMOVE, conversationId=conversation, userId=bob.id)
        await ann.send(conversation, "not for bob")
        await type_(ann, conversation)
        await ann.send(other, "for bob")
        updates = [[await each.updates.message() for _ in range(2)] for each in both]
        in_inboxes = [[await inbox.update() for _ in range(2)] for inbox in inboxes]
        of_typing = [[message async for message in until_end(each)] for each in typing]
        again = [await (await each.session.socket.updates(conversation)).message() for each in both]
        sends = [await bob.at(each).send(conversation, "still here?") for each in (api, other_api)]

    assert removed["userErrors"] == []
    for last, end in updates:
        assert last["payload"]["data"]["conversationUpdates"]["userId"] == bob.id
        assert end["type"] == "complete"
    for last, after in in_inboxes:
        assert (last["__typename"], last["userId"], last["conversationId"]) == ("MemberRemoved", bob.id, conversation)
        assert (after["conversationId"], after["message"]["body"]) == (other, "for bob")
    for *shown, end in of_typing:
        assert end["type"] == "complete"
        assert ann.id not in str(shown)
    assert [message["payload"][0]["extensions"]["code"] for message in again] == ["NOT_FOUND"] * 2
    assert [payload["userErrors"][0]["code"] for payload in sends] == ["NOT_FOUND"] * 2


async def test_an_expired_token_is_refused_and_its_sockets_are_closed_after_the_grace(
    api: Api, other_api: Api, stack: StackProcess
) -> None:
    bob = await api.register()
    async with local_api(stack, access_token_seconds=4) as brief, Api(brief.url) as near:
        ann = await near.register()
        conversation = (await bob.talk(ann))["id"]
        async with opened(ann, (api, other_api), conversation) as both:
            notices = [await each.session.any_update() for each in both]
            end = datetime.fromisoformat(notices[0]["expiresAt"])
            talking = asyncio.create_task(talk_on(bob, conversation))
            rest = await asyncio.gather(*(each.notices() for each in both))
            late = (datetime.now(UTC) - end).total_seconds() - GRACE_SECONDS
            talking.cancel()
            bodies = [await heard(each.updates) for each in both]
            codes = [await code_over_http(each, ann.token) for each in (api, other_api)]
            new = [await code_of_new_socket(each, ann.token) for each in (api, other_api)]

    latest = (end + timedelta(seconds=GRACE_SECONDS + LATE_SECONDS)).isoformat()
    assert all(bodies)  # they got what was said until then
    assert all(body < latest for each in bodies for body in each)
    assert [notice["kind"] for notice in notices] == ["EXPIRING", "EXPIRING"]
    assert rest == [[], []]
    assert 0 <= late < LATE_SECONDS
    assert codes == ["TOKEN_EXPIRED"] * 2
    assert new == [4403] * 2


async def talk_on(person: Person, conversation_id: str) -> None:
    """Say what time it is, again and again."""
    while True:
        await person.send(conversation_id, datetime.now(UTC).isoformat())


async def heard(running: Running) -> list[str]:
    """Return what was said to a subscriber until its socket was closed."""
    return [
        message["payload"]["data"]["conversationUpdates"]["message"]["body"]
        async for message in messages(running)
        if message["payload"]["data"]["conversationUpdates"]["__typename"] == "MessageSent"
    ]


async def test_a_minute_before_each_end_of_the_token_the_client_is_told(stack: StackProcess) -> None:
    async with local_api(stack, access_token_seconds=62) as local, Api(local.url) as api:
        ann = await api.register()
        left: list[float] = []
        ends: list[datetime] = []
        async with ann.socket() as socket:
            running, token = await socket.start(SESSION), ann.refresh_token
            for _ in range(3):
                notice = await running.any_update()
                ends.append(datetime.fromisoformat(notice["expiresAt"]))
                left.append((ends[-1] - datetime.now(UTC)).total_seconds())
                renewed = await over_socket(socket, REFRESH, refreshToken=token)
                token = renewed["refreshToken"]

    assert ends == sorted(set(ends))
    assert all(60 - LATE_SECONDS < seconds <= 60 for seconds in left)


async def over_socket(socket: Socket, mutation: str, **fields: object) -> Json:
    """Return the payload of a mutation that is sent over a socket."""
    message = await (await socket.start(mutation, {"input": fields})).message()
    (payload,) = message["payload"]["data"].values()
    assert payload["userErrors"] == [], payload
    content: Json = payload
    return content


async def test_a_renewal_moves_the_end_of_its_own_sessions_socket_alone(stack: StackProcess) -> None:
    async with AsyncExitStack() as opened_:
        local = await opened_.enter_async_context(local_api(stack, access_token_seconds=4))
        api = await opened_.enter_async_context(Api(local.url))
        ann, eve = await api.register(), await api.register()
        idle, renewing, stranger = [await opened_.enter_async_context(ann.socket()) for _ in range(3)]
        phone = await login(ann)

        async def renew() -> None:
            running, token = await renewing.start(SESSION), ann.refresh_token
            while True:
                await running.any_update()
                token = (await over_socket(renewing, REFRESH, refreshToken=token))["refreshToken"]

        for other in (phone, eve):
            await over_socket(stranger, REFRESH, refreshToken=other.refresh_token)
        going_on = asyncio.create_task(renew())
        opened_.callback(going_on.cancel)
        closed = [await (await each.start(SESSION)).message() for each in (idle, stranger)]
        ends = [datetime.fromisoformat(each["payload"]["data"]["session"]["expiresAt"]) for each in closed]
        for each in (idle, stranger):
            async with asyncio.timeout(ANSWER_SECONDS):
                await each.raw.wait_closed()
        codes = [each.raw.close_code for each in (idle, stranger)]
        answer = await (await renewing.start(VIEWER)).message()

    assert ends[0] == ends[1] < datetime.now(UTC)
    assert codes == [4403, 4403]
    assert answer["payload"]["data"]["viewer"]["user"]["id"] == ann.id


async def test_a_renewal_at_the_very_end_is_answered_or_can_be_repeated(stack: StackProcess) -> None:
    async def renew(person: Person, seconds: float) -> str:
        """Renew over a socket that many seconds after it should close; return what came of it."""
        person = await renewed(person)
        async with person.socket() as socket:
            notice = await (await socket.start(SESSION)).any_update()
            end = datetime.fromisoformat(notice["expiresAt"]).timestamp() + GRACE_SECONDS
            await asyncio.sleep(end + seconds - time.time())
            try:
                running = await socket.start(REFRESH, {"input": {"refreshToken": person.refresh_token}})
                answer = await running.message()
            except ConnectionClosed:
                answer = {"type": "closed", "code": socket.raw.close_code}
            if answer["type"] == "next":
                assert answer["payload"]["data"]["refreshSession"]["userErrors"] == []
                viewer = await (await socket.start(VIEWER)).message()
                assert viewer["payload"]["data"]["viewer"]["user"]["id"] == person.id
                return "answered"
        assert answer == {"type": "closed", "code": 4403}
        response = await person.api.post(REFRESH, {"input": {"refreshToken": person.refresh_token}})
        assert response["data"]["refreshSession"]["userErrors"] == []
        return "repeated"

    async with local_api(stack, access_token_seconds=4) as local, Api(local.url) as api:
        ann = await api.register()
        offsets = [-1.0, *(number / 20 for number in range(-4, 8)), 1.0]
        people = [await login(ann) for _ in offsets]
        outcomes = await asyncio.gather(*map(renew, people, offsets))

    assert outcomes[0] == "answered"
    assert outcomes[-1] == "repeated"


async def test_sockets_that_open_while_their_session_ends_do_not_stay(api: Api, other_api: Api) -> None:
    ann = await api.register()
    phone = await login(ann)
    closed: list[int | None] = []

    async def stay(at: Api) -> None:
        """Open a socket, and stay until it is closed."""
        async with connect(at.socket_url, subprotocols=["graphql-transport-ws"]) as raw:  # type: ignore[list-item]
            init = {"type": "connection_init", "payload": {"Authorization": f"Bearer {phone.token}"}}
            await raw.send(orjson.dumps(init).decode())
            await raw.wait_closed()
            closed.append(raw.close_code)

    async with asyncio.timeout(ANSWER_SECONDS), asyncio.TaskGroup() as tasks:
        for number in range(40):
            tasks.create_task(stay((api, other_api)[number % 2]))
            await asyncio.sleep(0)  # they open one after the other
            if number == 20:
                tasks.create_task(_revoke(phone, ann, None))  # type: ignore[arg-type]  # it needs no stack

    assert closed == [4403] * 40


async def test_a_change_of_the_password_over_a_socket_renews_it_and_ends_the_other_sessions_socket(
    api: Api, other_api: Api
) -> None:
    ann = await api.register()
    phone = await login(ann.at(other_api))
    conversation = (await ann.talk())["id"]
    async with Open.at(ann, conversation) as here, Open.at(phone, conversation) as there:
        changed = await over_socket(here.session.socket, CHANGE, currentPassword=PASSWORD, newPassword=ANOTHER)
        await there.is_refused()
        answer = await (await here.session.socket.start(VIEWER)).message()

    assert answer["payload"]["data"]["viewer"]["user"]["id"] == ann.id
    assert await code_over_http(other_api, changed["accessToken"]) is None


async def test_a_changed_password_moves_the_end_of_the_callers_socket(stack: StackProcess) -> None:
    async with local_api(stack, access_token_seconds=30) as local, Api(local.url) as api:
        ann = await api.register()
        async with ann.socket() as socket:
            running = await socket.start(SESSION)
            first = await running.any_update()
            changed = await over_socket(socket, CHANGE, currentPassword=PASSWORD, newPassword=ANOTHER)
            second = await running.any_update()

    assert second == {"kind": "EXPIRING", "expiresAt": changed["accessTokenExpiresAt"]}
    assert second["expiresAt"] >= first["expiresAt"]


async def test_only_who_is_signed_in_follows_a_session(api: Api) -> None:
    async with Socket.open(api, None) as socket:
        message = await (await socket.start(SESSION)).message()

    assert message["type"] == "error"
    assert message["payload"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_following_a_session_keeps_no_task_and_ends_when_the_client_says_so(stack: StackProcess) -> None:
    async with local_api(stack, access_token_seconds=30) as local, Api(local.url) as api:
        ann = await api.register()
        async with RawSocket.open(api) as raw:
            await raw.enter(ann.token)
            for number in range(20):
                raw.tell({"id": f"{number}", "type": "subscribe", "payload": {"query": SESSION}})
            heard = [(await raw.message())["id"] for _ in range(20)]
            tasks = set(local.sockets.tasks._running)
            for number in range(20):
                raw.tell({"id": f"{number}", "type": "complete"})
            refresh = {"query": REFRESH, "variables": {"input": {"refreshToken": ann.refresh_token}}}
            raw.tell({"id": "renewal", "type": "subscribe", "payload": refresh})
            answered = [(await raw.message())["type"] for _ in range(2)]
            told = await told_anew(raw)

    assert heard == [f"{number}" for number in range(20)]
    assert tasks == set()
    assert answered == ["next", "complete"]
    assert told == ["again"]


async def told_anew(raw: RawSocket) -> list[str]:
    """Follow the session anew; return which operations were told of the end of the token, up to this one."""
    raw.tell({"id": "again", "type": "subscribe", "payload": {"query": SESSION}})
    told: list[str] = []
    while "again" not in told:
        told.append((await raw.message())["id"])
    return told


async def test_an_answer_on_the_way_when_a_session_ends_is_the_last(api: Api) -> None:
    ann = await api.register()
    conversation = (await ann.talk())["id"]
    phone = await login(ann)
    async with phone.socket() as socket:

        async def go_on_sending() -> str:
            number = 0
            while True:
                number += 1
                fields = {"conversationId": conversation, "body": "hello", "clientMessageId": f"{number}"}
                try:
                    running = await socket.start(SEND, {"input": fields})
                except ConnectionClosed:
                    return "closed"
                if (await running.message())["type"] == "closed":
                    return "closed"
                await running.message()

        sending = asyncio.create_task(go_on_sending())
        await _revoke(phone, ann, None)  # type: ignore[arg-type]  # it needs no stack
        began = time.monotonic()
        async with asyncio.timeout(ANSWER_SECONDS):
            ended = await sending
        seconds = time.monotonic() - began

    assert ended == "closed"
    assert seconds < WITHIN_SECONDS
    assert socket.raw.close_code == 4403
