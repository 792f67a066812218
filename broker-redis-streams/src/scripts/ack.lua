-- KEYS: stream, state. ARGV: epoch, group, ids.
-- Acknowledges deliveries that their owner knows to be its own; answers how many were pending, or -1 after the group
-- was moved.
if (redis.call('HGET', KEYS[2], 'epoch') or '0') ~= ARGV[1] then
  return -1
end
return redis.call('XACK', KEYS[1], unpack(ARGV, 2))
