-- Hands out a group's next messages and moves its position, which stands where Protean keeps it. Nothing is trimmed,
-- as Protean takes positions for places in the list.
-- KEYS: list, meta, groups, seen, position. ARGV: group, consumer, max.
if redis.call('HEXISTS', KEYS[3], ARGV[1]) == 0 then return nil end
local at = tonumber(redis.call('GET', KEYS[5]) or '0')
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local member = ARGV[1] .. ' ' .. ARGV[2]
-- At most once a second, as a read that finds nothing is to write nothing.
if now - tonumber(redis.call('HGET', KEYS[4], member) or '0') >= 1000 then
  redis.call('HSET', KEYS[4], member, string.format('%.0f', now))
end
local messages = redis.call('LRANGE', KEYS[1], at, at + tonumber(ARGV[3]) - 1)
if #messages > 0 then redis.call('SET', KEYS[5], string.format('%.0f', at + #messages)) end
return {at, 0, unpack(messages)}
