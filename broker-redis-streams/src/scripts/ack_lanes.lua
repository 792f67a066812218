-- KEYS: stream, state, due, lanes.
-- ARGV: token, group, then pairs of an id and its key, the key behind a `k`, or `-` where there is none.
-- Acknowledges as ack.lua does, and lets the next one of each key out. Answers a letter for each, A where it was
-- pending, and how many were let out; `moved` where hands may have changed since.
local stream, state, due, lanes = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
if (redis.call('HGET', state, 'fast') or '0') ~= ARGV[1] then
  return 'moved 0'
end
local group, time = ARGV[2], now()
local letters, freed = {}, 0
for at = 3, #ARGV, 2 do
  local id, key = ARGV[at], ARGV[at + 1]
  local acked = redis.call('XACK', stream, group, id) > 0
  letters[#letters + 1] = acked and 'A' or 'S'
  if acked and key ~= '-' and release(lanes, due, id, string.sub(key, 2), time) then
    freed = freed + 1
  end
end
return table.concat(letters) .. ' ' .. freed
