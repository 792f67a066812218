-- KEYS: stream, the key that remembers the message's id. ARGV: window in milliseconds, then fields and values.
-- Answers the entry's id: the one of the first publish within the window.
local before = redis.call('GET', KEYS[2])
if before then
  return before
end
local id = redis.call('XADD', KEYS[1], '*', unpack(ARGV, 2))
redis.call('SET', KEYS[2], id, 'PX', ARGV[1])
return id
