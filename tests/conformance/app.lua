-- SPDX-License-Identifier: MIT
-- The applications that cases name in `handler`, with the Lua module.
-- lua5.4 app.lua HANDLER ADDRESS [LIMIT=NUMBER...]; README.md says what each does.
-- HANDLER spec is all of them: each request's SPEC_HANDLER chooses.
local fcgi = require "fcgi"

local HEAD = "Content-Type: text/plain\r\n\r\n"
local PAGE_HEAD, PAGE_BODY = "Content-type: text/html\r\n\r\n", "<html>\n<head> ... "
local handlers = {}

local function refuse(req, status, reason)
  req:reply(status, { ["Content-Type"] = "text/plain" }, status .. " " .. reason .. "\n")
end

local function answer(req, body, code)
  if code == "TRUNCATED" then
    refuse(req, 400, "Bad Request")
  elseif body then
    req:write(HEAD, body)
  end
end

function handlers.echo(req)
  local body, _, code = req:read("a")
  answer(req, body, code)
end

function handlers.data(req)
  local body, _, code = req:read("a")
  local data
  if body then
    data, _, code = req:read_data("a")
  end
  answer(req, data and body .. "|" .. data, code)
end

function handlers.params(req)
  local lines, seen = {}, {}
  for name in pairs(req.params) do
    if not seen[name] then
      seen[name] = true
      lines[#lines + 1] = name .. "=" .. req.params[name] .. "\n"
    end
  end
  req:write(HEAD, table.concat(lines))
end

function handlers.early(req)
  req:write(HEAD, "early\n")
end

function handlers.page(req)
  req:write(PAGE_HEAD, PAGE_BODY)
end

function handlers.fault(req)
  req:write(PAGE_HEAD, "<ht")
  req:log("config error: missing SI_UID")
  req:write("ml>\n<head> ... ")
  req:finish(938)
end

function handlers.hold(req)
  while not req.aborted do
    os.execute("sleep 0.01")
  end
  req:write(HEAD, "aborted\n")
end

function handlers.big(req)
  req:write(HEAD)
  for _ = 1, 100 do
    req:write(("x"):rep(2000))
  end
end

function handlers.authorize(req)
  if req.params.PASS == "yes" then
    req:write("Variable-AUTH: yes\r\n\r\n")
  else
    refuse(req, 403, "Forbidden")
  end
end

function handlers.spec(req)
  local handler = handlers[req.params.SPEC_HANDLER or "echo"]
  if handler then
    handler(req)
  else
    refuse(req, 501, "Not Implemented")
  end
end

-- The module loads this file again, with the name as its only argument.
if select("#", ...) == 1 then
  return handlers[(...)]
end

local name = arg[1]
local options = {
  app = arg[0],
  args = { name },
  bind = arg[2],
  threads = (name == "hold" or name == "spec") and 8 or 1,
  stream = name == "early" or name == "spec",
  drain_silence = 0.2,
}
for i = 3, #arg do
  local key, value = arg[i]:match("^([%w_]+)=([%d.]+)s?$")
  options[key] = tonumber(value)
end
local served, message = fcgi.serve(options)
if not served then
  io.stderr:write("app.lua: ", message, "\n")
  os.exit(1)
end
