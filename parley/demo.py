"""Fills a running Parley with people who talk, over the public API; what is there already stays as it is.

Only the door is another one on this machine's own stack: from one address the API lets five people in in 15 minutes.
"""

import asyncio
import random
import urllib.error
import urllib.request
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from parley.demo_script import EMOJI, PEOPLE, SMALL_TALK, TALKS, Line, Talk
from services.clock import now
from services.config import Settings
from services.errors import InvalidCredentials, UserError
from services.services import open_services

PASSWORD = "come in and talk"  # noqa: S105  # printed for everybody
SUFFIX = ".demo"  # so that no real person's handle is taken
ANSWER_SECONDS = 30.0
RETRIES = 6  # of an answer that says it may be repeated
LIVE_PEOPLE = 5
PAUSE_SECONDS = (4.0, 14.0)  # between two messages of --live
WRITING_SECONDS = (1.5, 4.0)
RECONNECT_SECONDS = 2.0
REACTS, ANSWERS = 0.35, 0.2  # how often a message is reacted to, and how often one quotes another

_ERRORS = "userErrors { code message path }"
_TOKENS = f"user {{ id }} accessToken refreshToken {_ERRORS}"
_REGISTER = f"mutation ($input: RegisterInput!) {{ payload: register(input: $input) {{ {_TOKENS} }} }}"
_LOGIN = f"mutation ($input: LoginInput!) {{ payload: login(input: $input) {{ {_TOKENS} }} }}"
_REFRESH = f"mutation ($input: RefreshSessionInput!) {{ payload: refreshSession(input: $input) {{ {_TOKENS} }} }}"
_CREATE = f"""mutation ($input: CreateConversationInput!) {{
  payload: createConversation(input: $input) {{ conversation {{ id }} {_ERRORS} }} }}"""
_MESSAGE = "message { id sequence version pinnedAt deletedAt reactions { emoji users { id } } }"
_SEND = f"mutation ($input: SendMessageInput!) {{ payload: sendMessage(input: $input) {{ {_MESSAGE} {_ERRORS} }} }}"
_EDIT = f"mutation ($input: EditMessageInput!) {{ payload: editMessage(input: $input) {{ {_ERRORS} }} }}"
_PIN = f"mutation ($input: PinMessageInput!) {{ payload: pinMessage(input: $input) {{ {_ERRORS} }} }}"
_REACT = f"mutation ($input: AddReactionInput!) {{ payload: addReaction(input: $input) {{ {_ERRORS} }} }}"
_READ = f"mutation ($input: MarkReadInput!) {{ payload: markRead(input: $input) {{ {_ERRORS} }} }}"
_TYPE = f"mutation ($input: SetTypingInput!) {{ payload: setTyping(input: $input) {{ {_ERRORS} }} }}"
_INBOX = """subscription { inboxUpdates {
  ... on MessageSent { conversationId sequence actor { id } message { id } } } }"""

type Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """What somebody has who is signed in."""

    user_id: str
    access_token: str
    refresh_token: str


type SignIn = Callable[[str, str], Awaitable[Entry]]  # called with a handle and a name; the first time it signs up


class DemoError(Exception):
    """The demo cannot go on; says why, for whoever runs it."""


