-- KEYS: stream. ARGV: the id after which to count.
-- For servers, and groups moved by hand, where XINFO can't tell the lag.
local from, lag = '(' .. ARGV[1], 0
while true do
  local page = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', 1000)
  lag = lag + #page
  if #page < 1000 then
    return lag
  end
  from = '(' .. page[#page][1]
end
