-- SPDX-License-Identifier: MIT
-- What the specs share: places of their own, servers in this process and in
-- child processes.
local client = require "client"
local fcgi = require "fcgi"
local assert = require "luassert"

local support = {}

local function shell(command)
  local pipe = assert(io.popen(command))
  local output = pipe:read("a")
  local _, _, status = pipe:close()
  return output, status
end
support.shell = shell

local here = debug.getinfo(1, "S").source:match("^@(.*/)") or "./"
support.source = shell("realpath " .. here .. "../.."):gsub("%s+$", "")

function support.write_file(path, content)
  local file = assert(io.open(path, "wb"))
  assert(file:write(content))
  assert(file:close())
  return path
end

function support.read_file(path)
  local file = io.open(path, "rb")
  if not file then
    return ""
  end
  local content = file:read("a")
  file:close()
  return content
end

function support.exists(path)
  local file = io.open(path)
  return file ~= nil and file:close()
end

--- A new directory; remove it with support.remove.
function support.directory()
  return (shell("mktemp -d /tmp/fcgi-lua-XXXXXX"):gsub("%s+$", ""))
end

function support.remove(directory)
  assert(directory:match("^/tmp/fcgi%-lua%-"))
  os.execute("rm -rf " .. directory)
end

--- Try `check` until it returns something true.
function support.wait_for(check, what)
  for _ = 1, 3000 do
    local result = check()
    if result then
      return result
    end
    client.sleep(0.02)
  end
  error("waiting 60 seconds was in vain: " .. what, 2)
end

--- Call body(server, path) with a server at a socket of its own.
function support.with_server(options, body)
  local directory = support.directory()
  local path = directory .. "/s.sock"
  options.bind = "unix:" .. path
  local server = assert(fcgi.server(options))
  local fine, message = xpcall(body, debug.traceback, server, path)
  server:close()
  support.remove(directory)
  if not fine then
    error(message, 0)
  end
end

--- Answer one request with a handler, in this process; returns the response.
--- The request must be small, as the client does not run beside the server.
function support.ask(handler, request, options)
  local response
  support.with_server(options or {}, function(server, path)
    local peer <close> = client.connect(path)
    peer:request(request or {})
    assert(server:serve(function(req)
      server:stop()
      return handler(req)
    end))
    response = peer:response()
  end)
  return response
end

--- Call body(req) with one open request that the body may leave unfinished;
--- returns the response.
function support.pull(request, body, options)
  local response
  support.with_server(options or {}, function(server, path)
    local peer <close> = client.connect(path)
    peer:request(request or {})
    local req <close> = assert(server:accept(5))
    body(req, peer)
    req:finish()
    server:stop()
    assert.same({ nil, "closed", "CLOSED" }, { server:accept(5) })
    response = peer:response()
  end)
  return response
end

local process = {}
process.__index = process

--- All that the child wrote to its standard error.
function process:log()
  return support.read_file(self.log_path)
end

function process:running()
  return os.execute("kill -0 " .. self.pid .. " 2>/dev/null") == true
end

function process:signal(name)
  os.execute(("kill -%s %s 2>/dev/null"):format(name, self.pid))
end

--- Stop it gracefully; returns its exit status.
function process:stop()
  self:signal("TERM")
  local status = support.wait_for(function()
    return support.read_file(self.status_path):match("%d+")
  end, "the end of process " .. self.pid)
  return tonumber(status)
end

function process:__close()
  if self:running() then
    self:signal("KILL")
    support.wait_for(function() return not self:running() end, "its death")
  end
  support.remove(self.directory)
end

function process:connect()
  return client.connect(self.path)
end

--- One request on a connection of its own.
function process:ask(request)
  local peer <close> = self:connect()
  peer:request(request or {})
  return peer:response()
end

support.launcher = "lua5.4 " .. support.source .. "/bindings/lua/bin/fcgi-lua"

local function new_process()
  local directory = support.directory()
  return setmetatable({ directory = directory, path = directory .. "/s.sock",
    log_path = directory .. "/log", status_path = directory .. "/status" }, process)
end

-- Run a command that comes to listen at the process's path.
local function start(self, command)
  local directory = self.directory
  os.execute(("cd %s; (%s </dev/null >%s 2>&1 & echo $! >pid; wait $!; echo $? >status) 2>/dev/null &"):format(
    directory, command, self.log_path))
  self.pid = support.wait_for(function()
    return support.read_file(directory .. "/pid"):match("%d+\n")
  end, "a process"):match("%d+")
  support.wait_for(function()
    if not self:running() then
      local log = self:log()
      support.remove(directory)
      error("it does not start: " .. log, 0)
    end
    local peer = client.try(self.path)
    return peer and (peer:close() or true)
  end, "the server at " .. self.path)
  return self
end

--- How many threads this process has, and for a moment those that were joined.
function support.threads()
  return tonumber(support.read_file("/proc/self/status"):match("Threads:\t(%d+)\n"))
end

--- Serve an application, given as a path or as Lua source, with the launcher.
--- To be held in a <close> variable.
function support.launch(app, options)
  local self = new_process()
  if not app:match("^/[^\n]*%.lua") then
    app = support.write_file(self.directory .. "/app.lua", app)
  end
  return start(self, ("%s %s --bind unix:%s %s %s"):format(
    support.environment or "", support.launcher, self.path, options or "", app))
end

--- Run Lua source that serves by itself, behind words such as "lua5.4"; it gets
--- its address, or `arguments`.
function support.run_program(source, words, arguments)
  local self = new_process()
  support.write_file(self.directory .. "/app.lua", source)
  return start(self, ("%s app.lua %s"):format(words:gsub("PATH", self.path), arguments or "unix:" .. self.path))
end

return support
