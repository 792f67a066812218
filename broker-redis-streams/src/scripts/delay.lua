-- KEYS: delayed. ARGV: delay in milliseconds, a number that no other delayed message has, the channel that wakes readers,
-- what to tell there, then fields and values.
-- The number, twenty digits wide, keeps equal messages apart and those of one moment in order.
local member = ARGV[2] .. cmsgpack.pack({ unpack(ARGV, 5) })
redis.call('ZADD', KEYS[1], now() + tonumber(ARGV[1]), member)
redis.pcall('PUBLISH', ARGV[3], ARGV[4])
return redis.status_reply('OK')
