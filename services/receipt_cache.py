"""The receipts of a conversation's members, as Redis remembers them: all of them or none.

For each conversation there are two keys: a hash, with each member's value; and a sorted set of where all of them stand,
from which the floor is read, however many they are. Who moves a marker tells this and everybody who listens in one
step. Who changes a membership has them forgotten.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from services.cache import GRANTED, TOKEN_SECONDS, Cache, Grant, life
from services.delivery import Floor
from services.log_cache import CHANNEL, RECEIPT_KEYS
from services.redis import Script, channel_of

# Each value begins with three numbers of so many digits: up to where it was delivered, was read, and the joining. In
# the sorted set each has its own band of scores, and the user's id after the number of the band.
DIGITS: Final = 12
_BANDS: Final = 3
_BAND: Final = 10 ** (DIGITS + 1)
_PLACES = f"""
local function place(value, band)
  return string.format('%.0f', band * {_BAND} + tonumber(string.sub(value, band * {DIGITS} + 1, (band + 1) * {DIGITS})))
end
local function put_places(user, value)
  for band = 0, {_BANDS - 1} do redis.call('ZADD', KEYS[2], place(value, band), band .. user) end
end
"""

_GRANT = f"""
if found[2] or ARGV[2] == '' then return 0 end
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('HSET', KEYS[1], 'token', ARGV[2])
redis.call('EXPIRE', KEYS[1], {TOKEN_SECONDS})
return {GRANTED}
"""
_READ = Script(f"""
local found = redis.call('HMGET', KEYS[1], 'generation', 'token')
if found[1] == ARGV[1] then return redis.call('HMGET', KEYS[1], unpack(ARGV, 3)) end
{_GRANT}
""")
# Redis may have thrown one of the two keys away, to make room.
_FLOOR = Script(f"""
local found = redis.call('HMGET', KEYS[1], 'generation', 'token')
if found[1] == ARGV[1] and redis.call('ZCARD', KEYS[2]) == {_BANDS} * (redis.call('HLEN', KEYS[1]) - 1) then
  local floor = {{}}
  for band = 0, {_BANDS - 1} do
    local low, high = string.format('%.0f', band * {_BAND}), string.format('%.0f', (band + 1) * {_BAND})
    floor[band + 1] = redis.call('ZRANGEBYSCORE', KEYS[2], low, '(' .. high, 'WITHSCORES', 'LIMIT', 0, 2)
  end
  return floor
end
{_GRANT}
""")
_PUT = Script(f"""
{_PLACES}
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[2] then return end
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('HSET', KEYS[1], 'generation', ARGV[1])
for index = 4, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[index], ARGV[index + 1])
  put_places(ARGV[index], ARGV[index + 1])
end
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('EXPIRE', KEYS[2], ARGV[3])
""")
# What is told may come in another order than it was stored: values begin with where they stand, so they compare.
_TELL = Script(f"""
{_PLACES}
redis.call('SPUBLISH', ARGV[1], ARGV[2])
local found = redis.call('HMGET', KEYS[1], 'generation', ARGV[3])
if found[1] and found[2] then
  if ARGV[4] > found[2] then
    redis.call('HSET', KEYS[1], ARGV[3], ARGV[4])
    put_places(ARGV[3], ARGV[4])
  end
else
  redis.call('DEL', KEYS[1], KEYS[2])
end
""")
SCRIPTS: Final = (_READ, _FLOOR, _PUT, _TELL)

MOST: Final = 10_000  # members; of more, nobody's are remembered


class ReceiptCache:
    """Values by member. They may be used while Redis is away: then nothing is found and nothing is kept."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    async def some(
        self, conversation_id: str, user_ids: Sequence[str], *, grantable: bool
    ) -> dict[str, bytes] | Grant | None:
        """Return the values of those of these users who are members, or None where they are not remembered.

        If `grantable`, perhaps the grant to put the values of all members instead of None.
        """
        reply, grant = await self._read(_READ, conversation_id, *user_ids, grantable=grantable)
        if not isinstance(reply, list):
            return grant
        return {user_id: value for user_id, value in zip(user_ids, reply, strict=True) if value is not None}

    async def floor(self, conversation_id: str) -> Floor | Grant | None:
        """Return where those stand who are the farthest behind, or the grant to put the values of all, or None."""
        reply, grant = await self._read(_FLOOR, conversation_id, grantable=True)
        if not isinstance(reply, list):
            return grant
        delivered, read, joined = (
            [(int(score) % _BAND, user.decode()[1:]) for user, score in zip(found[::2], found[1::2], strict=True)]
            for found in reply
        )
        return Floor(delivered=delivered, read=read, joined=joined)

    def put(self, conversation_id: str, grant: Grant, values: Mapping[str, bytes]) -> None:
        """Have the values of all members remembered that were read after the grant was given."""
        if len(values) > MOST:
            return
        pairs = [part for pair in values.items() for part in pair]
        keys = self._keys(conversation_id)
        self._cache.redis.send("EVALSHA", _PUT.sha, 2, *keys, grant.generation, grant.token, life(), *pairs)

    async def tell(self, conversation_id: str, user_id: str, value: bytes, message: bytes) -> None:
        """Tell those who will read of a member's value, and those who listen of a message.

        Raises:
            CommitUnknown: it is not sure that nobody will read less.
        """
        await self._cache.told(
            _TELL, self._keys(conversation_id), channel_of(CHANNEL, conversation_id), message, user_id, value
        )

    def counted(self, *, hit: bool) -> None:
        """Count something that was asked for."""
        self._cache.counted("receipts", hit=hit)

    async def _read(
        self, script: Script, conversation_id: str, *arguments: str, grantable: bool
    ) -> tuple[Any, Grant | None]:
        keys = self._keys(conversation_id)
        generation = self._cache.trust.generation(keys[0])
        if generation is None:
            return None, None
        token = self._cache.token() if grantable else ""
        reply = await self._cache.asked(script, keys, generation, token, *arguments)
        return reply, Grant(generation, token) if reply == GRANTED else None

    def _keys(self, conversation_id: str) -> list[str]:
        return [self._cache.key(kind, conversation_id) for kind in RECEIPT_KEYS]
