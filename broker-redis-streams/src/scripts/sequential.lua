-- KEYS: stream, due, lanes. ARGV: group, consumer, how many.
-- Reads new entries, and parks each whose key has an earlier one that is not settled. A key's unsettled entries lie in a
-- list, the one in hand first; the set of lanes has the keys.
local stream, due, lanes = KEYS[1], KEYS[2], KEYS[3]
local group, consumer, max = ARGV[1], ARGV[2], tonumber(ARGV[3])
local free, rounds = {}, 0
while #free < max and rounds < 8 do
  rounds = rounds + 1
  local answer = redis.pcall('XREADGROUP', 'GROUP', group, consumer, 'COUNT', max - #free, 'STREAMS', stream, '>')
  if not answer then
    break
  end
  if answer.err then
    return answer
  end
  for _, entry in ipairs(answer[1][2]) do
    local key = key_of(entry[2])
    local lane = key and lanes .. ':' .. key
    if not key then
      free[#free + 1] = entry
    elseif redis.call('RPUSH', lane, entry[1]) == 1 then
      redis.call('SADD', lanes, key)
      free[#free + 1] = entry
    else
      redis.call('XCLAIM', stream, group, PARKED, 0, entry[1], 'RETRYCOUNT', 0, 'JUSTID')
      redis.call('ZADD', due, '+inf', pad(entry[1]))
    end
  end
end
return free
