-- KEYS: stream. ARGV: the id after which to count, and what the server says, if it does.
-- Counts for older servers and for groups moved by hand, where XINFO can't tell the lag. Where it does, it may still tell
-- of a past: a server that replays a rewritten log moves groups on without counting, and keeps that difference.
local from, said, lag = '(' .. ARGV[1], tonumber(ARGV[2]), 0
if said and #redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', 1) == 1 then
  return said
end
while true do
  local page = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', 1000)
  lag = lag + #page
  if #page < 1000 then
    return lag
  end
  from = '(' .. page[#page][1]
end
