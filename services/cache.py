"""What Redis remembers of MongoDB, and whether it may be believed. Decision 12 has the reasons.

A value is only put where its reader was first given a token, and every change takes the token away: so what was read
before a change is never put after it. A change is told before it is answered. Whoever cannot tell withdraws everybody's
trust first, through MongoDB: so nobody reads less than was answered, whatever becomes of Redis.
"""

import asyncio
import math
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Self

import bson
import structlog
from bson.codec_options import CodecOptions
from pymongo.errors import PyMongoError

from services.errors import CommitUnknown
from services.failures import described
from services.mongo import Database, Document
from services.redis import Redis, RedisFailedError, Script
from services.tasks import Tasks

POLL_SECONDS: Final = 0.5  # between two looks at MongoDB's counter, and between two steps of it
TRUST_SECONDS: Final = 1.5  # how long after a look Redis may be believed
QUIET_SECONDS: Final = 4.0  # for so long the counter must have stood still
GAP_SECONDS: Final = 1.0  # between two steps at most, else those who look might not see that it moves
WITHDRAW_SECONDS: Final = 4.0  # after that nobody can be sure of anything
LIFE_SECONDS: Final = (600, 900)  # of what is remembered, by chance between these: not all of it ends at once
TOKEN_SECONDS: Final = 5  # how long a reader may take to put a value

_CODEC = CodecOptions[dict[str, Any]](tz_aware=True)
_logger = structlog.get_logger()

_READ = Script(f"""
local found = redis.call('HMGET', KEYS[1], 'generation', 'value', 'token')
if found[1] == ARGV[1] then return found[2] end
if found[3] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'token', ARGV[2])
redis.call('EXPIRE', KEYS[1], {TOKEN_SECONDS})
return 1
""")
_PUT = Script("""
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[2] then return end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'generation', ARGV[1], 'value', ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])
""")
SCRIPTS: Final = (_READ, _PUT)

GRANTED: Final = 1  # what scripts say to a reader who finds nothing and was given a token


@dataclass(frozen=True, slots=True)
class Grant:
    """Who has this may put what it reads now, unless something changes before."""

    generation: str
    token: str


class Trust:
    """Whether everything that was answered, by any process, has reached Redis.

    The rule is a counter in MongoDB. A process that cannot reach Redis steps it twice a second. All look at it as
    often, and believe Redis only while it stands still. So once it has moved for a moment, nobody does.
    """

    def __init__(self, database: Database, redis: Redis) -> None:
        self._meta = database["meta"]
        self._redis = redis
        self._counter = -1  # as it was seen last; -1 before that
        self._looked_at = -math.inf  # when the newest look began that was answered, by the event loop's clock
        self._moved_at = math.inf  # when the counter was last seen to be another one
        self._failed_at = -math.inf  # when Redis last failed
        self._stepping: asyncio.Task[None] | None = None  # while this process steps the counter
        self._stepping_since = math.inf  # since when it was stepped without a gap
        self._stepped_at = -math.inf
        self._stepped = asyncio.Event()
        self._tasks = Tasks()
        redis.on_lost.append(self.doubt)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Look at the counter until this ends."""
        self._tasks.spawn(self._keep_looking())
        try:
            yield self
        finally:
            await self._tasks.close()

    def generation(self, key: str) -> str | None:
        """What is put under a key or believed must carry this; None while Redis is not to be believed.

        It has the run of the server that has the key: another one, or one that was started again, may lack the newest.
        """
        now, run_id = _time(), self._redis.run_id_of(key)
        if (
            run_id is None
            or self._stepping is not None
            or now - self._looked_at > TRUST_SECONDS
            or now - self._moved_at < QUIET_SECONDS
        ):
            return None
        return f"{self._counter}:{run_id}"

    def doubt(self) -> None:
        """Begin to withdraw everybody's trust: Redis has failed this process."""
        self._failed_at = _time()
        if self._stepping is None:
            _logger.warning("cache.withdrawn")
            self._stepping = self._tasks.spawn(self._keep_stepping())

    async def withdraw(self) -> None:
        """Return once nobody believes Redis any more.

        Raises:
            CommitUnknown: that was not reached: what was changed may not show yet.
        """
        self.doubt()
        try:
            async with asyncio.timeout(WITHDRAW_SECONDS):
                while not self._is_withdrawn():
                    self._stepped.clear()
                    await self._stepped.wait()
        except TimeoutError:
            raise CommitUnknown("This may or may not have been stored. Send it again with the same id.") from None

    def _is_withdrawn(self) -> bool:
        now = _time()
        return now - self._stepping_since >= TRUST_SECONDS and now - self._stepped_at <= GAP_SECONDS

    async def _keep_looking(self) -> None:
        while True:
            began = _time()
            try:
                found = await self._meta.find_one({"_id": "cache"})
            except PyMongoError:
                pass  # what was seen last grows too old by itself
            else:
                self._see(int(found["counter"]) if found else 0)
                self._looked_at = began
            await asyncio.sleep(POLL_SECONDS)

    def _see(self, counter: int) -> None:
        if counter != self._counter:
            self._counter, self._moved_at = counter, _time()

    async def _keep_stepping(self) -> None:
        """Step the counter until Redis has worked again for a moment."""
        try:
            while not self._redis.up.is_set() or _time() - self._failed_at < QUIET_SECONDS / 2:
                try:
                    await self._meta.find_one_and_update({"_id": "cache"}, {"$inc": {"counter": 1}}, upsert=True)
                except PyMongoError as error:
                    _logger.warning("cache.not_withdrawn", error=described(error))
                else:
                    now = _time()
                    if now - self._stepped_at > GAP_SECONDS:
                        self._stepping_since = now
                    self._stepped_at = now
                    self._stepped.set()
                await asyncio.sleep(POLL_SECONDS)
        finally:
            self._stepping, self._moved_at = None, _time()


