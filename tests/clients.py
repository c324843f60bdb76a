"""Clients as front ends are: GraphQL text over real HTTP and real WebSockets."""

import asyncio
import contextlib
import itertools
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import httpx
import orjson
from websockets.asyncio.client import ClientConnection, connect

ANSWER_SECONDS = 30.0
RETRY_SECONDS = 20.0
PASSWORD = "correct horse battery"  # nobody's

REGISTER = """mutation ($input: RegisterInput!) { register(input: $input) {
  user { id handle } session { id } accessToken refreshToken accessTokenExpiresAt
  userErrors { code message path } } }"""
CREATE = """mutation ($input: CreateConversationInput!) { createConversation(input: $input) {
  conversation { id cursor lastSequence memberCount kind title } userErrors { code message path } } }"""
SEND = """mutation ($input: SendMessageInput!) { sendMessage(input: $input) {
  message { id sequence body clientMessageId } userErrors { code message path } } }"""
ADD = """mutation ($input: AddMembersInput!) { addMembers(input: $input) {
  conversation { id memberCount lastSequence } userErrors { code message path } } }"""
REMOVE = """mutation ($input: RemoveMemberInput!) { removeMember(input: $input) {
  conversation { id memberCount lastSequence } userErrors { code message path } } }"""
LEAVE = """mutation ($input: LeaveConversationInput!) { leaveConversation(input: $input) {
  conversation { id memberCount } userErrors { code message path } } }"""
SET_ROLE = """mutation ($input: SetMemberRoleInput!) { setMemberRole(input: $input) {
  conversation { id lastSequence } userErrors { code message path } } }"""
UPDATE = """mutation ($input: UpdateConversationInput!) { updateConversation(input: $input) {
  conversation { id title archivedAt lastSequence } userErrors { code message path } } }"""
EDIT = """mutation ($input: EditMessageInput!) { editMessage(input: $input) {
  message { id sequence body version } userErrors { code message path } } }"""
MUTE = """mutation ($input: MuteConversationInput!) { muteConversation(input: $input) {
  conversation { id viewerMembership { mutedUntil } } userErrors { code message path } } }"""
BLOCK = """mutation ($input: BlockUserInput!) { blockUser(input: $input) {
  user { id } userErrors { code message path } } }"""
UNBLOCK = """mutation ($input: UnblockUserInput!) { unblockUser(input: $input) {
  user { id } userErrors { code message path } } }"""
PROFILE = """mutation ($input: UpdateProfileInput!) { updateProfile(input: $input) {
  user { id displayName avatarUrl } userErrors { code message path } } }"""
MARK_DELIVERED = """mutation ($input: MarkDeliveredInput!) { markDelivered(input: $input) {
  member { deliveredSequence readSequence } viewerUnreadCount userErrors { code message path } } }"""
MARK_READ = """mutation ($input: MarkReadInput!) { markRead(input: $input) {
  member { deliveredSequence readSequence } viewerUnreadCount userErrors { code message path } } }"""
REGISTER_PUSH = """mutation ($input: RegisterPushEndpointInput!) { registerPushEndpoint(input: $input) {
  id userErrors { code message path } } }"""
REMOVE_PUSH = """mutation ($input: RemovePushEndpointInput!) { removePushEndpoint(input: $input) {
  id userErrors { code message path } } }"""
_UPDATE = """
  __typename
  ... on ConversationEvent { conversationId sequence cursor actor { id } }
  ... on MessageSent { message { id body clientMessageId sender { id } } }
  ... on MessageEdited { message { id sequence body version } }
  ... on MemberAdded { member { user { id } role } }
  ... on MemberRemoved { userId }
  ... on MemberRoleChanged { member { user { id } role joinedAt } }
  ... on ConversationChanged { conversation { title archivedAt } }
  ... on ReceiptMoved { conversationId userId deliveredSequence readSequence at }
  ... on CaughtUp { conversationId sequence cursor }
  ... on ResyncRequired { conversationId reason cursor }"""
UPDATES = f"""subscription ($id: ID!, $after: String) {{ conversationUpdates(conversationId: $id, after: $after) {{
  {_UPDATE} }} }}"""
INBOX = f"""subscription ($after: [String!]) {{ inboxUpdates(after: $after) {{
  {_UPDATE} }} }}"""

type Json = dict[str, Any]


class Api:
    """One API process, seen from outside."""

    def __init__(self, url: str, *, answer_seconds: float = ANSWER_SECONDS, connections: int = 100) -> None:
        self.url = url
        self.answer_seconds = answer_seconds
        self.http = httpx.AsyncClient(timeout=answer_seconds, limits=httpx.Limits(max_connections=connections))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    @property
    def socket_url(self) -> str:
        return self.url.replace("http", "ws", 1) + "/graphql"

    async def post(self, query: str, variables: Json | None = None, token: str | None = None) -> Json:
        """Return the whole response of an operation."""
        headers = {"authorization": f"Bearer {token}"} if token is not None else {}
        response = await self.http.post(
            f"{self.url}/graphql", json={"query": query, "variables": variables}, headers=headers
        )
        content: Json = response.json()
        return content

    async def post_until_done(self, query: str, variables: Json, token: str | None = None) -> Json:
        """Return the data of an operation; where nothing was done as a server was away, ask again as clients do."""
        async with asyncio.timeout(RETRY_SECONDS):
            while is_unavailable(response := await self.post(query, variables, token)):  # noqa: ASYNC110
                await asyncio.sleep(response["errors"][0]["extensions"]["retryAfterMs"] / 1_000)
        assert "errors" not in response, response
        data: Json = response["data"]
        return data

    async def register(self, handle: str | None = None) -> "Person":
        """Return a new person, signed in."""
        handle = handle or f"u{uuid.uuid4().hex[:20]}"
        given = {"input": {"handle": handle, "password": PASSWORD}}
        payload = (await self.post_until_done(REGISTER, given))["register"]
        assert payload["userErrors"] == [], payload
        return Person(self, handle, payload["user"]["id"], payload["accessToken"], payload["refreshToken"])


