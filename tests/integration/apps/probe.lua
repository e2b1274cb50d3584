-- SPDX-License-Identifier: MIT
-- What the fault tests ask: fcgi-lua probe.lua --bind ADDRESS [--threads N].
local text = { ["Content-Type"] = "text/plain" }

local function tell_abort(req) -- In one write(2), as the library has lines of its own there.
  local query = req.params.QUERY_STRING or ""
  io.stderr:write(("probe: %s aborted: %s\n"):format(query, req.aborted))
end

-- What a function of the module returned; a failure ends the request.
local function check(req, result, message)
  if not result then
    tell_abort(req)
    error(message, 0)
  end
  return result
end

-- In pieces of one size: HAProxy 3 stops reading for good at some others.
local function echo(req)
  check(req, req:start(200, text))
  while true do
    local bytes, message = req:read(16384)
    if not bytes then
      return message and check(req, bytes, message)
    end
    check(req, req:write(bytes))
  end
end

-- As many bytes as the query string says.
local function big(req)
  check(req, req:start(200, text))
  local left = math.tointeger(req.params.QUERY_STRING)
  while left > 0 do
    check(req, req:write(("x"):rep(math.min(left, 16384))))
    left = left - 16384
  end
end

local function shout(req)
  return 200, text, assert(req:read("a")):upper()
end

-- Until the file that $GATE names is there.
local function wait_for_gate(req)
  io.stderr:write(("probe: %s began\n"):format(req.params.QUERY_STRING)) -- In one write(2).
  local file
  repeat
    file = io.open(os.getenv "GATE")
  until file or not os.execute "sleep 0.02"
  assert(file):close()
end

local function is_at(req, path)
  return req.params.SCRIPT_NAME == path or req.params.PATH_INFO == path
end

local function answer(req)
  if is_at(req, "/stderr") then
    req:log("a line")
  elseif is_at(req, "/complain") then
    for i = 0, math.tointeger(req.params.QUERY_STRING) - 1 do
      req:log(("complaint %029d"):format(i))
    end
  elseif is_at(req, "/gate") then
    wait_for_gate(req)
  elseif is_at(req, "/slow") then
    os.execute("sleep 1")
  end
  if req.method == "POST" then
    return echo(req)
  elseif is_at(req, "/big") then
    return big(req)
  end
  return 200, text, (req.params.QUERY_STRING or "") .. "\n"
end

return {
  handler = answer,
  stream = not os.getenv "PROBE_COLLECT",
  roles = { shout = { number = 77, handler = shout } },
}
