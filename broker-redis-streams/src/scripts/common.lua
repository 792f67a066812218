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
