"""People who talk while things break, and what each of them saw, as a history for the checker."""

import asyncio
import base64
import random
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import httpx
from websockets.exceptions import WebSocketException

from tests.checker.check import Report, check
from tests.checker.history import (
    Answered,
    CaughtUp,
    Closed,
    EditAcked,
    EditInvoked,
    Entry,
    History,
    MemberChanged,
    Read,
    Received,
    Resynced,
    SendAcked,
    SendFailed,
    SendInvoked,
    SendUnknown,
    Subscribed,
)
from tests.clients import ADD, EDIT, LEAVE, REMOVE, SEND, Api, Json, Person

PATIENCE_SECONDS = 90.0  # how long anybody waits for what must come in the end
REFUSED = 0  # in place of a close code, where the subscription was not accepted
PAUSE_SECONDS = 0.05  # between two attempts of a client, the first time
LONGEST_PAUSE_SECONDS = 1.0  # later on
LONGEST_STAY = 25  # entries that a restless listener takes before it goes


def entry_of(update: Json) -> Entry:
    """Return an update as the checker knows it."""
    message, kind = update.get("message") or {}, update["__typename"]
    return Entry(
        sequence=update["sequence"],
        kind=kind,
        client_message_id=message.get("clientMessageId"),
        body=message.get("body"),
        edits=message["sequence"] if kind == "MessageEdited" else None,
    )


def from_the_start(cursor: str) -> str:
    """Return the cursor before a conversation's first entry."""
    packed = base64.urlsafe_b64decode(cursor + "=")
    return base64.urlsafe_b64encode(packed[:-8] + bytes(8)).rstrip(b"=").decode()


def sequence_of(cursor: str) -> int:
    """Return the place in the log that a cursor names."""
    return int.from_bytes(base64.urlsafe_b64decode(cursor + "=")[-8:])


