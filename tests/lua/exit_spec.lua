-- SPDX-License-Identifier: MIT
package.path = debug.getinfo(1, "S").source:match("^@(.*/)") .. "?.lua;" .. package.path
-- os.exit inside a handler is an error of its request; elsewhere it ends the
-- program.
local support = require "support"

local app = [[
local leave = os.exit
local actions = {}
function actions.plain() os.exit() end
function actions.code() os.exit(3) end
function actions.close() os.exit(true, true) end
function actions.kept() leave(0) end
function actions.coroutine()
  local fine, message = coroutine.resume(coroutine.create(function() os.exit(1) end))
  assert(not fine)
  error(message, 0)
end
function actions.body() return 200, {}, function() os.exit(1) end end
function actions.guard()
  local guard <close> = setmetatable({}, { __close = function() os.exit(1) end })
  return 200, {}, "lost"
end
function actions.headers()
  return 200, setmetatable({}, { __pairs = function() os.exit(1) end, __index = os.exit }), os.exit
end
function actions.caught()
  return 200, {}, tostring(pcall(os.exit, 1))
end
local handler = function(req) return (actions[req.params.ACTION] or function()
  return 200, {}, "fine"
end)(req) end
return { handler = handler, roles = { authorizer = function() os.exit(4) end } }
]]

for _, threads in ipairs { 1, 3 } do
  describe("os.exit in a handler, threads " .. threads, function()
    local server
    setup(function() server = support.launch(app, "--threads " .. threads) end)
    teardown(function() server:__close() end)

    for _, action in ipairs { "plain", "code", "close", "kept", "coroutine", "body", "guard", "headers" } do
      it("ends the request alone: " .. action, function()
        for _ = 1, 3 do
          local before = #server:log()
          local response = server:ask { params = { ACTION = action } }
          assert.is_truthy(response.status == 500 or response.cut)
          local log = support.wait_for(function()
            local text = server:log():sub(before + 1)
            return text:find("stack traceback:", 1, true) and text
          end, "its traceback")
          assert.matches("os.exit was called: it ends the request", log, 1, true)
        end
        assert.equal("fine", server:ask().body)
        assert.is_true(server:running())
      end)
    end

    it("is caught as other errors are", function()
      assert.equal("false", server:ask { params = { ACTION = "caught" } }.body)
    end)

    it("ends an authorizer's request alone", function()
      for _ = 1, 2 do
        assert.equal(500, server:ask { role = 2 }.status)
      end
      assert.equal("fine", server:ask().body)
    end)

    it("leaves the worker able to stop", function()
      assert.equal("fine", server:ask().body)
      assert.equal(0, server:stop())
    end)
  end)
end

describe("os.exit", function()
  local directory
  setup(function() directory = support.directory() end)
  teardown(function() support.remove(directory) end)

  local function run(text)
    support.write_file(directory .. "/program.lua", text)
    local output, status = support.shell(("cd %s; timeout 60 lua5.4 program.lua 2>&1"):format(directory))
    return output, status
  end

  it("while an application loads is told as an error", function()
    for _, threads in ipairs { "1", "2" } do
      support.write_file(directory .. "/leaves.lua", "os.exit(0)")
      local output, status = support.shell(("cd %s; timeout 60 %s leaves.lua --bind unix:l.sock --threads %s 2>&1")
        :format(directory, support.launcher, threads))
      assert.equal(1, status)
      assert.matches("leaves.lua:1: os.exit was called", output, 1, true)
    end
  end)

  it("ends the program before and after serving, and in its own loop", function()
    local serves = [[
      local fcgi = require "fcgi"
      local client = require "fcgi.client"
      local server = assert(fcgi.server { bind = "unix:x.sock" })
      server:stop()
      assert(server:serve(function() end))
      os.exit(%s)
    ]]
    assert.equal(7, select(2, run(serves:format "7")))
    assert.equal(0, select(2, run(serves:format "true")))
    assert.equal(1, select(2, run(serves:format "false")))
    assert.equal(5, select(2, run("require 'fcgi'; os.exit(5)")))
  end)
end)
