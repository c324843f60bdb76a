"""The canary: a user of its own that sends through every API instance, and listens at every one whether it arrives.

One worker does it at a time, each ten seconds, the way clients do: a sign-in, sockets, subscriptions, sends. It talks
to itself, in one conversation a day; that of the day before is archived.
"""

import asyncio
import secrets
import socket
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self
from urllib.parse import urlsplit

import orjson
import structlog
from pymongo.errors import PyMongoError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from parley.demo import Api, DemoError
from services.clock import now
from services.failures import described
from services.leases import Leases
from services.mongo import Database, Document
from services.tasks import Tasks

LEASE: Final = "canary"
ROUND_SECONDS: Final = 10.0
DELIVERY_SECONDS: Final = 6.0  # after that a message is lost: no single outage makes it so late
LINGER_SECONDS: Final = 0.2  # how long after the last delivery a second one is waited for
TOKEN_SECONDS: Final = 240.0  # then the session is renewed

_ERRORS = "userErrors { code message }"
_TOKENS = f"accessToken refreshToken {_ERRORS}"
_REGISTER = f"mutation ($input: RegisterInput!) {{ payload: register(input: $input) {{ {_TOKENS} }} }}"
_LOGIN = f"mutation ($input: LoginInput!) {{ payload: login(input: $input) {{ {_TOKENS} }} }}"
_REFRESH = f"mutation ($input: RefreshSessionInput!) {{ payload: refreshSession(input: $input) {{ {_TOKENS} }} }}"
_CREATE = f"""mutation ($input: CreateConversationInput!) {{
  payload: createConversation(input: $input) {{ conversation {{ id }} {_ERRORS} }} }}"""
_UPDATE = f"""mutation ($input: UpdateConversationInput!) {{
  payload: updateConversation(input: $input) {{ {_ERRORS} }} }}"""
_SEND = f"mutation ($input: SendMessageInput!) {{ payload: sendMessage(input: $input) {{ {_ERRORS} }} }}"
_LISTEN = """subscription ($id: ID!) { conversationUpdates(conversationId: $id) {
  __typename ... on MessageSent { message { clientMessageId } } } }"""

_logger = structlog.get_logger()


class CanaryError(Exception):
    """The canary could not do what every client can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a round has shown; a delivery is one message at one instance."""

    instances: int
    deliveries: int
    lost: int
    doubled: int
    failed_sends: int
    slowest_ms: float | None  # from before the send; None where nothing has arrived

    @property
    def is_good(self) -> bool:
        """Whether everything arrived once."""
        return not (self.lost or self.doubled or self.failed_sends)


def report_of(sent: dict[str, float], heard: Sequence[Sequence[tuple[str, float]]], failed_sends: int) -> Report:
    """Return what a round has shown, given when what was sent, and what each instance told when."""
    counts = [Counter(key for key, _ in each if key in sent) for each in heard]
    took = [at - sent[key] for each in heard for key, at in each if key in sent]
    return Report(
        instances=len(heard),
        deliveries=sum(len(count) for count in counts),
        lost=sum(len(sent) - len(count) for count in counts),
        doubled=sum(times - 1 for count in counts for times in count.values()),
        failed_sends=failed_sends,
        slowest_ms=round(max(took) * 1_000, 1) if took else None,
    )


