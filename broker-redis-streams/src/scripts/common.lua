-- What every script of this provider begins with.

-- The member that pending entries belong to while nobody has them in hand.
local PARKED = 'broker:parked'

local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- An entry's id so that the order of texts is the order of ids: members of a sorted set that are due at the same
-- moment come in publish order.
local function pad(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return string.rep('0', 20 - #ms) .. ms .. '-' .. string.rep('0', 20 - #seq) .. seq
end

local function unpad(member)
  local ms, seq = string.match(member, '^0*(%d+)-0*(%d+)$')
  return ms .. '-' .. seq
end

-- Raises one of a group's fences. The first is the time in seconds, so that it rises also after the data was lost.
local function raise(state, fence)
  local raised = redis.call('HINCRBY', state, fence, 1)
  if raised == 1 then
    raised = tonumber(redis.call('TIME')[1])
    redis.call('HSET', state, fence, raised)
  end
  return raised
end

-- What is known about one pending entry, beyond what the server itself keeps: `u` deliveries that do not count as
-- attempts, `f` first failure, `x` end of a prolonged lease, `r` dead letter it was replayed from.
local function forget(state, id)
  redis.call('HDEL', state, 'u:' .. id, 'f:' .. id, 'x:' .. id, 'r:' .. id)
end

-- One group as XINFO tells it, as a table; nil where there is none.
local function group_info(stream, group)
  local groups = redis.pcall('XINFO', 'GROUPS', stream)
  if groups.err then
    return nil
  end
  for _, flat in ipairs(groups) do
    local info = {}
    for at = 1, #flat, 2 do
      info[flat[at]] = flat[at + 1]
    end
    if info['name'] == group then
      return info
    end
  end
  return nil
end

-- Writes down from where on the group would have to be read again if it was lost: before its oldest pending entry.
local function write_down(stream, state, group)
  local pending = redis.call('XPENDING', stream, group)
  local at
  if pending[1] > 0 then
    local ms, seq = string.match(pending[2], '^(%d+)-(%d+)$')
    if seq == '0' then
      at = string.format('%.0f', math.max(0, tonumber(ms) - 1)) .. '-18446744073709551615'
    else
      at = ms .. '-' .. string.format('%.0f', tonumber(seq) - 1)
    end
  else
    local info = group_info(stream, group)
    at = info and info['last-delivered-id']
  end
  if at and redis.call('HGET', state, 'at') ~= at then
    redis.call('HSET', state, 'at', at)
  end
end

-- The key of an entry that this provider wrote.
local function key_of(fields)
  for at = 3, #fields, 2 do
    if fields[at] == 'key' then
      return fields[at + 1]
    end
  end
  return nil
end

-- An entry is settled for good: the next one of its key is due now; answers whether there is one. `key` is nil where
-- the entry's body is gone.
local function release(lanes, due, id, key, time)
  local keys = key and { key } or redis.call('SMEMBERS', lanes)
  for _, one in ipairs(keys) do
    local lane = lanes .. ':' .. one
    local head = redis.call('LINDEX', lane, 0) == id
    if redis.call('LREM', lane, 1, id) > 0 then
      local next = head and redis.call('LINDEX', lane, 0)
      if next then
        redis.call('ZADD', due, 'XX', time, pad(next))
      elseif head then
        redis.call('SREM', lanes, one)
      end
      return next and true or false
    end
  end
  return false
end

local function drop_lanes(lanes)
  for _, key in ipairs(redis.call('SMEMBERS', lanes)) do
    redis.call('DEL', lanes .. ':' .. key)
  end
  redis.call('DEL', lanes)
end

-- Removes a member of the group; what it had in hand is due at once, as deleting it would drop that.
local function remove_member(stream, state, due, leases, members, group, consumer)
  local moved, time = 0, now()
  while true do
    local page = redis.call('XPENDING', stream, group, '-', '+', 1000, consumer)
    if #page == 0 then
      break
    end
    for _, pending in ipairs(page) do
      local id = pending[1]
      if #redis.call('XCLAIM', stream, group, PARKED, 0, id, 'JUSTID') > 0 then
        redis.call('ZADD', due, time, pad(id))
      else
        -- Its body is gone: claiming has taken it out.
        redis.call('XACK', stream, group, id)
        forget(state, id)
      end
      moved = moved + 1
    end
  end
  raise(state, 'fast')
  redis.call('ZREM', members, consumer)
  redis.call('XGROUP', 'DELCONSUMER', stream, group, consumer)
  redis.call('HDEL', leases, consumer)
  return moved
end

-- Puts delayed messages that are due to the end of their stream.
local function move_delayed(stream, delayed, time)
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', delayed, '-inf', time, 'LIMIT', 0, 256)) do
    -- Twenty digits keep equal messages apart.
    redis.call('XADD', stream, '*', unpack(cmsgpack.unpack(string.sub(member, 21))))
    redis.call('ZREM', delayed, member)
  end
end
