-- Removes a group; answers 1, 0 where there was none, or -1 where deliveries are pending and force is not set.
-- KEYS: meta, groups, seen, pending, again, state. ARGV: group, force.
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 0 then return 0 end
if ARGV[2] ~= '1' and redis.call('HLEN', KEYS[6]) > 0 then return -1 end
for _, member in ipairs(redis.call('HKEYS', KEYS[3])) do
  if string.sub(member, 1, #ARGV[1] + 1) == ARGV[1] .. ' ' then
    redis.call('HDEL', KEYS[3], member)
    redis.call('HDEL', KEYS[1], 'last:' .. member)
  end
end
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[1], 'fence:' .. ARGV[1])
redis.call('DEL', KEYS[4], KEYS[5], KEYS[6])
return 1
