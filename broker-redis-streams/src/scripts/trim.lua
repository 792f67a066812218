-- KEYS: stream. ARGV: `length` or `id`, its value, 1 to force.
-- Removes the oldest entries. Without force, none that a group has not settled.
-- Answers how many were removed, then group and count of those that some group still needed.
local stream, what, value, force = KEYS[1], ARGV[1], ARGV[2], ARGV[3] == '1'
local before = redis.call('XLEN', stream)
local limit
if what == 'id' then
  limit = value
else
  local surplus = before - tonumber(value)
  if surplus <= 0 then
    return { 0 }
  end
  -- The first entry to stay. XRANGE walks from the nearer end.
  local kept = tonumber(value)
  if kept == 0 then
    limit = '18446744073709551615-18446744073709551615'
  elseif kept <= surplus then
    local page = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', kept)
    limit = page[#page][1]
  else
    local page = redis.call('XRANGE', stream, '-', '+', 'COUNT', surplus + 1)
    limit = page[#page][1]
  end
end

local needs = {}
local groups = redis.pcall('XINFO', 'GROUPS', stream)
if groups.err then
  return { 0 }
end
for _, flat in ipairs(groups) do
  local info = {}
  for at = 1, #flat, 2 do
    info[flat[at]] = flat[at + 1]
  end
  local pending = redis.call('XPENDING', stream, info['name'], '-', '+', 1)[1]
  needs[#needs + 1] = { info['name'], pending and pending[1], info['last-delivered-id'] }
end

local answer = { 0 }
for _, need in ipairs(needs) do
  local group, pending, delivered = need[1], need[2], need[3]
  if force then
    local lost = 0
    -- Settled here and counted, so that they are not found to be gone later.
    while pending and pad(pending) < pad(limit) do
      local page = redis.call('XPENDING', stream, group, '-', '(' .. limit, 1000)
      if #page == 0 then
        break
      end
      local ids = {}
      for at, one in ipairs(page) do
        ids[at] = one[1]
      end
      lost = lost + redis.call('XACK', stream, group, unpack(ids))
    end
    local from = '(' .. delivered
    while true do
      local page = redis.call('XRANGE', stream, from, '(' .. limit, 'COUNT', 1000)
      lost = lost + #page
      if #page < 1000 then
        break
      end
      from = '(' .. page[#page][1]
    end
    if lost > 0 then
      answer[#answer + 1] = group
      answer[#answer + 1] = lost
    end
  else
    if pending and pad(pending) < pad(limit) then
      limit = pending
    end
    local next = redis.call('XRANGE', stream, '(' .. delivered, '+', 'COUNT', 1)[1]
    if next and pad(next[1]) < pad(limit) then
      limit = next[1]
    end
  end
end
answer[1] = redis.call('XTRIM', stream, 'MINID', limit)
return answer
