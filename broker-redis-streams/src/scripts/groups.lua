-- KEYS: stream. Answers XINFO GROUPS, with each lag counted that the server can't tell: it is older than Redis 7, or the
-- group was moved into the middle. In one step, so that a message is either pending or behind.
local groups = redis.pcall('XINFO', 'GROUPS', KEYS[1])
if groups.err then
  return groups
end
for _, flat in ipairs(groups) do
  local info = {}
  for at = 1, #flat, 2 do
    info[flat[at]] = flat[at + 1]
  end
  if not info['lag'] then
    local from, lag = '(' .. info['last-delivered-id'], 0
    while true do
      local page = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', 1000)
      lag = lag + #page
      if #page < 1000 then
        break
      end
      from = '(' .. page[#page][1]
    end
    flat[#flat + 1] = 'counted'
    flat[#flat + 1] = lag
  end
end
return groups
