-- SPDX-License-Identifier: MIT
-- An application that answers as raw.c does.
return function(req)
  local data = assert(req:read "a")
  if req.params.QUERY_STRING == "file" then
    local name = os.tmpname()
    local file = assert(io.open(name, "w"))
    file:write(data):close()
    assert(req:send_file(name))
    os.remove(name)
    return
  end
  local first = math.tointeger(req.params.QUERY_STRING)
  assert(req:write(data:sub(1, first)))
  assert(req:write(data:sub(first + 1)))
end
