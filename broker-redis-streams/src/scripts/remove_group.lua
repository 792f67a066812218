-- KEYS: stream, state, due, leases and lanes of each partition. ARGV: group, 1 to remove it whatever is pending.
-- Answers 1 where it was removed, 0 where there was none, -1 where deliveries are pending.
local group, force = ARGV[1], ARGV[2] == '1'
local there = false
for at = 1, #KEYS, 5 do
  local info = group_info(KEYS[at], group)
  there = there or info ~= nil
  if info and info['pending'] > 0 and not force then
    return -1
  end
end
if not there then
  return 0
end
for at = 1, #KEYS, 5 do
  local stream, state, due, leases, lanes = KEYS[at], KEYS[at + 1], KEYS[at + 2], KEYS[at + 3], KEYS[at + 4]
  redis.pcall('XGROUP', 'DESTROY', stream, group)
  -- The epoch stays: receipts of this group must not settle deliveries of a later one of the same name.
  local epoch = raise(state, 'epoch')
  local fast = raise(state, 'fast')
  redis.call('DEL', state, due, leases)
  drop_lanes(lanes)
  redis.call('HSET', state, 'epoch', epoch, 'fast', fast)
end
return 1
