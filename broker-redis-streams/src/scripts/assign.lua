-- KEYS: owners, members, then stream, state and due of each partition.
-- ARGV: group, consumer, milliseconds until it counts as gone, 1 where it leaves, then the partitions it lets go of.
-- Answers the partitions it owns and those it is to let go of.
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
table.sort(alive)

-- The new owner begins where the last one stood: what that had in hand is due first, and its receipts are stale.
local function take(partition, stream, state, due)
  redis.call('HSET', owners, partition, consumer)
  redis.call('HINCRBY', state, 'epoch', 1)
  redis.call('HINCRBY', state, 'fast', 1)
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

local owned, surplus = {}, {}
for partition = 0, (#KEYS - 2) / 3 - 1 do
  local owner = redis.call('HGET', owners, partition)
  local wanted = alive[partition % math.max(#alive, 1) + 1]
  local at = 3 + partition * 3
  if owner == consumer then
    owned[#owned + 1] = partition
    if wanted ~= consumer then
      surplus[#surplus + 1] = partition
    end
  elseif wanted == consumer and not (owner and redis.call('ZSCORE', members, owner)) then
    take(partition, KEYS[at], KEYS[at + 1], KEYS[at + 2])
    owned[#owned + 1] = partition
  end
end
return { owned, surplus }
