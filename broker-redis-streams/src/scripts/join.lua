-- KEYS: stream, state, leases, groups of the stream.
-- ARGV: group, start, then optionally consumer, lease in milliseconds, and what the consumer knows: empty where it
-- joins for the first time, else the position before the first entry that it has not settled.
-- Answers whether the group was made, its epoch, the token for plain acks, and where a group that was lost goes on.
local stream, state, leases, groups = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local group, start, consumer, lease, known = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5] or ''

-- What is written down holds for all members. What one of them knows is newer, and the whole truth where it is alone.
local at = consumer and redis.call('HGET', state, 'at')
if at and not (known ~= '' and redis.call('HLEN', leases) <= 1) then
  start = at
elseif known ~= '' then
  -- Without any trace of the group, the data was lost: whatever is there now came later.
  start = redis.call('EXISTS', state) == 1 and known or '0-0'
end
local made = redis.pcall('XGROUP', 'CREATE', stream, group, start, 'MKSTREAM')
if made.err and not string.find(made.err, 'BUSYGROUP', 1, true) then
  return made
end
if not made.err then
  -- Receipts of a former group of this name name entries that may be handed out anew.
  raise(state, 'epoch')
  raise(state, 'fast')
  redis.call('SADD', groups, group)
end
if consumer then
  redis.call('XGROUP', 'CREATECONSUMER', stream, group, consumer)
  redis.call('HSET', leases, consumer, lease)
end
local epoch, fast = redis.call('HGET', state, 'epoch') or '0', redis.call('HGET', state, 'fast') or '0'
return { made.err and 0 or 1, epoch, fast, start }
