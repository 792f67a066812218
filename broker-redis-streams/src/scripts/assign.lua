-- KEYS: owners, members, then stream, state and due of each partition.
-- ARGV: group, consumer, milliseconds until it counts as gone, 1 where it leaves, then the partitions it lets go of.
-- Answers the partitions it owns, how many of them it is to let go of, and the epochs of those it owns: owners keep
-- what they have, as far as that is even.
local owners, members = KEYS[1], KEYS[2]
local group, consumer, ttl, leaves = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4] == '1'
local time = now()
redis.call('ZREMRANGEBYSCORE', members, '-inf', time)
if leaves then
  redis.call('ZREM', members, consumer)
else
  redis.call('ZADD', members, time + ttl, consumer)
end
for at = 5, #ARGV do
  if redis.call('HGET', owners, ARGV[at]) == consumer then
    redis.call('HDEL', owners, ARGV[at])
  end
end
local alive = redis.call('ZRANGE', members, 0, -1)

-- The new owner begins where the last one stood: what that had in hand is due first, and its receipts are stale.
local function take(partition, stream, state, due)
  redis.call('HSET', owners, partition, consumer)
  raise(state, 'epoch')
  raise(state, 'fast')
  local from = '-'
  while true do
    local page = redis.call('XPENDING', stream, group, from, '+', 1000)
    for _, pending in ipairs(page) do
      redis.call('ZADD', due, 'NX', time, pad(pending[1]))
    end
    if #page < 1000 then
      return
    end
    from = '(' .. page[#page][1]
  end
end

local count = (#KEYS - 2) / 3
local least = math.floor(count / math.max(#alive, 1))
local extra = count - least * math.max(#alive, 1)

local shares, free, owned = {}, {}, {}
for partition = 0, count - 1 do
  local owner = redis.call('HGET', owners, partition)
  if owner == consumer then
    owned[#owned + 1] = partition
  elseif not (owner and redis.call('ZSCORE', members, owner)) then
    free[#free + 1] = partition
  end
  if owner then
    shares[owner] = (shares[owner] or 0) + 1
  end
end
-- Members that have one more than the least, which only so many may.
local above = 0
for _, member in ipairs(alive) do
  if (shares[member] or 0) > least then
    above = above + 1
  end
end
if not leaves then
  for _, partition in ipairs(free) do
    local at = 3 + partition * 3
    if #owned < least or (#owned == least and above < extra) then
      if #owned == least then
        above = above + 1
      end
      take(partition, KEYS[at], KEYS[at + 1], KEYS[at + 2])
      owned[#owned + 1] = partition
    end
  end
end
local surplus = math.max(0, #owned - least - (extra > 0 and 1 or 0))
if surplus == 0 and #owned > least and above > extra then
  surplus = 1
end
local epochs = {}
for at, partition in ipairs(owned) do
  epochs[at] = redis.call('HGET', KEYS[4 + partition * 3], 'epoch') or '0'
end
return { owned, surplus, epochs }
