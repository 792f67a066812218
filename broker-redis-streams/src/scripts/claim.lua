-- KEYS: stream, state, due, leases, delayed, lanes.
-- ARGV: group, consumer, how many, lease in milliseconds, where the search for ended leases goes on, for how many
-- milliseconds the caller has been waiting for the answer to a read, -1 where it is not, and 1 where ended leases are
-- looked for: that walks over all that is pending.
-- Answers the deliveries (id, count, attempt, dead letter it was replayed from, fields), milliseconds until something
-- else is due or -1, the epoch, how many pending entries had no body any more, where the next search goes
-- on, the token for plain acks, and for how many milliseconds at least the
-- entries are out that were left alone as that answer may hold them; -1 without any.
local stream, state, due, leases, delayed, lanes = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local group, consumer, max, lease, from = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local unanswered, searches = tonumber(ARGV[6]), ARGV[7] == '1'
local time = now()

-- Each owner has its own lease; whoever is not known has the caller's.
local known, least = {}, lease
local flat = searches and redis.call('HGETALL', leases) or {}
for at = 1, #flat, 2 do
  local ms = tonumber(flat[at + 1])
  known[flat[at]] = ms
  least = math.min(least, ms)
end
local function idle_page()
  return redis.pcall('XPENDING', stream, group, 'IDLE', least, from, '+', 100)
end
-- A missing group is told before anything is changed.
local page = searches and idle_page() or redis.pcall('XPENDING', stream, group, '-', '+', 1)
if page.err then
  return page
end

local function earliest(set)
  local first = redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')
  return first[2] and tonumber(first[2]) or math.huge
end
local next_due, next_delayed = earliest(due), earliest(delayed)
if next_delayed <= time then
  move_delayed(stream, delayed, time)
  next_delayed = earliest(delayed)
end

local claimed, taken, lost, held = {}, {}, 0, -1
local function claim(id, before)
  taken[id] = true
  local entry = redis.call('XCLAIM', stream, group, consumer, 0, id)[1]
  if not entry then
    redis.call('XACK', stream, group, id)
    forget(state, id)
    release(lanes, due, id, nil, time)
    lost = lost + 1
    return
  end
  local noted = redis.call('HMGET', state, 'u:' .. id, 'r:' .. id)
  local count = before + 1
  claimed[#claimed + 1] = { id, count, count - tonumber(noted[1] or 0), noted[2] or '', entry[2] }
end

if next_due <= time then
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', time, 'LIMIT', 0, max)) do
    redis.call('ZREM', due, member)
    local id = unpad(member)
    local pending = redis.call('XPENDING', stream, group, id, id, 1)[1]
    if pending then
      claim(id, pending[4])
    end
  end
  next_due = earliest(due)
end

local pages, taken_over = 0, false
while searches and #claimed < max and pages < 10 do
  pages = pages + 1
  for _, pending in ipairs(page) do
    local id, owner, idle, count = pending[1], pending[2], pending[3], pending[4]
    if #claimed >= max then
      break
    end
    from = '(' .. id
    local ended = not taken[id] and idle >= (known[owner] or lease)
    -- How long this call was on its way, the caller knows better.
    if ended and unanswered >= 0 and owner == consumer and count == 1 and idle <= unanswered + lease then
      ended = false
      held = held < 0 and idle or math.min(held, idle)
    end
    local longer = ended and redis.call('HGET', state, 'x:' .. id)
    if ended and not (longer and tonumber(longer) > time) and not redis.call('ZSCORE', due, pad(id)) then
      redis.call('HDEL', state, 'x:' .. id)
      redis.call('HSETNX', state, 'f:' .. id, time)
      -- A plain ack that its holder sent in time may come after this.
      if not taken_over then
        taken_over = true
        raise(state, 'fast')
      end
      claim(id, count)
    end
  end
  if #page < 100 and #claimed < max then
    from = '-'
    break
  end
  page = idle_page()
end

if searches and #claimed == 0 then
  write_down(stream, state, group)
end

-- An entry whose body was gone may have freed the next one of its key.
next_due = math.min(lost > 0 and earliest(due) or next_due, next_delayed)
local wait = next_due == math.huge and -1 or math.max(0, next_due - time)
local fences = redis.call('HMGET', state, 'epoch', 'fast')
return { claimed, wait, fences[1] or '0', lost, from, fences[2] or '0', held }