@dataclass(slots=True)
class Room:
    """A conversation under observation: its members, talkers and listeners, and the history of all they saw."""

    apis: Sequence[Api]
    history: History
    conversation: str
    cursor: str  # at its creation
    pace_seconds: float = PAUSE_SECONDS  # between two changes of who is in, on average
    listeners: list["Listener"] = field(default_factory=list)
    _logs: dict[str, list[Json]] = field(default_factory=dict)  # what was read of the log, by the process's address

    @classmethod
    async def open(cls, apis: Sequence[Api], history: History, owner: Person, *others: Person) -> "Room":
        """Make a conversation; its members are in from its first entry."""
        conversation = await owner.talk(*others)
        for person in (owner, *others):
            history.add(MemberChanged(conversation=conversation["id"], user=person.id, sequence=1, joined=True))
        return cls(apis, history, conversation["id"], conversation["cursor"])

    async def ask(self, person: Person, query: str, variables: Json) -> Json:
        """Ask any process once; where no answer comes, it is an error that asks for a retry."""
        invoked_at = time.monotonic_ns()
        try:
            response = await person.at(random.choice(self.apis)).post(query, variables)
            code = response["errors"][0]["extensions"]["code"] if "errors" in response else None
        except (httpx.HTTPError, ValueError):
            response, code = {"errors": [{"extensions": {"retryable": True}}]}, ""
        self.history.add(Answered(invoked_at=invoked_at, client=person.handle, code=code))
        return response

    async def insist(self, person: Person, query: str, variables: Json, *, before: Callable[[], None]) -> Json | None:
        """Ask until there is an answer, and return its payload; `before` is called before each attempt."""
        deadline, attempt = time.monotonic() + PATIENCE_SECONDS, 0
        while time.monotonic() < deadline:
            before()
            response = await self.ask(person, query, variables)
            if response.get("data"):
                payload: Json | None = next(iter(response["data"].values()))
                if payload is not None:
                    return payload
            assert all(error["extensions"]["retryable"] for error in response["errors"]), response
            await pause(response, attempt)
            attempt += 1
        return None

    async def say(self, person: Person, body: str, message_id: str | None = None) -> SendAcked | None:
        """Send until it is acknowledged or refused, to whichever process answers; return how it was acknowledged."""
        message_id = message_id or uuid.uuid4().hex
        client, conversation = person.handle, self.conversation
        invoked = SendInvoked(
            client=client, user=person.id, conversation=conversation, client_message_id=message_id, body=body
        )
        unknown = SendUnknown(client=client, conversation=conversation, client_message_id=message_id)
        attempts = 0

        def before() -> None:
            nonlocal attempts
            if attempts:
                self.history.add(replace(unknown, at=time.monotonic_ns()))
            self.history.add(replace(invoked, at=time.monotonic_ns()))
            attempts += 1

        fields = {"conversationId": conversation, "body": body, "clientMessageId": message_id}
        payload = await self.insist(person, SEND, {"input": fields}, before=before)
        assert payload is not None, "a send was never answered"
        if payload["message"] is None:
            code = payload["userErrors"][0]["code"]
            self.history.add(
                SendFailed(client=client, conversation=conversation, client_message_id=message_id, code=code)
            )
            return None
        acked = SendAcked(
            client=client,
            conversation=conversation,
            client_message_id=message_id,
            sequence=payload["message"]["sequence"],
            message_id=payload["message"]["id"],
        )
        self.history.add(acked)
        return acked

    async def edit(self, person: Person, said: SendAcked, body: str) -> None:
        """Give a message of one's own another body, once; who is no member any more cannot."""
        invoked = EditInvoked(client=person.handle, conversation=self.conversation, sequence=said.sequence, body=body)
        payload = await self.insist(
            person,
            EDIT,
            {"input": {"messageId": said.message_id, "body": body}},
            before=lambda: self.history.add(replace(invoked, at=time.monotonic_ns())),
        )
        assert payload is not None, "an edit was never answered"
        if payload["message"] is not None:
            self.history.add(
                EditAcked(client=person.handle, conversation=self.conversation, sequence=said.sequence, body=body)
            )

    def listen(self, person: Person, *, restless: bool = False) -> "Listener":
        """Let somebody follow the conversation from its first entry; a restless one reconnects all the time."""
        listener = Listener(self, person, restless=restless)
        self.listeners.append(listener)
        return listener

    async def come_and_go(self, owner: Person, member: Person, done: Callable[[], bool]) -> None:
        """Let somebody leave or be removed, and be added again, all the time; in the end they are in."""
        inside = True
        while not done() or not inside:
            if inside:
                if random.random() < 0.5:
                    await self._change(member, LEAVE, {})
                else:
                    await self._change(owner, REMOVE, {"userId": member.id})
                inside = False  # also where nobody knows: adding who is in is no harm
            else:
                inside = await self._change(owner, ADD, {"userIds": [member.id]})

    async def _change(self, owner: Person, mutation: str, fields: Json) -> bool:
        """Change who is in; return whether that is known to have happened."""
        response = await self.ask(owner, mutation, {"input": {"conversationId": self.conversation, **fields}})
        await asyncio.sleep(random.uniform(0.0, 2.0) * self.pace_seconds)
        return bool(response.get("data"))

    async def read_on(self, person: Person, api: Api) -> list[Json]:
        """Read what the log has grown by at a process; return all of it.

        A long run has to do so now and then: nobody is told of more than 5 000 entries at once.
        """
        log = self._logs.setdefault(api.url, [])
        async with person.at(api).socket() as socket:
            updates = await socket.updates(self.conversation, log[-1]["cursor"] if log else from_the_start(self.cursor))
            log += await updates.until_caught_up()
        return log

    async def read_all(self, person: Person) -> None:
        """Read the whole log at every process, when nothing moves any more; who came and went is taken from it."""
        for api in self.apis:
            invoked_at = time.monotonic_ns()
            log = await self.read_on(person, api)
            self.history.add(
                Read(
                    invoked_at=invoked_at,
                    client=f"reader {api.url}",
                    user=person.id,
                    instance=api.url,
                    conversation=self.conversation,
                    after=0,
                    entries=tuple(entry_of(update) for update in log),
                    final=True,
                )
            )
        for update in log:
            joined = update["__typename"] == "MemberAdded"
            if joined or update["__typename"] == "MemberRemoved":
                user = update["member"]["user"]["id"] if joined else update["userId"]
                self.history.add(
                    MemberChanged(conversation=self.conversation, user=user, sequence=update["sequence"], joined=joined)
                )


