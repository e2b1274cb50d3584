-- SPDX-License-Identifier: MIT
-- Sends a request's body back while it comes, in constant memory; a GET is
-- answered with some of its parameters.
-- fcgi-lua echo.lua --bind unix:echo.sock --threads 4
local shown = { "REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING",
  "CONTENT_LENGTH", "SERVER_PROTOCOL", "HTTP_X_TEST" }

local function show(params)
  local lines = {}
  for i, name in ipairs(shown) do
    lines[i] = name .. "=" .. (params[name] or "") .. "\n"
  end
  return 200, { ["Content-Type"] = "text/plain" }, lines
end

-- What a function of the module returned; nil, message raises, so that the
-- request fails and is never taken for whole.
local function check(result, message)
  return result or error(message, 0)
end

local function echo(req)
  local type = req.params.CONTENT_TYPE or ""
  check(req:start(200, {
    ["Content-Type"] = type ~= "" and type or "application/octet-stream",
    ["X-Echo-Length"] = req.params.CONTENT_LENGTH or "",
  }))
  repeat
    local bytes, problem = req:read_some()
    if bytes then
      check(req:write(bytes))
      check(req:flush())
    elseif problem then
      error(problem, 0)
    end
  until not bytes
end

local function handler(req)
  if req.method == "GET" or req.method == "HEAD" then
    return show(req.params)
  end
  return echo(req)
end

return { handler = handler, stream = true }
