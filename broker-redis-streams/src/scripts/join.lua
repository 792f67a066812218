-- KEYS: stream, state, leases, groups of the stream.
-- ARGV: group, start, then optionally consumer and lease in milliseconds.
-- Answers whether the group was made, its epoch, and the token for plain acks.
local stream, state, leases, groups = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local group, start, consumer, lease = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local made = redis.pcall('XGROUP', 'CREATE', stream, group, start, 'MKSTREAM')
if made.err and not string.find(made.err, 'BUSYGROUP', 1, true) then
  return made
end
if not made.err then
  -- Receipts of a former group of this name name entries that may be handed out anew.
  redis.call('HINCRBY', state, 'epoch', 1)
  redis.call('HINCRBY', state, 'fast', 1)
  redis.call('SADD', groups, group)
end
if consumer then
  redis.call('XGROUP', 'CREATECONSUMER', stream, group, consumer)
  redis.call('HSET', leases, consumer, lease)
end
return { made.err and 0 or 1, redis.call('HGET', state, 'epoch') or '0', redis.call('HGET', state, 'fast') or '0' }
