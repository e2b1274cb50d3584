#!/usr/bin/env fcgi-lua
-- SPDX-License-Identifier: MIT
-- Sends a request's body back while it comes, in constant memory. GET and HEAD
-- list a few parameters instead. Behind nginx the body is kept in a file first:
-- nginx stops sending it once it has the head of an answer.
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

-- The body as it comes.
local function pieces(req)
  return function()
    local bytes, problem = req:read_some()
    if problem then
      error(problem, 0)
    end
    return bytes
  end
end

local function echo_file(req, headers)
  local file <close> = assert(io.tmpfile())
  for bytes in pieces(req) do
    check(file:write(bytes))
  end
  check(file:flush())
  check(req:start(200, headers))
  check(req:send_file(file, 0, file:seek("end")))
end

local function echo(req)
  local params = req.params
  local type = params.CONTENT_TYPE or ""
  local headers = {
    ["Content-Type"] = type ~= "" and type or "application/octet-stream",
    ["X-Echo-Length"] = params.CONTENT_LENGTH or "",
  }
  if (params.SERVER_SOFTWARE or ""):find("^nginx") then
    return echo_file(req, headers)
  end
  check(req:start(200, headers))
  for bytes in pieces(req) do
    check(req:write(bytes))
    check(req:flush())
  end
end

local function handler(req)
  if req.method == "GET" or req.method == "HEAD" then
    return show(req.params)
  end
  return echo(req)
end

return { handler = handler, stream = true }
