-- KEYS: dead, then stream, state and due of each partition. ARGV: group, ids of dead letters.
-- Puts the messages back to their group alone, with attempts from one; answers how many, or -1 where one is not there.
local dead = KEYS[1]
local group = ARGV[1]
local found = {}
for at = 2, #ARGV do
  local entry = redis.call('XRANGE', dead, ARGV[at], ARGV[at])[1]
  if not entry then
    return -1
  end
  found[#found + 1] = entry
end
local time = now()
for _, entry in ipairs(found) do
  local fields, meta = entry[2], {}
  for at = 1, 18, 2 do
    meta[fields[at]] = fields[at + 1]
  end
  local at = 2 + 3 * tonumber(meta['partition'])
  local stream, state, due = KEYS[at], KEYS[at + 1], KEYS[at + 2]
  local id = meta['original']
  if #redis.call('XRANGE', stream, id, id) > 0 then
    -- The server's delivery counter goes on, so that receipts of the former deliveries stay stale.
    redis.call('XCLAIM', stream, group, PARKED, 0, id, 'RETRYCOUNT', meta['deliveries'], 'FORCE', 'JUSTID')
    redis.call('HSET', state, 'u:' .. id, meta['deliveries'], 'r:' .. id, entry[1])
    redis.call('HDEL', state, 'f:' .. id)
    redis.call('ZADD', due, time, pad(id))
  else
    -- Its entry was trimmed: a copy that names the group it is for, which the other groups pass over.
    redis.call('XADD', stream, '*', 'broker-for', group, 'broker-from', entry[1], unpack(fields, 19))
  end
  redis.call('XDEL', dead, entry[1])
end
return #found
