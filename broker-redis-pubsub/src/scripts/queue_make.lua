-- Makes a group where it is not there; answers whether it was made.
-- KEYS: list, log, meta, groups. ARGV: group, start, fence.
if redis.call('HEXISTS', KEYS[4], ARGV[1]) == 1 then return 0 end
local base = tonumber(redis.call('HGET', KEYS[3], 'base') or '0')
local at = base
if ARGV[2] == 'latest' then
  -- What lies in the list goes into the log first, for the other groups.
  while redis.call('LMOVE', KEYS[1], KEYS[2], 'LEFT', 'RIGHT') do end
  at = base + redis.call('LLEN', KEYS[2])
elseif ARGV[2] ~= 'earliest' then
  -- A position from before: beyond the end it is one of a log that is gone.
  at = tonumber(ARGV[2])
  if at > base + redis.call('LLEN', KEYS[2]) then at = base end
  at = math.max(at, base)
end
redis.call('HSET', KEYS[4], ARGV[1], string.format('%.0f', at))
redis.call('HSET', KEYS[3], 'fence:' .. ARGV[1], ARGV[3])
return 1
