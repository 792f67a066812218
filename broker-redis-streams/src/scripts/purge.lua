-- KEYS: dead. ARGV: ids of dead letters; without any, all of them.
-- Answers how many were removed, or -1 where one is not there, and then removes none.
if #ARGV == 0 then
  local all = redis.call('XLEN', KEYS[1])
  redis.call('DEL', KEYS[1])
  return all
end
for _, id in ipairs(ARGV) do
  if #redis.call('XRANGE', KEYS[1], id, id) == 0 then
    return -1
  end
end
return redis.call('XDEL', KEYS[1], unpack(ARGV))
