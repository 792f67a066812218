-- KEYS: stream, state, due, leases, members. ARGV: group, consumer who asks, milliseconds after which one is dead.
-- Removes members that have long been dead, after parking what they had in hand; answers how many.
local stream, state, due, leases, members = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local group, asker, dead = ARGV[1], ARGV[2], tonumber(ARGV[3])
local consumers = redis.pcall('XINFO', 'CONSUMERS', stream, group)
if consumers.err then
  return 0
end
local reaped = 0
for _, flat in ipairs(consumers) do
  local info = {}
  for at = 1, #flat, 2 do
    info[flat[at]] = flat[at + 1]
  end
  local name = info['name']
  local patience = math.max(dead, 2 * tonumber(redis.call('HGET', leases, name) or 0))
  if name ~= asker and name ~= PARKED and info['idle'] > patience then
    remove_member(stream, state, due, leases, members, group, name)
    reaped = reaped + 1
  end
end
return reaped
