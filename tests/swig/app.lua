-- SPDX-License-Identifier: MIT
-- Handlers over the SWIG module: lua5.4 app.lua HANDLER ADDRESS [OPTION=NUMBER...]
-- README.md says what each does. The same program exists in every language.
local fcgi = require "fcgi_swig"

local HEAD = "Content-Type: text/plain\r\n\r\n"
local PAGE_HEAD, PAGE_BODY = "Content-type: text/html\r\n\r\n", "<html>\n<head> ... "
local answering, pulling, paths = {}, {}, {}

local function text(request, body)
  request:reply(200, "text/plain", body)
end

-- The handlers of the conformance cases ---------------------------------------

local function refuse(request, status, reason)
  request:reply(status, "text/plain", status .. " " .. reason .. "\n")
end

local function answer_read(request, read)
  local fine, body = pcall(read)
  if fine then
    request:write(HEAD)
    request:write(body)
  elseif type(body) == "table" and body.code == "TRUNCATED" then
    refuse(request, 400, "Bad Request")
  else
    error(body, 0)
  end
end

function answering.echo(request)
  answer_read(request, function()
    return request:read()
  end)
end

function answering.data(request)
  answer_read(request, function()
    return request:read() .. "|" .. request:read_data()
  end)
end

function answering.params(request)
  local all, lines, index = request:params(), {}, 0
  local name = request:param_name(0)
  while name do
    if all[name] then
      lines[#lines + 1] = name .. "=" .. all[name] .. "\n"
    end
    all[name], index = nil, index + 1
    name = request:param_name(index)
  end
  request:write(HEAD .. table.concat(lines))
end

function answering.early(request)
  request:write(HEAD .. "early\n")
end

function answering.page(request)
  request:write(PAGE_HEAD .. PAGE_BODY)
end

function answering.fault(request)
  request:write(PAGE_HEAD .. "<ht")
  request:log("config error: missing SI_UID")
  request:write("ml>\n<head> ... ")
  request:finish(938)
end

function answering.big(request)
  request:write(HEAD)
  for _ = 1, 10000 do
    request:write(("x"):rep(20))
  end
end

function answering.authorize(request)
  if request:param("PASS") == "yes" then
    request:write("Variable-AUTH: yes\r\n\r\n")
  else
    refuse(request, 403, "Forbidden")
  end
end

-- Those that hold requests, with the pull API ---------------------------------

local function finish(request)
  if not request:ended() then
    request:finish()
  end
end

local function let_go(request)
  if not request:aborted() then
    return false
  end
  pcall(request.write, request, HEAD .. "aborted\n") -- Nobody may be left to read it.
  finish(request)
  return true
end

-- The first request waits for a second one.
local function swap(holder, request)
  local first = holder.first
  if not first then
    holder.first = request
    request:write(PAGE_HEAD)
    request:flush()
    return
  end
  answering.page(request)
  request:finish()
  first:write(PAGE_BODY)
  first:finish()
  holder.first = nil
end

-- Read what has come, without waiting; true when the request is over.
local function read_on(reading)
  local request = reading.request
  local fine, problem = pcall(function()
    local part = request:read_some()
    while part ~= "" do
      table.insert(reading.parts, part)
      part = request:read_some()
    end
    request:write(HEAD .. table.concat(reading.parts))
  end)
  if not fine and problem.code == "AGAIN" then
    return false
  elseif not fine and problem.code == "TRUNCATED" then
    refuse(request, 400, "Bad Request")
  end
  finish(request)
  return true
end

local function remove_over(list, is_over)
  for i = #list, 1, -1 do
    if is_over(list[i]) then
      table.remove(list, i)
    end
  end
end

local function unknown(request)
  refuse(request, 501, "Not Implemented")
end

local function take(holder, name, request)
  if name == "hold" then
    table.insert(holder.held, request)
  elseif name == "swap" then
    swap(holder, request)
  elseif name == "echo" then
    request:set_timeout(0)
    table.insert(holder.reading, { request = request, parts = {} })
  else
    (answering[name] or unknown)(request)
    finish(request)
  end
end

local function holding(server, name_of)
  local holder = { held = {}, reading = {} }
  while not server:stopped() do
    local request = server:accept(0.005)
    if request and not pcall(take, holder, name_of(request), request) then
      if not request:ended() then
        request:fail()
      end
    end
    remove_over(holder.held, let_go)
    remove_over(holder.reading, read_on)
  end
end

function pulling.swap(server)
  holding(server, function() return "swap" end)
end

function pulling.hold(server)
  holding(server, function() return "hold" end)
end

function pulling.spec(server)
  holding(server, function(request) return request:param("SPEC_HANDLER") or "echo" end)
end

function pulling.pull(server)
  local idle = false
  while not server:stopped() do
    local request = server:accept(0.02)
    if request then
      if request:param("PATH_INFO") == "/stop" then
        server:stop()
      end
      text(request, idle and "after a pause" or "at once")
    end
    idle = not request
  end
end

-- The scenario: one server, a handler for each path ---------------------------

local requests, kept = 0, nil

-- The code of the error that a call raises.
local function problem(call, ...)
  local fine, why = pcall(call, ...)
  return fine and "none" or type(why) == "table" and why.code or why
end

function paths.bytes(request)
  local body = request:read(3) .. request:read_some(2) .. request:read()
  request:header("X-Length", tostring(#body))
  text(request, body .. "|" .. request:param("ODD"))
end

function paths.nothing(request)
  text(request, request:param("ABSENT") == nil and "nothing" or "something")
end

-- Write nothing.
function paths.silent() end

function paths.promise(request)
  request:header("Transfer-Encoding", "chunked")
  request:header("Content-Length", request:param("LENGTH"))
  text(request, "abc")
end

function paths.number(request)
  text(request, ("%s\n%s\n%s\n"):format(request:content_length(), request:data_length(),
    request:data_modified()))
end

function paths.large(request)
  local server = fcgi.Server()
  local _, why = pcall(server.set, server, "socket_mode", 9007199254740993)
  text(request, why.code .. " " .. tostring(why))
end

function paths.die()
  error("as it was told to")
end

function paths.die_late(request)
  request:write(HEAD .. "some of it")
  request:flush()
  error("after output")
end

-- An error that is nothing.
function paths.odd()
  error(nil)
end

-- What would leave a loop of the language's own.
function paths.leave()
  coroutine.yield()
end

function paths.close(_, server)
  server:close()
end

function paths.save(request)
  kept = request
end

function paths.saved(request)
  text(request, table.concat({ problem(kept.read, kept), problem(kept.params, kept),
    problem(kept.finish, kept), problem(kept.write, kept, "x"), kept:ended() and "ended" or "open" }, " "))
end

function paths.no_handle(request, server)
  text(request, problem(request.read, nil) .. " " .. problem(server.accept, nil))
end

function paths.wrong(request, server)
  local codes = {
    problem(function()
      request:header("X", "a\nb")
      request:start(200)
    end),
    problem(server.set, server, "no_such_option", 1),
    problem(server.listen, server, "nonsense"),
    problem(request.send_file, request, "/no/such/file"),
  }
  request:fail()
  print(table.concat(codes, " "))
  io.stdout:flush()
end

function paths.stop(request, server)
  server:stop()
  text(request, "stopping\n")
end

function paths.nested(request)
  local inner = fcgi.Server()
  inner:listen(request:param("INNER"))
  inner:run(function(inside)
    text(inside, "inner\n")
    inner:stop()
  end)
  text(request, "outer\n")
end

function paths.file(request)
  request:header("Content-Type", "text/plain")
  request:start()
  request:send_file(request:param("FILE"), 1, 5)
end

function paths.count(request)
  requests = requests + 1
  text(request, tostring(requests))
end

-- The handler is made in a coroutine that is dead when it runs.
function pulling.scenario(server)
  local handler = coroutine.wrap(function()
    return function(request)
      paths[request:param("PATH_INFO"):sub(2)](request, server)
    end
  end)()
  collectgarbage()
  server:serve(handler)
end

-- The error of a handler leaves the loop as it is; the loop goes on.
function pulling.raising(server)
  local thrown = {}
  local fine, why = pcall(server.run, server, function()
    error(thrown)
  end, "raise")
  server:run(function(request)
    text(request, not fine and rawequal(why, thrown) and "same" or "changed")
    server:stop()
  end)
end

local name, address = arg[1], arg[2]
local server = fcgi.Server()
server:set_text("drain_silence", "0.2")
server:set("stream", (name == "early" or name == "spec") and 1 or 0)
for i = 3, #arg do
  server:set_text(arg[i]:match "^([%w_]+)=(.+)$")
end
server:listen(address)
if pulling[name] then
  pulling[name](server)
else
  server:serve(answering[name])
end
