-- KEYS: delayed. ARGV: delay in milliseconds, a number that no other delayed message has, then fields and values.
-- The number, twenty digits wide, keeps equal messages apart and those of one moment in order.
local member = ARGV[2] .. cmsgpack.pack({ unpack(ARGV, 3) })
redis.call('ZADD', KEYS[1], now() + tonumber(ARGV[1]), member)
return redis.status_reply('OK')
