-- KEYS: stream, state, due, lanes. ARGV: group, position.
-- Forgets what is pending, so that receipts handed out before are stale, and moves the group.
local stream, state, due, lanes = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local group, position = ARGV[1], ARGV[2]

local info = group_info(stream, group)
if not info then
  return redis.error_reply('NOGROUP No such group')
end
local last = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
if position ~= '$' and last and pad(position) > pad(last[1]) then
  position = '$'
end
while true do
  local page = redis.call('XPENDING', stream, group, '-', '+', 1000)
  if #page == 0 then
    break
  end
  local ids = {}
  for _, pending in ipairs(page) do
    ids[#ids + 1] = pending[1]
  end
  redis.call('XACK', stream, group, unpack(ids))
end
local epoch = raise(state, 'epoch')
local fast = raise(state, 'fast')
redis.call('DEL', state, due)
drop_lanes(lanes)
redis.call('HSET', state, 'epoch', epoch, 'fast', fast)
redis.call('XGROUP', 'SETID', stream, group, position)
write_down(stream, state, group)
return epoch
