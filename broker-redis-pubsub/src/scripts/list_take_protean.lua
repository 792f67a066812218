-- Hands out a group's next messages and moves its position, which stands where Protean keeps it. Nothing is trimmed,
-- as Protean takes positions for places in the list.
-- KEYS: list, meta, groups, seen, position. ARGV: group, consumer, max.
if redis.call('HEXISTS', KEYS[3], ARGV[1]) == 0 then return nil end
local at = tonumber(redis.call('GET', KEYS[5]) or '0')
local now = redis.call('TIME')
redis.call('HSET', KEYS[4], ARGV[1] .. ' ' .. ARGV[2], now[1] .. string.sub('00000' .. now[2], -6, -4))
local messages = redis.call('LRANGE', KEYS[1], at, at + tonumber(ARGV[3]) - 1)
if #messages > 0 then redis.call('SET', KEYS[5], string.format('%.0f', at + #messages)) end
return {at, 0, unpack(messages)}
