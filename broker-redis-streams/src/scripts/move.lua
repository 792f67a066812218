-- KEYS: stream, delayed. Moves delayed messages that are due to their stream; answers milliseconds until the next one
-- is, or -1.
local time = now()
move_delayed(KEYS[1], KEYS[2], time)
local first = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
return first[2] and math.max(0, tonumber(first[2]) - time) or -1
