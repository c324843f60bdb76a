"""The scripts of presence: what Redis does in one step. `services/presence_store.py` says what the keys hold."""

from typing import Final

from services.redis import Script

KEEP_SECONDS: Final = 24 * 3600  # that a user is remembered whom no process tells of
WRITE_MS: Final = 60_000  # between two times that `lastSeenAt` is written
MUTE_DEVICES: Final = 20  # devices without a connection of which it is remembered what they said

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local newest = time[1] * 1000000 + time[2]
local function text(number) return string.format('%.0f', number) end
"""

# What is to be seen of a user, compared with what was; the reply is `Change`.
_SETTLE = f"""
local function settle(key, channel, gap)
  local fields, flat = {{}}, redis.call('HGETALL', key)
  for i = 1, #flat, 2 do fields[flat[i]] = flat[i + 1] end
  local total, best = 0, 0
  for name, value in pairs(fields) do
    local session = string.match(name, '^on:[^:]*:(.*)$')
    if session then
      local status, count = string.match(value, '^(%d+)|(%d+)|')
      status, count = tonumber(status), tonumber(count)
      if fields['says:' .. session] then status = 1 end
      total, best = total + count, math.max(best, status)
    end
  end
  local shown, grace = tonumber(fields.status or '0'), tonumber(fields.grace or '0')
  local wanted, wait, write = best, 0, 0
  if total == 0 and shown > 0 and grace > now then wanted, wait = shown, grace - now end
  if total > 0 and grace > 0 then redis.call('HDEL', key, 'grace') end
  if wanted ~= shown then
    local free = tonumber(fields.at or '0') + gap
    if wanted ~= 2 and free > now then
      wait = free - now
    else
      shown = wanted
      local version = text(math.max(tonumber(fields.pv or '0') + 1, newest))
      redis.call('HSET', key, 'status', shown, 'pv', version, 'at', text(now))
      redis.call('SPUBLISH', channel, table.concat({{version, shown, text(now), fields.seen or '0', total}}, ' '))
      if shown == 0 or now - tonumber(fields.written or '0') >= {WRITE_MS} then
        write = 1
        redis.call('HSET', key, 'written', text(now))
      end
    end
  end
  redis.call('EXPIRE', key, {KEEP_SECONDS})
  return {{wait, write, tonumber(fields.seen or '0'), total}}
end
"""

# A device's connections through one process are now so many. A reaper takes away what was told under one lease only.
TELL: Final = Script(
    _NOW
    + _SETTLE
    + """
local key, field = KEYS[1], 'on:' .. ARGV[2] .. ':' .. ARGV[4]
local lease, status, count, grace, age = ARGV[3], ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local held = redis.call('HGET', key, field)
local changed = true
if ARGV[10] == 'reap' then
  changed = held and string.match(held, '^%d+|%d+|(.*)$') == lease
  if changed and string.match(held, '^(%d+)') ~= '2' then age = -1 end
end
if changed then
  if count > 0 then
    redis.call('HSET', key, field, status .. '|' .. count .. '|' .. lease)
    if ARGV[10] == 'away' then redis.call('HSET', key, 'says:' .. ARGV[4], '1') end
  elseif held then
    redis.call('HDEL', key, field)
    if grace > 0 then
      local known = tonumber(redis.call('HGET', key, 'grace') or '0')
      redis.call('HSET', key, 'grace', text(math.max(known, now + grace)))
    end
  end
  if age >= 0 and (held or count > 0) then
    local seen = math.max(tonumber(redis.call('HGET', key, 'seen') or '0'), now - age)
    redis.call('HSET', key, 'seen', text(seen))
  end
end
local reply = settle(key, ARGV[1], tonumber(ARGV[9]))
reply[5] = redis.call('HEXISTS', key, 'says:' .. ARGV[4])
return reply
"""
)

# A device says that it is away, or no longer. Returns through which processes it is connected.
SAY: Final = Script(
    _NOW
    + _SETTLE
    + f"""
local key, session = KEYS[1], ARGV[2]
if ARGV[3] == '1' then redis.call('HSET', key, 'says:' .. session, '1')
else redis.call('HDEL', key, 'says:' .. session) end
local connected, through, mute = {{}}, {{}}, {{}}
for _, name in ipairs(redis.call('HKEYS', key)) do
  local instance, device = string.match(name, '^on:([^:]*):(.*)$')
  if device then connected[device] = true end
  if device == session then table.insert(through, instance) end
