-- KEYS: stream. Answers XINFO GROUPS, with each lag counted that the server can't tell or may be wrong about. It can't
-- where it is older than Redis 7 or the group was moved into the middle; it may be wrong for good once it replayed a
-- rewritten log, which moves groups on without counting. A short lag is cheap to count; a long one is believed.
-- In one step, so that a message is either pending or behind.
local PAGE = 1000
local groups = redis.pcall('XINFO', 'GROUPS', KEYS[1])
if groups.err then
  return groups
end
for _, flat in ipairs(groups) do
  local info = {}
  for at = 1, #flat, 2 do
    info[flat[at]] = flat[at + 1]
  end
  if info['lag'] ~= 0 then
    local from, counted = '(' .. info['last-delivered-id'], 0
    local page
    repeat
      page = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', PAGE)
      counted = counted + #page
      from = #page > 0 and '(' .. page[#page][1]
    until #page < PAGE or info['lag']
    if #page < PAGE then
      flat[#flat + 1] = 'counted'
      flat[#flat + 1] = counted
    end
  end
end
return groups
