-- Shows messages from a position on, and changes nothing.
-- KEYS: list, log, meta. ARGV: position or `end`, max.
-- Answers the first position, how many were missed before it, and the messages.
local base = tonumber(redis.call('HGET', KEYS[3], 'base') or '0')
local log = redis.call('LLEN', KEYS[2])
local tail = base + log + redis.call('LLEN', KEYS[1])
if ARGV[1] == 'end' then return {tail, 0} end
local at, max = tonumber(ARGV[1]), tonumber(ARGV[2])
-- A position beyond the end is one of a list that is gone: what is there now is new.
if at > tail then at = base end
local missed = math.max(0, base - at)
at = math.max(at, base)
local messages = {}
if at - base < log then messages = redis.call('LRANGE', KEYS[2], at - base, at - base + max - 1) end
if #messages < max then
  local from = at - base + #messages - log
  for _, message in ipairs(redis.call('LRANGE', KEYS[1], from, from + max - #messages - 1)) do
    messages[#messages + 1] = message
  end
end
return {at, missed, unpack(messages)}