end
for _, name in ipairs(redis.call('HKEYS', key)) do
  local device = string.match(name, '^says:(.*)$')
  if device and device ~= session and not connected[device] then table.insert(mute, name) end
end
if #mute > {MUTE_DEVICES} then redis.call('HDEL', key, unpack(mute)) end
settle(key, ARGV[1], tonumber(ARGV[4]))
return through
"""
)

READ: Final = Script(
    _NOW
    + """
local found = redis.call('HMGET', KEYS[1], 'status', 'pv', 'seen')
local total, devices, flat = 0, {}, redis.call('HGETALL', KEYS[1])
for i = 1, #flat, 2 do
  local session = string.match(flat[i], '^on:[^:]*:(.*)$')
  if session then
    local count, lease = string.match(flat[i + 1], '^%d+|(%d+)|(.*)$')
    total = total + tonumber(count)
    table.insert(devices, session)
    table.insert(devices, lease)
  end
end
return {text(now), found[1] or '', found[2] or '0', found[3] or '', total, devices}
"""
)

# Told to those who watch: read again, something outside of this hash has changed.
REREAD: Final = Script(
    _NOW
    + f"""
local version = text(math.max(tonumber(redis.call('HGET', KEYS[1], 'pv') or '0') + 1, newest))
redis.call('HSET', KEYS[1], 'pv', version)
redis.call('EXPIRE', KEYS[1], {KEEP_SECONDS})
redis.call('SPUBLISH', ARGV[1], version)
"""
)

# How long the leases still last that are named, in milliseconds; nothing of those that nobody remembers.
LEFT: Final = Script(
    _NOW
    + """
local left = {}
for i, ends in ipairs(redis.call('ZMSCORE', KEYS[1], unpack(ARGV))) do left[i] = text((ends or 0) - now) end
return left
"""
)

# The leases that have not ended.
LIVE: Final = Script(_NOW + "return redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. text(now), '+inf')")

# The era, and what time it is where that is written down: each node of a cluster has a clock of its own.
ERA: Final = Script(
    _NOW
    + """
local era = redis.call('HMGET', KEYS[1], 'run', 'since', 'beat')
return {text(now), era[1] or '', era[2] or '', era[3] or ''}
"""
)

# A process is there. Where no process has been for a moment, Redis has lost what it knew, or a process is not done with
# telling of its devices, another era begins: nobody who is not known is taken for absent, and nobody is reaped, until
# all have had time to tell.
BEAT: Final = Script(
    _NOW
    + f"""
local ends, is_lost = redis.call('ZSCORE', KEYS[1], ARGV[1]), 0
if ARGV[4] ~= '1' and (not ends or tonumber(ends) <= now) then is_lost = 1
else redis.call('ZADD', KEYS[1], text(now + tonumber(ARGV[2])), ARGV[1]) end
local era = redis.call('HMGET', KEYS[2], 'run', 'since', 'beat')
local since = tonumber(era[2] or '0')
if era[1] ~= ARGV[3] or now - tonumber(era[3] or '0') > tonumber(ARGV[5]) or ARGV[6] == '1' then since = now end
redis.call('HSET', KEYS[2], 'run', ARGV[3], 'since', text(since), 'beat', text(now))
redis.call('EXPIRE', KEYS[1], {KEEP_SECONDS})
redis.call('EXPIRE', KEYS[2], {KEEP_SECONDS})
local dead = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', text(now), 'WITHSCORES', 'LIMIT', 0, 100)
return {{text(now), is_lost, text(since), dead, redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. text(now), '+inf')}}
"""
)

# A process that goes leaves its devices behind for a while: whoever comes back elsewhere meanwhile was never gone.
RELEASE: Final = Script(
    _NOW
    + """
redis.call('ZADD', KEYS[1], 'XX', text(now + tonumber(ARGV[2])), ARGV[1])
"""
)

SCRIPTS: Final = (TELL, SAY, READ, REREAD, LEFT, LIVE, ERA, BEAT, RELEASE)
