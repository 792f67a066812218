-- Hands out a group's next messages and moves its position.
-- KEYS: list, meta, groups, seen. ARGV: group, consumer, max, history, a number that the consumer changes once it has
-- an answer: the same one again asks for what an answer held that was lost on its way.
-- Answers the first position, how many messages were lost to the group, and the messages; nothing without the group.
local at = tonumber(redis.call('HGET', KEYS[3], ARGV[1]))
if not at then return nil end
local max, history = tonumber(ARGV[3]), tonumber(ARGV[4])
local base = tonumber(redis.call('HGET', KEYS[2], 'base') or '0')
local length = redis.call('LLEN', KEYS[1])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local member = ARGV[1] .. ' ' .. ARGV[2]
-- At most once a second, as a read that finds nothing is to write nothing.
if now - tonumber(redis.call('HGET', KEYS[4], member) or '0') >= 1000 then
  redis.call('HSET', KEYS[4], member, string.format('%.0f', now))
end

local memo = 'last:' .. member
local last = redis.call('HGET', KEYS[2], memo)
local asked, from, count = string.match(last or '', '^(%d+) (%d+) (%d+)$')
if asked == ARGV[5] and tonumber(from) >= base then
  from = tonumber(from)
  return {from, 0, unpack(redis.call('LRANGE', KEYS[1], from - base, from - base + tonumber(count) - 1))}
end

local lost = 0
if at > base + length then
  -- The list was cut or made anew behind our back: what is in it now counts as new, for every group.
  base = at
  local groups = redis.call('HGETALL', KEYS[3])
  for i = 2, #groups, 2 do base = math.max(base, tonumber(groups[i])) end
  for i = 1, #groups, 2 do redis.call('HSET', KEYS[3], groups[i], string.format('%.0f', base)) end
  redis.call('HSET', KEYS[2], 'base', string.format('%.0f', base))
  at = base
elseif at < base then
  lost, at = base - at, base
end

local messages = redis.call('LRANGE', KEYS[1], at - base, at - base + max - 1)
local next = at + #messages
if #messages > 0 or lost > 0 then
  redis.call('HSET', KEYS[3], ARGV[1], string.format('%.0f', next))
end
if #messages > 0 then redis.call('HSET', KEYS[2], memo, string.format('%s %.0f %d', ARGV[5], at, #messages)) end

-- From time to time: what every group has read goes, but for the history, and for what is only now on its way.
if math.floor(next / 128) ~= math.floor(at / 128) and length > history then
  local slowest = at
  for _, position in ipairs(redis.call('HVALS', KEYS[3])) do
    slowest = math.min(slowest, tonumber(position))
  end
  local surplus = slowest - base - history
  if surplus > 0 then
    redis.call('LTRIM', KEYS[1], surplus, -1)
    redis.call('HSET', KEYS[2], 'base', string.format('%.0f', base + surplus))
  end
end
return {at, lost, unpack(messages)}