class Api:
    """Asks the API over HTTP. urllib is enough for a client that asks one thing after the other."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    @property
    def socket_url(self) -> str:
        return self.url.replace("http", "ws", 1) + "/graphql"

    async def ask(self, query: str, variables: Json, token: str | None = None) -> Json:
        """Return the response; whatever may be repeated has been.

        Raises:
            DemoError: there is no Parley at this address, or it is too busy.
        """
        for attempt in range(RETRIES):
            response = await asyncio.to_thread(self._post, query, variables, token)
            problems = [
                *response.get("errors", ()),
                *((response.get("data") or {}).get("payload") or {}).get("userErrors", ()),
            ]
            waits = [_wait_seconds(problem, attempt) for problem in problems]
            if not waits or None in waits:
                return response
            if max(filter(None, waits)) > ANSWER_SECONDS:
                break
            await asyncio.sleep(max(filter(None, waits)))
        raise DemoError(
            "Parley limits how fast people may sign up and write; for the demo start it with PARLEY_RATE_LIMITS=off."
            if problems and _code(problems[0]) == "RATE_LIMITED"
            else f"Parley at {self.url} is too busy."
        )

    def _post(self, query: str, variables: Json, token: str | None) -> Json:
        headers = {"content-type": "application/json"}
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        body = orjson.dumps({"query": query, "variables": variables})
        request = urllib.request.Request(f"{self.url}/graphql", body, headers)  # noqa: S310  # the caller's own address
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:  # noqa: S310
                content: Json = orjson.loads(answer.read())
        except urllib.error.HTTPError as refusal:
            with refusal:
                content = orjson.loads(refusal.read())
        except (OSError, ValueError) as error:
            raise DemoError(f"No Parley answers at {self.url}.") from error
        return content


def _code(problem: Json) -> str | None:
    code: str | None = problem.get("code") or problem.get("extensions", {}).get("code")
    return code


def _wait_seconds(problem: Json, attempt: int) -> float | None:
    """Return when to ask again; None where that is of no use."""
    extensions = problem.get("extensions", {})
    if _code(problem) != "RATE_LIMITED" and not extensions.get("retryable"):
        return None
    after_ms = extensions.get("retryAfterMs") or problem.get("retryAfterMs") or 250 * 2**attempt
    return float(after_ms) / 1_000


def through(api: Api) -> SignIn:
    """Return how people sign in over the API."""

    async def sign_in(handle: str, name: str) -> Entry:
        fields = {"handle": handle, "password": PASSWORD, "device": "Demo"}
        payload = (await api.ask(_LOGIN, {"input": fields}))["data"]["payload"]
        if payload["accessToken"] is None:
            fields["displayName"] = name
            payload = (await api.ask(_REGISTER, {"input": fields}))["data"]["payload"]
        if payload["accessToken"] is None:
            raise DemoError(f"@{handle} cannot sign in: {payload['userErrors'][0]['message']}")
        return Entry(payload["user"]["id"], payload["accessToken"], payload["refreshToken"])

    return sign_in


@asynccontextmanager
async def beside(settings: Settings) -> AsyncIterator[SignIn]:
    """Let people sign in as at another process of the stack, whose own door counts nobody."""
    async with open_services(settings) as services:

        async def sign_in(handle: str, name: str) -> Entry:
            try:
                try:
                    entered = await services.sessions.login(handle=handle, password=PASSWORD, device="Demo", now=now())
                except InvalidCredentials:
                    entered = await services.sessions.register(
                        handle=handle, password=PASSWORD, display_name=name, device="Demo", now=now()
                    )
            except UserError as refused:
                raise DemoError(f"@{handle} cannot sign in: {refused.message}") from refused
            return Entry(entered.user.id, entered.access_token, entered.refresh_token)

        yield sign_in


@dataclass(slots=True)
class Person:
    """Somebody of the demo, signed in."""

    api: Api
    key: str
    id: str
    token: str
    refresh_token: str
    _renewing: asyncio.Lock = field(default_factory=asyncio.Lock)

    @classmethod
    async def enter(cls, api: Api, key: str, sign_in: SignIn) -> "Person":
        """Sign in, or sign up the first time.

        Raises:
            DemoError: the handle is somebody else's.
        """
        entry = await sign_in(key + SUFFIX, PEOPLE[key])
        return cls(api, key, entry.user_id, entry.access_token, entry.refresh_token)

    async def do(self, mutation: str, **fields: object) -> Json:
        """Return the payload of a mutation.

        Raises:
            DemoError: it was refused.
        """
        token = self.token
        response = await self.api.ask(mutation, {"input": fields}, token)
        if any(_code(error) == "TOKEN_EXPIRED" for error in response.get("errors", ())):
            async with self._renewing:  # a refresh token is good for one use
                if self.token == token:
                    await self._renew()
            response = await self.api.ask(mutation, {"input": fields}, self.token)
        problems = response.get("errors") or response["data"]["payload"]["userErrors"]
        if problems:
            raise DemoError(f"@{self.key}{SUFFIX} was refused: {problems[0]['message']}")
        payload: Json = response["data"]["payload"]
        return payload

    async def _renew(self) -> None:
        renewed = await self.api.ask(_REFRESH, {"input": {"refreshToken": self.refresh_token}})
        payload = renewed["data"]["payload"]
        if payload["accessToken"] is None:
            raise DemoError("A session of the demo was ended.")
        self.token, self.refresh_token = payload["accessToken"], payload["refreshToken"]


@dataclass(frozen=True, slots=True)
class Room:
    """A conversation that has been filled."""

    id: str
    talk: Talk


async def fill(api: Api, say: Callable[[str], None], sign_in: SignIn) -> tuple[dict[str, Person], list[Room]]:
    """Sign everybody up and let them say what is in the script; what was done before is not done again.

    Raises:
        DemoError: the API refused, or does not answer.
    """
    people = {key: await Person.enter(api, key, sign_in) for key in PEOPLE}
    rooms = [await _play(talk, people) for talk in TALKS]
    width = max(map(len, PEOPLE)) + len(SUFFIX) + 2
    lines = [f"{'@' + key + SUFFIX:{width}} {name}" for key, name in PEOPLE.items()]
    say("\n".join([*lines, "", f"Everybody's password: {PASSWORD}", f"Sign in at {api.url}/"]))
    return people, rooms


async def _play(talk: Talk, people: dict[str, Person]) -> Room:
    owner, *others = talk.people
    created = await people[owner].do(
        _CREATE,
        kind=talk.kind,
        memberIds=[people[other].id for other in others],
        **({"title": talk.title, "clientConversationId": f"demo-{talk.key}"} if talk.title else {}),
    )
    room = Room(created["conversation"]["id"], talk)
    messages: list[Json] = []
    for index, line in enumerate(talk.lines):
        quoted = {} if line.answers is None else {"replyToId": messages[line.answers]["id"]}
        sent = await people[line.who].do(
            _SEND, conversationId=room.id, body=line.text, clientMessageId=f"demo-{index}", **quoted
        )
        messages.append(sent["message"])
    for line, message in zip(talk.lines, messages, strict=True):
        if message["deletedAt"] is None:  # whoever tried the demo may have deleted some
            await _change(line, message, people)
    for key in talk.people:
        seen = messages[-3 if key in talk.unread_by else -1]
        await people[key].do(_READ, conversationId=room.id, upToSequence=seen["sequence"])
    return room


async def _change(line: Line, message: Json, people: dict[str, Person]) -> None:
    if line.becomes is not None and message["version"] == 1:
        await people[line.who].do(_EDIT, messageId=message["id"], body=line.becomes, expectedVersion=1)
    if line.pinned_by is not None and message["pinnedAt"] is None:
        await people[line.pinned_by].do(_PIN, messageId=message["id"])
    there = {(group["emoji"], user["id"]) for group in message["reactions"] for user in group["users"]}
    for emoji, keys in line.reactions.items():
        for key in keys:
            if (emoji, people[key].id) not in there:
                await people[key].do(_REACT, messageId=message["id"], emoji=emoji)


async def run(url: str, *, live: bool, say: Callable[[str], None], settings: Settings | None = None) -> None:
    """Fill a Parley; then, if wanted, let some people go on talking for ever.

    Args:
        url: The API's.
        live: Whether they go on talking.
        say: Tells whoever runs it.
        settings: Those of the stack, where it is this machine's own.

    Raises:
        DemoError: the API refused, or does not answer.
    """
    api = Api(url)
    if settings is None:
        people, rooms = await fill(api, say, through(api))
    else:
        async with beside(settings) as sign_in:
            people, rooms = await fill(api, say, sign_in)
    if live:
        say("They go on talking. Ctrl-C ends it.")
        await _talk_on(list(people.values()), rooms)


async def _talk_on(people: Sequence[Person], rooms: Sequence[Room]) -> None:
    awake = people[:LIVE_PEOPLE]
    async with asyncio.TaskGroup() as tasks:
        for person in awake:
            tasks.create_task(_listen(person))
        while True:
            person = random.choice(awake)  # noqa: S311  # no secret
            theirs = [room for room in rooms if person.key in room.talk.people and room.talk.kind != "CHANNEL"]
            with suppress(DemoError):  # Parley may be restarting, and people may have left: the next one tries again
                await _speak(person, random.choice(theirs))  # noqa: S311
            await asyncio.sleep(random.uniform(*PAUSE_SECONDS))  # noqa: S311


async def _speak(person: Person, room: Room) -> None:
    with suppress(DemoError):
        await person.do(_TYPE, conversationId=room.id, typing=True)
    await asyncio.sleep(random.uniform(*WRITING_SECONDS))  # noqa: S311
    await person.do(
        _SEND,
        conversationId=room.id,
        body=random.choice(SMALL_TALK),  # noqa: S311
        clientMessageId=f"live-{uuid.uuid4().hex}",
    )


async def _listen(person: Person) -> None:
    """Be there: read what comes, a moment later, and react to some of it; come back whenever the socket is lost."""
    while True:
        try:
            async with connect(person.api.socket_url, subprotocols=["graphql-transport-ws"]) as socket:  # type: ignore[list-item]
                await _tell(socket, {"type": "connection_init", "payload": {"Authorization": f"Bearer {person.token}"}})
                await _tell(socket, {"type": "subscribe", "id": "inbox", "payload": {"query": _INBOX}})
                async for text in socket:
                    message = orjson.loads(text)
                    if message["type"] == "ping":
                        await _tell(socket, {"type": "pong"})
                    elif message["type"] == "next" and "errors" not in message["payload"]:
                        await _take(person, message["payload"]["data"]["inboxUpdates"])
        except (OSError, TimeoutError, WebSocketException, DemoError):
            pass
        await asyncio.sleep(RECONNECT_SECONDS)


async def _take(person: Person, update: Json) -> None:
    if update.get("message") is None or update["actor"]["id"] == person.id:
        return
    await asyncio.sleep(random.uniform(0.5, 3.0))  # noqa: S311  # somebody reads
    await person.do(_READ, conversationId=update["conversationId"], upToSequence=update["sequence"])
    if random.random() < REACTS:  # noqa: S311
        await person.do(_REACT, messageId=update["message"]["id"], emoji=random.choice(EMOJI))  # noqa: S311


async def _tell(socket: ClientConnection, message: Json) -> None:
    await socket.send(orjson.dumps(message).decode())