def is_unavailable(response: Json) -> bool:
    """Whether nothing was done because a server was away."""
    return any(error["extensions"].get("code") == "UNAVAILABLE" for error in response.get("errors", ()))


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody signed in at one API process."""

    api: Api
    handle: str
    id: str
    token: str
    refresh_token: str

    def at(self, api: Api) -> "Person":
        """Return the same person, talking to another process."""
        return Person(api, self.handle, self.id, self.token, self.refresh_token)

    async def post(self, query: str, variables: Json | None = None) -> Json:
        return await self.api.post(query, variables, self.token)

    async def mutate(self, query: str, **fields: object) -> Json:
        """Return the payload of a mutation with these input fields."""
        response = await self.post(query, {"input": fields})
        assert "errors" not in response, response
        (payload,) = response["data"].values()
        content: Json = payload
        return content

    async def talk(self, *others: "Person", kind: str = "GROUP") -> Json:
        """Return a new conversation with others."""
        given = {"input": {"kind": kind, "memberIds": [other.id for other in others]}}
        payload = (await self.api.post_until_done(CREATE, given, self.token))["createConversation"]
        assert payload["userErrors"] == [], payload
        conversation: Json = payload["conversation"]
        return conversation

    async def send(self, conversation_id: str, body: str, client_message_id: str | None = None) -> Json:
        """Return the payload of a send."""
        return await self.mutate(
            SEND,
            conversationId=conversation_id,
            body=body,
            clientMessageId=client_message_id or uuid.uuid4().hex,
        )

    @asynccontextmanager
    async def socket(self) -> AsyncIterator["Socket"]:
        """Open a socket and be let in."""
        async with Socket.open(self.api, {"Authorization": f"Bearer {self.token}"}) as socket:
            yield socket


@dataclass(slots=True)
class Socket:
    """A graphql-transport-ws client that answers pings, with one queue for each operation."""

    raw: ClientConnection
    _queues: dict[str, asyncio.Queue[Json]] = field(default_factory=dict)
    _ids: "itertools.count[int]" = field(default_factory=itertools.count)

    @classmethod
    @asynccontextmanager
    async def open(cls, api: Api, payload: Json | None) -> AsyncIterator["Socket"]:
        """Connect, introduce oneself, and wait for the acknowledgement."""
        async with connect(api.socket_url, subprotocols=["graphql-transport-ws"]) as raw:  # type: ignore[list-item]
            socket = cls(raw)
            await socket.tell({"type": "connection_init", "payload": payload})
            async with asyncio.timeout(api.answer_seconds):
                answer = orjson.loads(await raw.recv())
            assert answer == {"type": "connection_ack"}, answer
            reading = asyncio.create_task(socket._read())
            try:
                yield socket
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)

    async def tell(self, message: Json) -> None:
        await self.raw.send(orjson.dumps(message).decode())

    async def start(self, query: str, variables: Json | None = None) -> "Running":
        """Start an operation."""
        operation_id = f"op{next(self._ids)}"
        queue = self._queues[operation_id] = asyncio.Queue()
        await self.tell({"type": "subscribe", "id": operation_id, "payload": {"query": query, "variables": variables}})
        return Running(self, operation_id, queue)

    async def updates(self, conversation_id: str, after: str | None = None) -> "Running":
        """Follow a conversation."""
        return await self.start(UPDATES, {"id": conversation_id, "after": after})

    async def _read(self) -> None:
        closed: Json = {"type": "closed"}
        with contextlib.suppress(Exception):
            async for text in self.raw:
                message = orjson.loads(text)
                if message["type"] == "ping":
                    await self.tell({"type": "pong"})
                elif message["type"] != "pong":
                    self._queues[message["id"]].put_nowait(message)
        closed["code"] = self.raw.close_code
        for queue in self._queues.values():
            queue.put_nowait(closed)


@dataclass(slots=True)
class Running:
    """An operation that was started on a socket."""

    socket: Socket
    id: str
    _queue: "asyncio.Queue[Json]"
    receipts: list[Json] = field(default_factory=list)  # that came among other updates

    async def message(self) -> Json:
        """Return the next message of any type; `{"type": "closed"}` when the socket has gone."""
        async with asyncio.timeout(ANSWER_SECONDS):
            return await self._queue.get()

    async def wait(self) -> Json:
        """Return the next message, however long it takes."""
        return await self._queue.get()

    async def update(self) -> Json:
        """Return the next update of a conversation but receipts, which are put aside."""
        while (update := await self.any_update())["__typename"] == "ReceiptMoved":
            self.receipts.append(update)
        return update

    async def receipt(self) -> Json:
        """Return the oldest receipt that was put aside, or the next update, which must be one."""
        if self.receipts:
            return self.receipts.pop(0)
        update = await self.any_update()
        assert update["__typename"] == "ReceiptMoved", update
        return update

    async def any_update(self) -> Json:
        """Return the next update of a conversation."""
        message = await self.message()
        assert message["type"] == "next", message
        assert "errors" not in message["payload"], message
        (update,) = message["payload"]["data"].values()
        content: Json = update
        return content

    async def until_caught_up(self) -> list[Json]:
        """Return what comes before `CaughtUp`."""
        updates: list[Json] = []
        while (update := await self.update())["__typename"] != "CaughtUp":
            updates.append(update)
        return updates

    async def stop(self) -> None:
        await self.socket.tell({"type": "complete", "id": self.id})
