-- KEYS: stream, state, due, dead, lanes.
-- ARGV: operation, group, consumer, epoch, milliseconds, reason (or the lease to prolong), chain,
-- partition, 1 where keys are parked, the channel that wakes readers, then pairs of id and delivery count.
-- Answers one letter per delivery: A took effect, S settled before, N not pending, O another's, L late.
local stream, state, due, dead, lanes = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local operation, group, consumer, epoch = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local ms, sequential = tonumber(ARGV[5]), ARGV[9] == '1'
local time = now()
local same_epoch = (redis.call('HGET', state, 'epoch') or '0') == epoch
local last = nil

local function was_delivered(id)
  if last == nil then
    local info = group_info(stream, group)
    last = info and pad(info['last-delivered-id']) or false
  end
  return last and pad(id) <= last and #redis.call('XRANGE', stream, id, id) > 0
end

local function park(id, at)
  -- A server before Redis 7 parks an entry whose body is gone as well; whoever claims it sees that.
  if #redis.call('XCLAIM', stream, group, PARKED, 0, id, 'JUSTID') > 0 then
    redis.call('ZADD', due, at, pad(id))
  end
end

local function done(id, entry)
  redis.call('XACK', stream, group, id)
  forget(state, id)
  if sequential then
    entry = entry or redis.call('XRANGE', stream, id, id)[1]
    local key = entry and key_of(entry[2])
    if key or not entry then
      release(lanes, due, id, key, time)
    end
  end
end

local operations = {}

function operations.ack(id)
  done(id)
end

function operations.requeue(id)
  redis.call('HSETNX', state, 'f:' .. id, time)
  park(id, time + ms)
end

function operations.give_back(id)
  redis.call('HINCRBY', state, 'u:' .. id, 1)
  park(id, time)
end

function operations.extend(id)
  local lease = ms
  if lease > tonumber(ARGV[6]) then
    redis.call('HSET', state, 'x:' .. id, time + lease)
  end
  redis.call('XCLAIM', stream, group, consumer, 0, id, 'JUSTID')
end

function operations.dead(id, count)
  local entry = redis.call('XRANGE', stream, id, id)[1]
  local uncounted = tonumber(redis.call('HGET', state, 'u:' .. id) or 0)
  local first = redis.call('HGET', state, 'f:' .. id) or time
  redis.call('XADD', dead, '*', 'original', id, 'reason', ARGV[6], 'chain', ARGV[7], 'attempts', count - uncounted,
    'first', first, 'last', time, 'consumer', consumer, 'partition', ARGV[8], 'deliveries', count,
    unpack(entry and entry[2] or { 'data', '' }))
  done(id, entry)
end

local answers = {}
for at = 11, #ARGV, 2 do
  local id, count = ARGV[at], tonumber(ARGV[at + 1])
  local found = redis.pcall('XPENDING', stream, group, id, id, 1)
  local pending = not found.err and found[1]
  local answer
  if found.err then
    answer = 'N'
  elseif not pending then
    answer = not same_epoch and 'L' or (was_delivered(id) and 'S' or 'N')
  elseif not same_epoch then
    answer = 'L'
    -- Nobody has seen that delivery, and the partition's next owner has not had the entry yet.
    if operation == 'give_back' and pending[4] == count and redis.call('ZSCORE', due, pad(id)) then
      redis.call('HINCRBY', state, 'u:' .. id, 1)
    end
  elseif redis.call('ZSCORE', due, pad(id)) then
    answer = pending[4] == count and 'S' or 'L'
  elseif pending[4] ~= count then
    answer = 'L'
  elseif pending[2] ~= consumer then
    answer = 'O'
  else
    operations[operation](id, count)
    answer = 'A'
  end
  answers[#answers + 1] = answer
end
if operation == 'requeue' or operation == 'give_back' then
  -- Whoever may not tell is found out about by looking.
  redis.pcall('PUBLISH', ARGV[10], ARGV[8] .. ' ' .. ARGV[5] .. ' ' .. group)
end
return table.concat(answers)
