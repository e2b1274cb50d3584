-- SPDX-License-Identifier: MIT
package.path = debug.getinfo(1, "S").source:match("^@(.*/)") .. "?.lua;" .. package.path
-- Handlers in a process of their own, started by the launcher.
local support = require "support"

local app = [[
local saved
local actions = {}
function actions.raise() error("boom at " .. tostring(nil)) end
function actions.object() error(setmetatable({}, {__tostring = function() return "an object" end})) end
function actions.mute() error(setmetatable({}, {__tostring = function() error("no text") end})) end
function actions.table() error({}) end
function actions.after(req) req:start(200):write("begun "):flush(); error("too late") end
function actions.none() end
function actions.yield() coroutine.yield(1) end
function actions.closing(req)
  local guard <close> = setmetatable({}, {__close = function() io.stderr:write("guard closed\n") end})
  error("with a guard")
end
function actions.body() return 200, {}, function() error("in the body") end end
function actions.save(req) saved = req; return 200, {}, "saved" end
function actions.use() return 200, {}, tostring(pcall(saved.write, saved, "x")) .. tostring(saved) end
function actions.coroutine() return 200, {}, tostring(coroutine.isyieldable()) end
function actions.big(req) return 200, {}, ("x"):rep(tonumber(req.params.SIZE)) end
function actions.pieces(req)
  local left = tonumber(req.params.SIZE) // 1000
  local piece = ("y"):rep(1000)
  return 200, {}, function() left = left - 1; if left >= 0 then return piece end end
end
function actions.count(req) return 200, {}, #req:read("a") end
function actions.late(req) req:reply(200, {}, "mine"); return 404, {}, "ignored" end
function actions.ended(req) req:start(200):write("mine"); return req:finish() end
function actions.hello() return 200, {}, "hello" end
return function(req) return actions[req.params.ACTION](req) end
]]

describe("a handler", function()
  local server
  setup(function() server = support.launch(app) end)
  teardown(function() server:__close() end)

  local function ask(action, request)
    request = request or {}
    request.params = request.params or {}
    request.params.ACTION = action
    return server:ask(request)
  end

  -- The handler fails with 500 for the client and the text in the log, and the
  -- server goes on.
  local function fails(action, text)
    local response = ask(action)
    assert.equal(500, response.status)
    assert.is_nil(response.stdout:find("traceback", 1, true))
    local log = server:log()
    assert.matches("fcgi: GET / failed: ", log, 1, true)
    assert.matches(text, log, 1, true)
    assert.matches("stack traceback:", log, 1, true)
    assert.equal("hello", ask("hello").body)
  end

  it("that raises gives a traceback and 500", function()
    fails("raise", "app.lua:3: boom at nil")
    assert.matches("app.lua:3: in function <", server:log(), 1, true)
  end)

  it("that raises an object is reported by its text", function()
    fails("object", "an object")
    fails("mute", "(error object is a table value)")
    fails("table", "(error object is a table value)")
  end)

  it("that answers nothing fails", function()
    fails("none", "the handler returned nothing and wrote nothing")
  end)

  it("that does not exist fails", function()
    fails("no_such_action", "attempt to call a nil value")
  end)

  it("that yields to nobody fails", function()
    fails("yield", "the handler yielded, but nothing resumes it here")
  end)

  it("closes its variables when it raises", function()
    fails("closing", "guard closed")
  end)

  it("whose answer had begun is cut", function()
    local response = ask("after")
    assert.is_truthy(response.cut or response.app_status ~= 0)
    assert.matches("too late", server:log(), 1, true)
    assert.equal("hello", ask("hello").body)
  end)

  it("whose body raises is cut or fails", function()
    local response = ask("body")
    assert.is_truthy(response.cut or response.app_status ~= 0 or response.status == 500)
    assert.matches("in the body", server:log(), 1, true)
    assert.equal("hello", ask("hello").body)
  end)

  it("that returns a status for a finished request is reported", function()
    assert.equal("mine", ask("late").body)
    support.wait_for(function()
      return server:log():find("the handler returned 404, but had finished the request itself", 1, true)
    end, "the report")
    local before = #server:log()
    assert.equal("mine", ask("ended").body)
    assert.equal("hello", ask("hello").body)
    assert.equal(before, #server:log())
  end)

  it("does not harm other requests of its connection", function()
    local peer <close> = server:connect()
    peer:request { id = 1, params = { ACTION = "raise" } }
    assert.equal(500, peer:response(1).status)
    peer:request { id = 2, params = { ACTION = "hello" } }
    assert.equal("hello", peer:response(2).body)
  end)

  it("cannot use a request that is finished", function()
    assert.equal("saved", ask("save").body)
    assert.equal("falsefcgi.request (finished)", ask("use").body)
  end)

  it("runs as a coroutine", function()
    assert.equal("true", ask("coroutine").body)
  end)

  it("sends big bodies whole", function()
    for _, action in ipairs { "big", "pieces" } do
      local peer <close> = server:connect()
      peer:request { params = { ACTION = action, SIZE = 20000000 } }
      local response = peer:response()
      assert.equal(20000000, #response.body)
      assert.equal(0, response.app_status)
    end
  end)

  it("reads big bodies whole", function()
    local body = ("0123456789"):rep(400000)
    local response = server:ask { body = body, params = { ACTION = "count" } }
    assert.equal("4000000", response.body)
  end)

  it("serves kept connections", function()
    local peer <close> = server:connect()
    for id = 1, 100 do
      peer:request { id = id, params = { ACTION = "hello" } }
      assert.equal("hello", peer:response(id).body)
    end
  end)
end)

describe("server:serve", function()
  it("runs until the handler stops it, and once more after an error in it", function()
    local fcgi = require "fcgi"
    local server <close> = assert(fcgi.server { bind = "127.0.0.1:0" })
    assert.has_error(function() server:serve() end)
    assert.has_error(function() server:serve(42) end)
    server:stop()
    assert.is_true(server:serve(print))
  end)

  it("can be closed from its handler", function()
    local closed
    support.with_server({}, function(server, path)
      local peer <close> = require("client").connect(path)
      peer:request {}
      server:serve(function(req)
        server:close()
        closed = tostring(server)
        return 200, {}, req.method
      end)
    end)
    assert.matches("^fcgi.server: 0x", closed)
  end)

  it("is not entered twice", function()
    local message
    support.ask(function() return 200 end)
    support.with_server({}, function(server, path)
      local peer <close> = require("client").connect(path)
      peer:request {}
      server:serve(function()
        server:stop()
        message = select(2, pcall(server.serve, server, print))
        return 200
      end)
    end)
    assert.matches("the server is serving already", message, 1, true)
  end)
end)
