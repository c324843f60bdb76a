"""The receipts of a conversation's members, as Redis remembers them: all of them or none.

Who moves a marker tells this and everybody who listens in one step. Who changes a membership has them forgotten.
"""

from collections.abc import Mapping
from typing import Final

from services.cache import GRANTED, TOKEN_SECONDS, Cache, Grant, life
from services.log_cache import CHANNEL
from services.redis import Script

_READ = Script(f"""
local found = redis.call('HMGET', KEYS[1], 'generation', 'token')
if found[1] == ARGV[1] then
  if #ARGV > 2 then return redis.call('HMGET', KEYS[1], unpack(ARGV, 3)) end
  return redis.call('HGETALL', KEYS[1])
end
if found[2] or #ARGV > 2 then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'token', ARGV[2])
redis.call('EXPIRE', KEYS[1], {TOKEN_SECONDS})
return {GRANTED}
""")
_PUT = Script("""
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[2] then return end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'generation', ARGV[1], unpack(ARGV, 4))
redis.call('EXPIRE', KEYS[1], ARGV[3])
""")
# What is told may come in another order than it was stored: values begin with where they stand, so they compare.
_TELL = Script("""
redis.call('PUBLISH', ARGV[1], ARGV[2])
local found = redis.call('HMGET', KEYS[1], 'generation', ARGV[3])
if found[1] and found[2] then
  if ARGV[4] > found[2] then redis.call('HSET', KEYS[1], ARGV[3], ARGV[4]) end
else
  redis.call('DEL', KEYS[1])
end
""")
SCRIPTS: Final = (_READ, _PUT, _TELL)

MOST: Final = 1_000  # members; of more, nobody's are remembered

_OWN_FIELDS = (b"generation", b"token")


class ReceiptCache:
    """Values by member. They may be used while Redis is away: then nothing is found and nothing is kept."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    async def all(self, conversation_id: str) -> dict[str, bytes] | Grant | None:
        """Return the values of all members, or the grant to put them, or None."""
        generation = self._cache.trust.generation
        if generation is None:
            return None
        token = self._cache.token()
        reply = await self._cache.asked(_READ, [self._key(conversation_id)], generation, token)
        if not isinstance(reply, list):
            return Grant(generation, token) if reply == GRANTED else None
        found = dict(zip(reply[::2], reply[1::2], strict=True))
        return {name.decode(): value for name, value in found.items() if name not in _OWN_FIELDS}

    async def some(self, conversation_id: str, user_ids: list[str]) -> dict[str, bytes] | None:
        """Return the values of those of these users who are members, or None where they are not remembered."""
        generation = self._cache.trust.generation
        if generation is None:
            return None
        reply = await self._cache.asked(_READ, [self._key(conversation_id)], generation, "", *user_ids)
        if not isinstance(reply, list):
            return None
        return {user_id: value for user_id, value in zip(user_ids, reply, strict=True) if value is not None}

    def put(self, conversation_id: str, grant: Grant, values: Mapping[str, bytes]) -> None:
        """Have the values of all members remembered that were read after the grant was given."""
        if len(values) > MOST:
            return
        pairs = [part for pair in values.items() for part in pair]
        key = self._key(conversation_id)
        self._cache.redis.send("EVALSHA", _PUT.sha, 1, key, grant.generation, grant.token, life(), *pairs)

    async def tell(self, conversation_id: str, user_id: str, value: bytes, message: bytes) -> None:
        """Tell those who will read of a member's value, and those who listen of a message.

        Raises:
            CommitUnknown: it is not sure that nobody will read less.
        """
        key = self._key(conversation_id)
        await self._cache.told(_TELL, [key], CHANNEL + conversation_id, message, user_id, value)

    def counted(self, *, hit: bool) -> None:
        """Count something that was asked for."""
        self._cache.counted("receipts", hit=hit)

    def _key(self, conversation_id: str) -> str:
        return self._cache.key("receipts", conversation_id)