class Listener:
    """A subscriber that comes back with its last cursor, to another process each time, whatever happens to it."""

    def __init__(self, room: Room, person: Person, *, restless: bool) -> None:
        self.room = room
        self.person = person
        self.restless = restless
        self.sequence = 1
        self.connections = 0
        self.is_caught_up = False  # whether the connection that is open has everything
        self._connection: str | None = None  # the one that is open
        self._failures = 0  # connections since something came
        self._cursor = room.cursor
        self._name = f"{person.handle}/{uuid.uuid4().hex[:6]}"
        self._task = asyncio.create_task(self._follow())

    async def reaches(self, sequence: int) -> None:
        """Wait until it has got everything up to a sequence, then let it go."""
        await until(lambda: self.sequence >= sequence or self._task.done(), f"{self.sequence} of {sequence} arrived")
        await self.end()

    async def end(self) -> None:
        """Follow no longer."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def leave(self) -> None:
        """Go, as somebody does whose device is switched off."""
        await self.end()
        if self._connection is not None:
            self.room.history.add(Closed(connection=self._connection, code=1000))

    async def _follow(self) -> None:
        while True:
            api = self.room.apis[self.connections % len(self.room.apis)]
            self.connections += 1
            self._failures += 1
            with suppress(OSError, TimeoutError, WebSocketException, AssertionError):
                await self._connect(api, f"{self._name}#{self.connections}")
            self._connection, self.is_caught_up = None, False
            await asyncio.sleep(backoff(self._failures))

    async def _connect(self, api: Api, connection: str) -> None:
        history, leave_after = self.room.history, self._leaves_after() if self.restless else None
        async with self.person.at(api).socket() as socket:
            running = await socket.updates(self.room.conversation, self._cursor)
            history.add(
                Subscribed(
                    connection=connection,
                    subscriber=self._name,
                    client=self.person.handle,
                    user=self.person.id,
                    conversation=self.room.conversation,
                    after=self.sequence,
                )
            )
            self._connection = connection
            received = 0
            while leave_after is None or received < leave_after:
                message = await running.wait()
                if message["type"] != "next":
                    # An `error` promises nothing: whoever was removed while away is no member any more.
                    code = REFUSED if message["type"] == "error" else message.get("code")
                    history.add(Closed(connection=connection, code=code))
                    return
                self._failures = 0
                received += self._take(message["payload"]["data"]["conversationUpdates"], connection)
            history.add(Closed(connection=connection, code=1000))

    def _leaves_after(self) -> int:
        """Return after how many entries to go; who is far behind takes half of that on average, so that it arrives."""
        behind = max(listener.sequence for listener in self.room.listeners) - self.sequence
        return random.randint(1, max(LONGEST_STAY, behind))

    def _take(self, update: Json, connection: str) -> bool:
        """Note an update; return whether it is an entry of the log."""
        history = self.room.history
        match update["__typename"]:
            case "ReceiptMoved":
                return False
            case "CaughtUp":
                history.add(CaughtUp(connection=connection, sequence=update["sequence"]))
                self.is_caught_up = True
                return False
            case "ResyncRequired":
                self.sequence, self._cursor = sequence_of(update["cursor"]), update["cursor"]
                history.add(Resynced(connection=connection, sequence=self.sequence))
                return False
        history.add(Received(connection=connection, entry=entry_of(update)))
        if update["sequence"] > self.sequence:
            self.sequence, self._cursor = update["sequence"], update["cursor"]
        return True


def backoff(attempt: int) -> float:
    """Return how long to wait before an attempt that is not the first, as clients should: longer, and not in step."""
    return random.uniform(0.5, 1.0) * min(PAUSE_SECONDS * 2.0 ** min(attempt, 10), LONGEST_PAUSE_SECONDS)


async def pause(response: Json, attempt: int) -> None:
    """Wait before the next attempt: as long as the answer asks for, and no shorter than a good client would."""
    asked = max(error["extensions"].get("retryAfterMs", 0) for error in response["errors"]) / 1_000
    await asyncio.sleep(max(random.uniform(0.5, 1.0) * min(asked, LONGEST_PAUSE_SECONDS), backoff(attempt)))


async def until(condition: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s: {what}"
        await asyncio.sleep(0.02)


async def head(conversation: str, person: Person) -> int:
    """Ask for a conversation's newest sequence until there is an answer."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        response = await person.post(
            "query ($id: ID!) { conversation(id: $id) { lastSequence } }", {"id": conversation}
        )
        if response["data"]["conversation"] is not None:
            return int(response["data"]["conversation"]["lastSequence"])
        assert all(error["extensions"]["retryable"] for error in response["errors"]), response
        await asyncio.sleep(PAUSE_SECONDS)
    raise AssertionError("a read was never answered")


async def judge(rooms: Sequence[Room], owner: Person) -> Report:
    """Let every listener arrive, read the logs at every process, and return the checker's report without violations."""
    for room in rooms:
        heads = [await head(room.conversation, owner.at(api)) for api in room.apis]
        assert len(set(heads)) == 1
        for listener in room.listeners:
            await listener.reaches(heads[0])
        await room.read_all(owner)
    report = check(rooms[0].history)
    assert report.violations == (), report.violations
    return report
