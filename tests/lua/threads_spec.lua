-- SPDX-License-Identifier: MIT
package.path = debug.getinfo(1, "S").source:match("^@(.*/)") .. "?.lua;" .. package.path
local support = require "support"

local app = [[
local first = ...
local count = 0
marker = (marker or 0) + 1
return { handler = function(req)
  count = count + 1
  if req.params.WAIT then os.execute("sleep " .. req.params.WAIT) end
  if req.params.FAIL then error("boom in a thread") end
  return 200, {}, table.concat({ tostring(_G), count, marker, tostring(coroutine.isyieldable()),
    arg[0], arg[1] or "-", first or "-" }, " ")
end }
]]

describe("threads", function()
  it("have a state each", function()
    local server <close> = support.launch(app, "--threads 3 --log-level warning")
    local states, peers = {}, {}
    for i = 1, 3 do
      peers[i] = server:connect()
      peers[i]:request { params = { WAIT = "0.5" } }
    end
    for i = 1, 3 do
      local body = peers[i]:response().body
      states[body:match("^table: (%S+)")] = true
      assert.matches("^table: %S+ 1 1 true %S*app.lua %- %-$", body)
      peers[i]:close()
    end
    local count = 0
    for _ in pairs(states) do
      count = count + 1
    end
    assert.equal(3, count)
    assert.equal(0, server:stop())
    assert.is_falsy(support.exists(server.path))
    assert.equal("", server:log())
  end)

  it("fail alone", function()
    local server <close> = support.launch(app, "--threads 2")
    for _ = 1, 10 do
      assert.equal(500, server:ask { params = { FAIL = "1" } }.status)
      assert.equal(200, server:ask {}.status)
    end
    assert.matches("boom in a thread\nstack traceback:", server:log(), 1, true)
  end)

  it("find modules where the caller finds them", function()
    local directory = support.directory()
    support.write_file(directory .. "/my_own_module.lua", "return 'mine'")
    local path = support.write_file(directory .. "/app.lua",
      "local m = require 'my_own_module'; return function() return 200, {}, m end")
    local script = support.write_file(directory .. "/run.lua", ([[
      package.path = %q .. package.path
      assert(require("fcgi").serve { bind = "unix:%s/s", app = %q, threads = 2 })]]):format(
      directory .. "/?.lua;", directory, path))
    local pid = support.shell(("lua5.4 %s >%s/log 2>&1 & echo $!"):format(script, directory)):match("%d+")
    local client = require "client"
    local peer = support.wait_for(function() return client.try(directory .. "/s") end, "the server")
    peer:request {}
    assert.equal("mine", peer:response().body)
    peer:close()
    os.execute("kill " .. pid)
    support.wait_for(function() return not support.exists(directory .. "/s") end, "its end")
    support.remove(directory)
  end)

  it("that do not all load leave nothing behind", function()
    local directory = support.directory()
    local path = support.write_file(directory .. "/app.lua", ([[
      local file = io.open(%q, "a+")
      local loads = #file:read("a")
      file:write("x") file:close()
      if loads == 2 then error("the third one fails") end
      return print]]):format(directory .. "/loads"))
    local served, message, code = require("fcgi").serve {
      bind = "unix:" .. directory .. "/s", app = path, threads = 5 }
    assert.is_nil(served)
    assert.matches("app.lua:4: the third one fails$", message)
    assert.equal("STATE", code)
    assert.equal("xxx", support.read_file(directory .. "/loads"))
    assert.is_falsy(support.exists(directory .. "/s"))
    assert.equal("Threads:\t1", support.read_file("/proc/self/status"):match("Threads:\t%d+"))
    support.remove(directory)
  end)

  it("close their states at the end", function()
    local server <close> = support.launch([[
      local guard = setmetatable({}, { __gc = function() io.stderr:write("state closed\n") end })
      return function() return 200, {}, tostring(guard) end]], "--threads 3 --log-level warning")
    assert.equal(200, server:ask {}.status)
    assert.equal(0, server:stop())
    assert.equal(("state closed\n"):rep(3), server:log())
  end)

  it("finish what runs when stopped", function()
    local server <close> = support.launch(app, "--threads 2")
    local peer <close> = server:connect()
    peer:request { params = { WAIT = "0.6" } }
    require("client").sleep(0.2)
    assert.equal(0, server:stop())
    assert.equal(200, peer:response().status)
  end)
end)
