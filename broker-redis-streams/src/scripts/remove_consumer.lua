-- KEYS: stream, state, due, leases, members. ARGV: group, consumer.
-- Parks what the member has in hand, then removes it; answers how many deliveries it had, -1 without a group.
local stream, state, due, leases, members = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local group, consumer = ARGV[1], ARGV[2]
if not group_info(stream, group) then
  return -1
end
local moved, time = 0, now()
while true do
  local page = redis.call('XPENDING', stream, group, '-', '+', 1000, consumer)
  if #page == 0 then
    break
  end
  for _, pending in ipairs(page) do
    local id = pending[1]
    if #redis.call('XCLAIM', stream, group, PARKED, 0, id, 'JUSTID') > 0 then
      redis.call('ZADD', due, time, pad(id))
    end
    moved = moved + 1
  end
end
redis.call('HINCRBY', state, 'fast', 1)
redis.call('ZREM', members, consumer)
redis.call('XGROUP', 'DELCONSUMER', stream, group, consumer)
redis.call('HDEL', leases, consumer)
return moved