class Cache:
    """Values by key: read through, changed by forgetting. What is shared by all kinds of cached things is here too."""

    def __init__(self, redis: Redis, trust: Trust, epoch: int, instance: str) -> None:
        self.redis = redis
        self.trust = trust
        # How often something was asked for, by its kind, and whether that cost no read of MongoDB.
        self.hits: Counter[str] = Counter()
        self.misses: Counter[str] = Counter()
        self._epoch = epoch
        self._instance = instance
        self._tokens = 0
        self._tasks = Tasks()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Own what is put beside the callers."""
        try:
            yield self
        finally:
            await self._tasks.close(grace_seconds=1.0)

    def key(self, kind: str, name: str) -> str:
        """Return the key of something; all that belongs to one name is on one node of a cluster."""
        return f"parley:{self._epoch}:{kind}:{{{name}}}"

    def token(self) -> str:
        """Return a token that nobody else has."""
        self._tokens += 1
        return f"{self._instance}:{self._tokens}"

    def counted(self, kind: str, *, hit: bool) -> None:
        """Count something that was asked for."""
        (self.hits if hit else self.misses)[kind] += 1

    def spawn[T](self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Do something beside the caller."""
        return self._tasks.spawn(work)

    async def asked(self, script: Script, keys: list[str], *arguments: str | bytes | int) -> Any:
        """Run a script that reads; a failure is no answer: None, and Redis is doubted."""
        try:
            return await self.redis.run(script, keys, *arguments)
        except RedisFailedError:
            self.trust.doubt()
            return None

    async def told(self, script: Script, keys: list[str], *arguments: str | bytes | int) -> Any:
        """Run a script that tells of a change; return once that has come, or nobody believes Redis any more: then None.

        Raises:
            CommitUnknown: neither is sure.
        """
        try:
            return await self.redis.run(script, keys, *arguments)
        except RedisFailedError:
            await self.trust.withdraw()
            return None

    # ------------------------------------------------------------ values

    async def get_many(
        self, kind: str, names: Iterable[str], read: Callable[[list[str]], Awaitable[dict[str, Document]]]
    ) -> dict[str, Document]:
        """Return the documents of these names that exist; `read` gets them from MongoDB.

        Raises:
            PyMongoError: MongoDB had to be asked, and did not answer.
        """
        wanted = list(dict.fromkeys(names))
        grants = {
            name: Grant(generation, self.token())
            for name in wanted
            if (generation := self.trust.generation(self.key(kind, name))) is not None
        }
        replies = await asyncio.gather(
            *(
                self.asked(_READ, [self.key(kind, name)], grant.generation, grant.token)
                for name, grant in grants.items()
            )
        )
        answers = dict(zip(grants, replies, strict=True))
        found = {name: decoded(reply) for name, reply in answers.items() if isinstance(reply, bytes)}
        missing = [name for name in wanted if name not in found]
        self.hits[kind] += len(found)
        self.misses[kind] += len(grants) - len(found)
        if missing or not wanted:
            fresh = await read(missing)
            for name in missing:
                if answers.get(name) == GRANTED and name in fresh:
                    self._put(kind, name, grants[name], bson.encode(fresh[name]))
            found |= fresh
        return found

    async def left(self, kind: str, names: Iterable[str]) -> dict[str, Document]:
        """Return what Redis has of these names, whether it is to be believed or not: for when nobody can be asked."""
        wanted = list(dict.fromkeys(names))
        try:
            replies = await asyncio.gather(*(self.redis.call("HGET", self.key(kind, name), "value") for name in wanted))
        except RedisFailedError:
            return {}
        return {name: decoded(reply) for name, reply in zip(wanted, replies, strict=True) if reply is not None}

    def _put(self, kind: str, name: str, grant: Grant, value: bytes) -> None:
        key = self.key(kind, name)
        self.redis.send("EVALSHA", _PUT.sha, 1, key, grant.generation, grant.token, value, life())

    async def forget(self, *keys: str) -> None:
        """See to it that nobody reads any more what these keys, of one name, had before a change.

        Raises:
            CommitUnknown: that is not sure.
        """
        try:
            await self.redis.call("DEL", *keys)
        except RedisFailedError:
            await self.trust.withdraw()


def life() -> int:
    """Return how many seconds something is remembered."""
    return random.randint(*LIFE_SECONDS)  # noqa: S311  # to spread them, not to hide them


def decoded(value: bytes) -> Document:
    """Return a document that was kept as bytes."""
    return bson.decode(value, _CODEC)


def _time() -> float:
    return asyncio.get_running_loop().time()
