-- KEYS: stream, state. ARGV: token, group, ids.
-- Acknowledges deliveries that their owner knows to be its own; answers how many were pending, or -1 where that
-- may have changed since: the token rises with each change of hands by force.
if (redis.call('HGET', KEYS[2], 'fast') or '0') ~= ARGV[1] then
  return -1
end
return redis.call('XACK', KEYS[1], unpack(ARGV, 2))
