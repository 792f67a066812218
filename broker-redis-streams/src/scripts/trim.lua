-- KEYS: stream of each partition. ARGV: `length`, `id` or `age`, its value, 1 to force, how many to look at most, and `~` where
-- a few more than asked for may stay.
-- Removes the oldest entries. Without force, none that a group has not settled.
-- Answers how many were removed, then group and count of those that some group still needed.
local what, value, force = ARGV[1], ARGV[2], ARGV[3] == '1'
local most, exactness = tonumber(ARGV[4]), ARGV[5]
local LAST = '18446744073709551615-18446744073709551615'

-- The first entry that stays, by partition; nil where nothing is to go.
local limits = {}
if what == 'age' then
  what, value = 'id', string.format('%.0f-0', math.max(0, now() - tonumber(value)))
end
if what == 'id' then
  for at = 1, #KEYS do
    limits[at] = value
  end
else
  local kept, total = tonumber(value), 0
  for at = 1, #KEYS do
    total = total + redis.call('XLEN', KEYS[at])
  end
  if total <= kept then
    return { 0 }
  end
  -- The newest of all partitions stay. The walk begins at the nearer end; equal ids are told apart by partition.
  local found, newest = {}, kept <= total - kept and kept <= most
  local count = newest and kept or math.min(total - kept, most)
  for at = 1, #KEYS do
    local page = {}
    if count > 0 then
      page = newest and redis.call('XREVRANGE', KEYS[at], '+', '-', 'COUNT', count)
        or redis.call('XRANGE', KEYS[at], '-', '+', 'COUNT', count)
    end
    for _, entry in ipairs(page) do
      found[#found + 1] = { pad(entry[1]), at, entry[1] }
    end
  end
  table.sort(found, function(one, other)
    if one[1] ~= other[1] then
      return one[1] < other[1]
    end
    return one[2] < other[2]
  end)
  if newest then
    for at = 1, #KEYS do
      limits[at] = LAST
    end
    for at = #found, #found - count + 1, -1 do
      limits[found[at][2]] = found[at][3]
    end
  else
    for at = 1, count do
      -- Right behind an entry that goes.
      local ms, seq = string.match(found[at][3], '^(%d+)-(%d+)$')
      local next = redis.call('XRANGE', KEYS[found[at][2]], '(' .. ms .. '-' .. seq, '+', 'COUNT', 1)[1]
      limits[found[at][2]] = next and next[1] or LAST
    end
  end
end

local lost = {}

-- Settles and counts what a group loses, so that it is not found to be gone later.
local function give_up(stream, limit, group, delivered)
  local count = 0
  while true do
    local page = redis.call('XPENDING', stream, group, '-', '(' .. limit, 1000)
    if #page == 0 then
      break
    end
    local ids = {}
    for at, one in ipairs(page) do
      ids[at] = one[1]
    end
    count = count + redis.call('XACK', stream, group, unpack(ids))
  end
  local from = '(' .. delivered
  while pad(string.sub(from, 2)) < pad(limit) do
    local page = redis.call('XRANGE', stream, from, '(' .. limit, 'COUNT', 1000)
    count = count + #page
    if #page < 1000 then
      break
    end
    from = '(' .. page[#page][1]
  end
  lost[group] = (lost[group] or 0) + count
end

-- The first entry that stays, so that a group loses nothing.
local function held_back(stream, limit, group, delivered)
  local pending = redis.call('XPENDING', stream, group, '-', '+', 1)[1]
  if pending and pad(pending[1]) < pad(limit) then
    limit = pending[1]
  end
  local next = redis.call('XRANGE', stream, '(' .. delivered, '+', 'COUNT', 1)[1]
  if next and pad(next[1]) < pad(limit) then
    limit = next[1]
  end
  return limit
end

local removed = 0
for at = 1, #KEYS do
  local stream, limit = KEYS[at], limits[at]
  local groups = limit and redis.pcall('XINFO', 'GROUPS', stream)
  if groups and not groups.err then
    for _, flat in ipairs(groups) do
      local info = {}
      for field = 1, #flat, 2 do
        info[flat[field]] = flat[field + 1]
      end
      if force then
        give_up(stream, limit, info['name'], info['last-delivered-id'])
      else
        limit = held_back(stream, limit, info['name'], info['last-delivered-id'])
      end
    end
    removed = removed + redis.call('XTRIM', stream, 'MINID', exactness, limit)
  end
end

local answer = { removed }
for group, count in pairs(lost) do
  if count > 0 then
    answer[#answer + 1] = group
    answer[#answer + 1] = count
  end
end
return answer
