-- Makes a group where it is not there; answers whether it was made.
-- KEYS: list, meta, groups, and where Protean keeps positions, the group's. ARGV: group, start.
local made = redis.call('HEXISTS', KEYS[3], ARGV[1]) == 0
if not made then return 0 end
local base = tonumber(redis.call('HGET', KEYS[2], 'base') or '0')
local tail = base + redis.call('LLEN', KEYS[1])
local at = base
if ARGV[2] == 'latest' then
  at = tail
elseif ARGV[2] ~= 'earliest' then
  -- A position from before: beyond the end it is one of a list that is gone.
  at = tonumber(ARGV[2])
  if at > tail then at = base end
  at = math.max(at, base)
end
redis.call('HSET', KEYS[3], ARGV[1], string.format('%.0f', at))
if KEYS[4] then redis.call('SET', KEYS[4], string.format('%.0f', at), 'NX') end
return 1