class Canary:
    """The canary of one worker."""

    def __init__(
        self, database: Database, leases: Leases, urls: Sequence[str], clock: Callable[[], datetime] = now
    ) -> None:
        """Prepare; a host name among the URLs that has several addresses stands for an instance at each."""
        self._meta = database["meta"]
        self._leases = leases
        self._urls = urls
        self._now = clock
        self._token = self._refresh_token = ""
        self._token_until = 0.0
        self.newest: Report | None = None  # None before the first round of this worker

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Go on until this ends; without URLs there is nothing to do."""
        try:
            async with Tasks() as tasks:
                if self._urls:
                    tasks.spawn(self._keep_singing())
                yield self
        finally:
            with suppress(PyMongoError):
                await self._leases.release(LEASE)

    async def check(self) -> None:
        """Fail where the newest round did.

        Raises:
            TimeoutError: something did not arrive, or arrived twice.
        """
        if self.newest is not None and not self.newest.is_good:
            raise TimeoutError

    async def _keep_singing(self) -> None:
        while True:
            began = _time()
            try:
                if await self._leases.hold(LEASE, self._now()):
                    await self.sing()
                else:
                    self.newest = None
            except (CanaryError, DemoError, PyMongoError, WebSocketException, OSError, TimeoutError) as error:
                self.newest = Report(instances=0, deliveries=0, lost=0, doubled=0, failed_sends=1, slowest_ms=None)
                _logger.warning("canary.silent", error=described(error))
            except Exception:  # whatever it was, the next round may get further
                _logger.exception("canary.failed")
            await asyncio.sleep(max(0.0, ROUND_SECONDS - (_time() - began)))

    async def sing(self) -> Report:
        """Do a round.

        Raises:
            CanaryError, DemoError: an API refused, or does not answer.
            PyMongoError, WebSocketException, OSError, TimeoutError: something is away.
        """
        apis = [Api(url) for url in await instances(self._urls)]
        conversation_id = await self._enter(apis[0])
        async with AsyncExitStack() as stack:
            listeners = [await stack.enter_async_context(_listening(api, self._token, conversation_id)) for api in apis]
            sent: dict[str, float] = {}
            failed = 0
            for api in apis:
                key, began = uuid.uuid4().hex, _time()
                fields = {"conversationId": conversation_id, "body": "Tweet", "clientMessageId": key}
                try:
                    await self._do(api, _SEND, fields)
                except (CanaryError, DemoError) as error:
                    failed += 1
                    _logger.warning("canary.not_sent", url=api.url, error=str(error))
                else:
                    sent[key] = began
            heard = await asyncio.gather(*(_hear(listener, set(sent)) for listener in listeners))
        report = self.newest = report_of(sent, heard, failed)
        log = _logger.info if report.is_good else _logger.error
        log(
            "canary.sang",
            instances=report.instances,
            deliveries=report.deliveries,
            lost=report.lost,
            doubled=report.doubled,
            failed_sends=report.failed_sends,
            slowest_ms=report.slowest_ms,
        )
        return report

    async def _enter(self, api: Api) -> str:
        """Sign in where that is due, and return the conversation of this day."""
        note = await self._meta.find_one({"_id": "canary"})
        if note is None:
            # Kept where the accounts are: whoever may read it may read everything.
            note = {"_id": "canary", "handle": f"canary.{secrets.token_hex(4)}", "password": secrets.token_hex(16)}
            note |= {"day": None, "conversation": None}
            await self._meta.insert_one(note)
        if _time() >= self._token_until:
            await self._sign_in(api, note)
        day = self._now().date().isoformat()
        if note["day"] != day:
            fields = {
                "kind": "GROUP",
                "title": f"Canary {day}",
                "memberIds": [],
                "clientConversationId": f"canary-{day}",
            }
            made = await self._do(api, _CREATE, fields)
            if note["conversation"] is not None:
                await self._do(api, _UPDATE, {"conversationId": note["conversation"], "archived": True})
            note |= {"day": day, "conversation": made["conversation"]["id"]}
            await self._meta.replace_one({"_id": "canary"}, note)
        return str(note["conversation"])

    async def _sign_in(self, api: Api, note: Document) -> None:
        payload: Document = {"accessToken": None}
        if self._refresh_token:
            payload = await self._ask(api, _REFRESH, {"refreshToken": self._refresh_token})
        who = {"handle": note["handle"], "password": note["password"], "device": "Canary"}
        if payload["accessToken"] is None:
            payload = await self._ask(api, _LOGIN, who)
        if payload["accessToken"] is None:
            payload = await self._ask(api, _REGISTER, who)
        if payload["accessToken"] is None:
            raise CanaryError(f"no way in: {payload['userErrors']}")
        self._token, self._refresh_token = payload["accessToken"], payload["refreshToken"]
        self._token_until = _time() + TOKEN_SECONDS

    async def _do(self, api: Api, mutation: str, fields: dict[str, Any]) -> Document:
        payload = await self._ask(api, mutation, fields)
        if payload["userErrors"]:
            raise CanaryError(f"refused: {payload['userErrors']}")
        return payload

    async def _ask(self, api: Api, mutation: str, fields: dict[str, Any]) -> Document:
        response = await api.ask(mutation, {"input": fields}, self._token or None)
        if response.get("errors"):
            self._token_until = 0.0  # it may be the token
            self._token = ""
            raise CanaryError(f"failed: {response['errors']}")
        payload: Document = response["data"]["payload"]
        return payload


async def instances(urls: Sequence[str]) -> list[str]:
    """Return the address of each instance that these URLs lead to.

    Raises:
        OSError: a name is unknown.
    """
    found: dict[str, None] = {}
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme != "http":  # its certificate is for the name
            found[url] = None
            continue
        addresses = await asyncio.get_running_loop().getaddrinfo(
            parts.hostname, parts.port or 80, family=socket.AF_INET, type=socket.SOCK_STREAM
        )
        for *_, address in sorted(addresses):
            host, port = address[:2]
            assert isinstance(port, int)  # other families have something else
            found[f"http://{host}:{port}"] = None
    return list(found)


@asynccontextmanager
async def _listening(api: Api, token: str, conversation_id: str) -> AsyncIterator[ClientConnection]:
    """Follow a conversation at one instance; the block begins when nothing more is missed."""
    async with (
        asyncio.timeout(2 * ROUND_SECONDS),
        connect(api.socket_url, subprotocols=["graphql-transport-ws"], compression=None) as opened,  # type: ignore[list-item]  # a NewType of str
    ):
        await _say(opened, {"type": "connection_init", "payload": {"Authorization": f"Bearer {token}"}})
        await opened.recv()  # that it is let in
        payload = {"query": _LISTEN, "variables": {"id": conversation_id}}
        await _say(opened, {"type": "subscribe", "id": "1", "payload": payload})
        async for event in _events(opened):
            if event["__typename"] == "CaughtUp":
                break
        yield opened


async def _hear(opened: ClientConnection, wanted: set[str]) -> list[tuple[str, float]]:
    """Return what arrives until all that is wanted did and a moment has passed, or it is too late."""
    heard: list[tuple[str, float]] = []
    missing = set(wanted)
    with suppress(TimeoutError):
        async with asyncio.timeout(DELIVERY_SECONDS) as patience:
            async for event in _events(opened):
                if event["__typename"] == "MessageSent":
                    key = event["message"]["clientMessageId"]
                    heard.append((key, _time()))
                    missing.discard(key)
                    if not missing:
                        patience.reschedule(_time() + LINGER_SECONDS)
    return heard


async def _events(opened: ClientConnection) -> AsyncIterator[Document]:
    async for text in opened:
        message = orjson.loads(text)
        if message["type"] == "ping":
            await _say(opened, {"type": "pong"})
        elif message["type"] == "next":
            if message["payload"].get("errors"):
                raise CanaryError(f"failed: {message['payload']['errors']}")
            yield message["payload"]["data"]["conversationUpdates"]
        elif message["type"] in {"error", "complete"}:
            raise CanaryError(f"a subscription ended: {message}")


async def _say(opened: ClientConnection, message: Document) -> None:
    await opened.send(orjson.dumps(message).decode())


def _time() -> float:
    return asyncio.get_running_loop().time()
