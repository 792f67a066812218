-- Settles deliveries, or prolongs their leases; what is not the asker's is left as it is.
-- KEYS: meta, groups, pending, again, state.
-- ARGV: group, consumer, how (ack, requeue, give_back, extend), ms, wake channel, then position, length, delivery and
-- fence of each run. Answers a letter for each: done, settled before, other owner, too late, not pending.
local at = tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or '-1')
local fence = redis.call('HGET', KEYS[1], 'fence:' .. ARGV[1]) or '-'
local how, ms = ARGV[3], tonumber(ARGV[4])
local time = redis.call('TIME')
local due = string.format('%.0f', tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) + ms)
local letters, done = {}, {}

local function flush()
  if #done == 0 then return end
  if how == 'extend' then return end
  redis.call('ZREM', KEYS[3], unpack(done))
  if how == 'ack' then
    redis.call('ZREM', KEYS[4], unpack(done))
    redis.call('HDEL', KEYS[5], unpack(done))
  end
  done = {}
end

for run = 6, #ARGV, 4 do
  local first, length, wanted = tonumber(ARGV[run]), tonumber(ARGV[run + 1]), ARGV[run + 2]
  local ours = ARGV[run + 3] == fence
  for from = 0, length - 1, 1000 do
    local places = {}
    for i = from, math.min(from + 999, length - 1) do places[#places + 1] = string.format('%.0f', first + i) end
    local states = redis.call('HMGET', KEYS[5], unpack(places))
    for i, place in ipairs(places) do
      local letter = 'n'
      if ours and tonumber(place) < at then
        local state = states[i]
        if not state then
          letter = 's'
        else
          local attempt, delivery, mode, owner = string.match(state, '^(%d+) (%d+) (%a) (.*)$')
          if delivery ~= wanted then
            if tonumber(delivery) > tonumber(wanted) then letter = 't' end
          elseif owner ~= ARGV[2] then
            letter = 'o'
          elseif mode ~= 'd' then
            letter = 's'
          else
            letter = 'd'
            done[#done + 1] = place
            if how == 'requeue' or how == 'give_back' then
              if how == 'give_back' then attempt = tonumber(attempt) - 1 end
              redis.call('HSET', KEYS[5], place, attempt .. ' ' .. delivery .. ' n ' .. owner)
              redis.call('ZADD', KEYS[4], due, place)
            elseif how == 'extend' then
              -- A lease that ended before anybody else took the message begins anew.
              redis.call('ZREM', KEYS[4], place)
              redis.call('ZADD', KEYS[3], 'GT', due, place)
            end
          end
        end
      end
      letters[#letters + 1] = letter
    end
    flush()
  end
end
if how ~= 'ack' and how ~= 'extend' then redis.call('PUBLISH', ARGV[5], '') end
return table.concat(letters)
