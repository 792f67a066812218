-- Removes a member; what it had in hand is due again at once. Answers how many messages that were.
-- KEYS: seen, pending, again, state, meta. ARGV: group, consumer, wake channel.
redis.call('HDEL', KEYS[1], ARGV[1] .. ' ' .. ARGV[2])
redis.call('HDEL', KEYS[5], 'last:' .. ARGV[1] .. ' ' .. ARGV[2])
local moved = 0
local states = redis.call('HGETALL', KEYS[4])
for i = 1, #states, 2 do
  local attempt, delivery, mode, owner = string.match(states[i + 1], '^(%d+) (%d+) (%a) (.*)$')
  if owner == ARGV[2] and mode == 'd' then
    redis.call('HSET', KEYS[4], states[i], attempt .. ' ' .. delivery .. ' n ' .. owner)
    redis.call('ZREM', KEYS[2], states[i])
    redis.call('ZADD', KEYS[3], 0, states[i])
    moved = moved + 1
  end
end
if moved > 0 then redis.call('PUBLISH', ARGV[3], '') end
return moved
