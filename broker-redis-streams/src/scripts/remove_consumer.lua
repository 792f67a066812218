-- KEYS: stream, state, due, leases, members. ARGV: group, consumer.
-- Parks what the member has in hand, then removes it; answers how many deliveries it had, -1 without a group.
local stream, state, due, leases, members = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local group, consumer = ARGV[1], ARGV[2]
if not group_info(stream, group) then
  return -1
end
return remove_member(stream, state, due, leases, members, group, consumer)
