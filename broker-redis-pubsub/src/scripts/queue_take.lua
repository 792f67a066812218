-- Hands out what is due again to a group, then what is new, and notes who has it until when.
-- KEYS: list, log, meta, groups, pending, again, state, seen.
-- ARGV: group, consumer, max, lease in ms, history, prefix of the groups' state keys.
-- Answers fence, next position, ms until something is due (or -1), how many were lost, and for each message its
-- position, attempt, delivery and bytes; nothing without the group.
local at = tonumber(redis.call('HGET', KEYS[4], ARGV[1]))
if not at then return nil end
local waiting = redis.call('LLEN', KEYS[1])
local max, lease, history = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local base = tonumber(redis.call('HGET', KEYS[3], 'base') or '0')
local length = redis.call('LLEN', KEYS[2])
local function text(number) return string.format('%.0f', number) end
local member = ARGV[1] .. ' ' .. ARGV[2]
-- At most once a second, as a read that finds nothing is to write nothing.
if now - tonumber(redis.call('HGET', KEYS[8], member) or '0') >= 1000 then
  redis.call('HSET', KEYS[8], member, text(now))
end

local lost = 0
if at > base + length then
  -- The log is gone: what comes now counts as new.
  base = at
  redis.call('HSET', KEYS[3], 'base', text(base))
elseif at < base then
  lost, at = base - at, base
end

-- Leases that ended: their messages are due since then.
for _, place in ipairs(redis.call('ZRANGEBYSCORE', KEYS[5], '-inf', now, 'LIMIT', 0, max)) do
  redis.call('ZREM', KEYS[5], place)
  redis.call('ZADD', KEYS[6], text(now), place)
end

local answer = {redis.call('HGET', KEYS[3], 'fence:' .. ARGV[1]) or '0', 0, 0, 0}
local ends = text(now + lease)
local found = 0
for _, place in ipairs(redis.call('ZRANGEBYSCORE', KEYS[6], '-inf', now, 'LIMIT', 0, max)) do
  redis.call('ZREM', KEYS[6], place)
  local state = redis.call('HGET', KEYS[7], place)
  local attempt, delivery
  if state then attempt, delivery = string.match(state, '^(%d+) (%d+) ') end
  local body = attempt and tonumber(place) >= base and redis.call('LINDEX', KEYS[2], tonumber(place) - base)
  if body then
    attempt, delivery = tonumber(attempt) + 1, tonumber(delivery) + 1
    redis.call('HSET', KEYS[7], place, attempt .. ' ' .. delivery .. ' d ' .. ARGV[2])
    redis.call('ZADD', KEYS[5], ends, place)
    local n = #answer
    answer[n + 1], answer[n + 2], answer[n + 3], answer[n + 4] = place, attempt, delivery, body
    found = found + 1
  else
    redis.call('HDEL', KEYS[7], place)
    lost = lost + 1
  end
end

local want = max - found
if want > 0 then
  local ready = base + redis.call('LLEN', KEYS[2]) - at
  for _ = 1, math.min(want - ready, waiting) do
    redis.call('LMOVE', KEYS[1], KEYS[2], 'LEFT', 'RIGHT')
  end
  local bodies = redis.call('LRANGE', KEYS[2], at - base, at - base + want - 1)
  if #bodies > 0 then
    local pending, states = {}, {}
    for i, body in ipairs(bodies) do
      local place = text(at + i - 1)
      pending[2 * i - 1], pending[2 * i] = ends, place
      states[2 * i - 1], states[2 * i] = place, '1 1 d ' .. ARGV[2]
      local n = #answer
      answer[n + 1], answer[n + 2], answer[n + 3], answer[n + 4] = place, 1, 1, body
    end
    redis.call('ZADD', KEYS[5], unpack(pending))
    redis.call('HSET', KEYS[7], unpack(states))
  end
  local next = at + #bodies
  if #bodies > 0 or lost > 0 then redis.call('HSET', KEYS[4], ARGV[1], text(next)) end

  -- From time to time: what every group has settled goes, but for the history.
  if math.floor(next / 512) ~= math.floor(at / 512) and next - base > history then
    local slowest = next
    local groups = redis.call('HGETALL', KEYS[4])
    for i = 1, #groups, 2 do
      slowest = math.min(slowest, tonumber(groups[i + 1]))
      for _, place in ipairs(redis.call('HKEYS', ARGV[6] .. groups[i])) do
        slowest = math.min(slowest, tonumber(place))
      end
    end
    local surplus = slowest - base - history
    if surplus > 0 then
      redis.call('LTRIM', KEYS[2], surplus, -1)
      redis.call('HSET', KEYS[3], 'base', text(base + surplus))
    end
  end
  at = next
end

local due = -1
for _, key in ipairs({KEYS[5], KEYS[6]}) do
  local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
  if first then
    local rest = math.max(0, tonumber(first) - now)
    if due < 0 or rest < due then due = rest end
  end
end
answer[2], answer[3], answer[4] = text(at), due, lost
return answer
