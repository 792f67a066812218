-- KEYS: stream, state, due, leases, lanes. ARGV: group, 1 to remove it whatever is pending.
-- Answers 1 where it was removed, 0 where there was none, -1 where deliveries are pending.
local stream, state, due, leases, lanes = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local info = group_info(stream, ARGV[1])
if not info then
  return 0
end
if ARGV[2] ~= '1' and info['pending'] > 0 then
  return -1
end
redis.call('XGROUP', 'DESTROY', stream, ARGV[1])
-- The epoch stays: receipts of this group must not settle deliveries of a later one of the same name.
local epoch = redis.call('HINCRBY', state, 'epoch', 1)
redis.call('DEL', state, due, leases)
drop_lanes(lanes)
redis.call('HSET', state, 'epoch', epoch)
return 1
