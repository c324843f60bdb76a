"""Pushes: each user who misses a message is told of it, once.

A job notes each message for later; when its time has come it is decided, once and for good, whom to tell. Each of these
gets a push, `pushes/<user>:<conversation>:<sequence>`, so there is one of a user and a message whatever comes twice. A
push is sent under a claim in its document, to each endpoint until that has taken it; who dies between sending and
noting so leaves a claim that ends, and the push goes out again under the same id.

One worker works at a time; its successor goes on where it stood.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Final, Self

import structlog
from pymongo.errors import DuplicateKeyError, PyMongoError

from services.clock import now
from services.entries import MessageSent, entry_id
from services.entry_store import EntryStore
from services.events import Event
from services.failures import described
from services.leases import Leases
from services.mongo import Database, Document, parsed
from services.push_audience import PresenceUnknownError, PushAudience
from services.push_endpoints import PushEndpoint, PushEndpoints
from services.push_queue import PushQueue, Task, Work
from services.push_sender import Outcome, PushSender
from services.state import Member, member_id
from services.tasks import Tasks

LEASE: Final = "push"
ROUND_SECONDS: Final = 0.5
AT_ONCE: Final = 64  # tasks under way
AT_ONCE_OF_USER: Final = 2  # pushes to one user: whose endpoint does not answer holds up nobody else
PAGE: Final = 200  # tasks, or members, in one read
LOOKED_AT: Final = 5_000  # tasks in one round; above it the rest waits for the next
LATEST: Final = timedelta(days=1)  # an older message is news to nobody, and decisions are kept for longer
PATIENCE: Final = timedelta(seconds=60)  # with Redis, which may not know who is connected
AGAIN: Final = timedelta(seconds=1)
CLAIM: Final = timedelta(seconds=20)  # longer than an attempt takes
TRIES: Final = 10
PAUSE_SECONDS: Final = (2.0, 4.0, 3_600.0)  # after the first try, how much longer after each, and at most
SURE: Final = timedelta(seconds=5)  # for which a decision is not asked again

_logger = structlog.get_logger()


class PushJob:
    """The job that notes messages for later."""

    name = "push"

    def __init__(self, database: Database, endpoints: PushEndpoints, *, after: timedelta) -> None:
        self._decisions = database["push_decisions"]
        self._queue = PushQueue(database)
        self._endpoints = endpoints
        self._after = after

    async def handle(self, events: Sequence[Event]) -> None:
        """Have it decided, in time, whom to tell of the messages among these events.

        Raises:
            PyMongoError: MongoDB did not answer.
        """
        oldest = now() - LATEST
        sent = {
            entry_id(event.conversation_id, event.sequence): event.at
            for event in events
            if event.kind == MessageSent.kind and event.at > oldest
        }
        if not sent or not await self._endpoints.exist():
            return
        decided = await self._decisions.find_many(list(sent))
        await self._queue.put(
            Task(at + self._after, Work.DECIDE, key)
            for key, at in sent.items()
            if key not in decided or decided[key]["after"] is not None
        )


class Pushes:
    """The pushes of one worker."""

    def __init__(
        self,
        database: Database,
        leases: Leases,
        endpoints: PushEndpoints,
        audience: PushAudience,
        sender: PushSender,
    ) -> None:
        self._decisions = database["push_decisions"]
        self._pushes = database["pushes"]
        self._members = database["members"]
        self._entries = EntryStore(database)
        self._leases = leases
        self._queue = PushQueue(database)
        self._endpoints = endpoints
        self._audience = audience
        self._sender = sender
        self._tasks = Tasks()
        self._running: set[str] = set()  # ids of the tasks under way
        self._users: Counter[str] = Counter()  # how many of them are pushes to each user

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Work whenever this worker has the lease, until this ends."""
        working = self._tasks.spawn(self._keep_working())
        try:
            yield self
        finally:
            working.cancel()
            await self._tasks.close(grace_seconds=CLAIM.total_seconds() / 2)  # what is sent is also noted
            with suppress(PyMongoError):
                await self._leases.release(LEASE)

    async def _keep_working(self) -> None:
        while True:
            started = time.monotonic()
            try:
                if await self._leases.hold(LEASE, now()):
                    await self.work()
            except PyMongoError as error:
                _logger.warning("push.waiting", error=described(error))
            except Exception:  # whatever it was, the next round may get further
                _logger.exception("push.failed")
            await asyncio.sleep(max(0.0, ROUND_SECONDS - (time.monotonic() - started)))

    async def work(self) -> None:
        """Begin what is due, as much of it as may be under way at once.

        Raises:
            PyMongoError: MongoDB did not answer.
        """
        after, looked_at = "", 0
        while looked_at < LOOKED_AT and len(self._running) < AT_ONCE:
            page = await self._queue.due(now(), after=after, limit=PAGE)
            for task in page:
                user_id = task.subject.partition(":")[0] if task.work is Work.SEND else ""
                is_free = task.id not in self._running and (not user_id or self._users[user_id] < AT_ONCE_OF_USER)
                if is_free and len(self._running) < AT_ONCE:
                    self._running.add(task.id)
                    self._users[user_id] += 1
                    self._tasks.spawn(self._do(task, user_id))
            if len(page) < PAGE:
                return
            after, looked_at = page[-1].id, looked_at + len(page)

    async def _do(self, task: Task, user_id: str) -> None:
        try:
            await (self._decide if task.work is Work.DECIDE else self._send)(task)
        except PyMongoError as error:
            _logger.warning("push.waiting", work=task.work, error=described(error))
        finally:
            self._running.discard(task.id)
            self._users[user_id] -= 1
            if not self._users[user_id]:
                del self._users[user_id]

    # ------------------------------------------------------------ deciding

    async def _decide(self, task: Task) -> None:
        """Decide whom to tell of a message, a page of its members after the other."""
        after = await self._decided_after(task)
        sent = await self._message(task.subject)
        while after is not None:
            conversation_id = task.subject.partition(":")[0]
            bounds = {"$gt": max(after, member_id(conversation_id, "")), "$lt": member_id(conversation_id, "~")}
            page = await self._members.find({"_id": bounds}, limit=PAGE) if sent is not None else []
            if sent is not None and page:
                members = [member for document in page if (member := parsed(Member, document))]
                is_patient = now() < task.due + PATIENCE
                try:
                    wanted = await self._audience.of(sent, members, now(), is_patient=is_patient)
                except PresenceUnknownError:
                    await self._move(task, now() + AGAIN)
                    return
                for user_id in wanted:
                    await self._make(f"{user_id}:{task.subject}", task.due)
            after = page[-1]["_id"] if len(page) == PAGE else None
            await self._decisions.update_one({"_id": task.subject}, {"$set": {"after": after}})
        await self._queue.remove(task)

    async def _decided_after(self, task: Task) -> str | None:
        """Return the member up to whom it was decided; None where it is decided of all."""
        with suppress(DuplicateKeyError):
            await self._decisions.insert_one({"_id": task.subject, "after": "", "at": now()})
        decision = await self._decisions.find_one({"_id": task.subject})
        after: str | None = decision["after"] if decision is not None else None
        return after

    async def _make(self, push_id: str, due: datetime) -> None:
        with suppress(DuplicateKeyError):
            await self._pushes.insert_one(
                {"_id": push_id, "at": now(), "tries": 0, "until": due, "done": [], "outcome": None}
            )
        await self._queue.put([Task(due, Work.SEND, push_id)])

    # ------------------------------------------------------------ sending

    async def _send(self, task: Task) -> None:
        """Send a push to all endpoints that have not taken it."""
        push = await self._pushes.find_one({"_id": task.subject})
        if push is None or push["outcome"] is not None:
            await self._queue.remove(task)
            return
        if push["until"] > now():  # somebody tries, or has died while trying
            await self._move(task, push["until"])
            return
        claim = {"$set": {"until": now() + CLAIM}, "$inc": {"tries": 1}}
        if not await self._pushes.update_one({"_id": task.subject, "outcome": None, "until": push["until"]}, claim):
            return  # somebody else was faster
        await self._attempt(task, push)

    async def _attempt(self, task: Task, push: Document) -> None:
        user_id, place = task.subject.split(":", 1)
        sent = await self._message(place)
        endpoints = [] if sent is None else await self._wanted(user_id, sent, push)
        waiting = {endpoint for endpoint in endpoints if endpoint.id not in push["done"]}
        if sent is None or not waiting:
            outcome = "sent" if push["done"] else "unwanted"
            await self._pushes.update_one({"_id": task.subject}, {"$set": {"outcome": outcome}})
            await self._queue.remove(task)
            return
        failed = list[Outcome]()

        async def attempt(endpoint: PushEndpoint) -> None:
            outcome = await self._sender.send(user_id, sent, endpoint)
            if outcome.is_over:
                waiting.discard(endpoint)
                note: Document = {"$addToSet": {"done": endpoint.id}}
                if not waiting:
                    note["$set"] = {"outcome": "sent"}
                await self._pushes.update_one({"_id": task.subject}, note)
            else:
                failed.append(outcome)
            if outcome.is_gone:
                await self._endpoints.drop(user_id, [endpoint])

        await asyncio.gather(*map(attempt, tuple(waiting)))
        tries = push["tries"] + 1
        if not failed:
            await self._queue.remove(task)
        elif tries == TRIES:
            _logger.warning("push.given_up", endpoints=[endpoint.id for endpoint in waiting])
            await self._pushes.update_one({"_id": task.subject}, {"$set": {"outcome": "failed"}})
            await self._queue.remove(task)
        else:
            pause = max(_pause(tries), *(outcome.retry_after_seconds for outcome in failed))
            until = now() + timedelta(seconds=min(pause, PAUSE_SECONDS[2]))
            await self._pushes.update_one({"_id": task.subject}, {"$set": {"until": until}})
            await self._move(task, until)

    async def _wanted(self, user_id: str, sent: MessageSent, push: Document) -> list[PushEndpoint]:
        """Return where the user is to be told: what was decided just now is not asked again."""
        if push["tries"] == 0 and now() - push["at"] < SURE:
            return (await self._endpoints.of_users([user_id], now())).get(user_id, [])
        member = parsed(Member, await self._members.find_one({"_id": member_id(sent.conversation_id, user_id)}))
        if member is None:
            return []
        return (await self._audience.of(sent, [member], now(), is_patient=False)).get(user_id, [])

    async def _message(self, place: str) -> MessageSent | None:
        """Return the message at a place; None where it is deleted."""
        conversation_id, _, sequence = place.partition(":")
        entry = await self._entries.at(conversation_id, int(sequence))
        return entry if isinstance(entry, MessageSent) and entry.state.deleted_at is None else None

    async def _move(self, task: Task, due: datetime) -> None:
        """Have a task done later."""
        moved = Task(due, task.work, task.subject)
        await self._queue.put([moved])
        if moved.id != task.id:
            await self._queue.remove(task)


def _pause(tries: int) -> float:
    """Return after how many seconds to try again, at least half of it: not all at the same moment."""
    first, factor, longest = PAUSE_SECONDS
    return min(first * factor ** (tries - 1), longest) * random.uniform(0.5, 1.0)  # noqa: S311  # nobody's secret
