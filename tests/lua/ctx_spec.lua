-- SPDX-License-Identifier: MIT
-- req.ctx: a table of the request's own, whose values end with it.
package.path = debug.getinfo(1, "S").source:match("^@(.*/)") .. "?.lua;" .. package.path
local client = require "client"
local support = require "support"
local test = require "fcgi.test"

-- A value that notes when it is closed.
local function closing(log, name)
  return setmetatable({}, { __close = function(_, problem)
    log[#log + 1] = name
    assert(problem == nil)
  end })
end

describe("req.ctx", function()
  it("is a table of each request's own", function()
    local seen = {}
    local asked <close> = assert(test.client(function(req)
      assert(next(req.ctx) == nil)
      req.ctx.number = #seen + 1
      assert(req.ctx == req.ctx and req.ctx.number == #seen + 1)
      seen[#seen + 1] = req.ctx
      return 200
    end))
    for _ = 1, 3 do
      assert.equal(200, assert(asked:get("/")).status)
    end
    assert.same({ { number = 1 }, { number = 2 }, { number = 3 } }, seen)
  end)

  it("closes what it holds when the request has ended, however it ends", function()
    local log, kept = {}, nil
    local asked <close> = assert(test.client(function(req)
      kept = req
      local ctx = req.ctx
      ctx.value, ctx.file, ctx.plain, ctx.text = closing(log, req.path), io.tmpfile(), {}, "text"
      log.file = ctx.file
      if req.path == "/raise" then
        error("raised on purpose")
      elseif req.path == "/reply" then
        req:reply(200)
        assert(io.type(log.file) == "file")
        return
      elseif req.path == "/pieces" then
        return 200, {}, function()
          assert(io.type(log.file) == "file")
          return nil
        end
      elseif req.path == "/yield" then
        coroutine.yield()
      end
      return 200
    end))
    for path, status in pairs { ["/return"] = 200, ["/raise"] = 500, ["/reply"] = 200, ["/pieces"] = 200,
      ["/yield"] = 500 } do
      log = {}
      assert.equal(status, assert(asked:get(path)).status)
      assert.same({ path }, { table.unpack(log) })
      assert.equal("closed file", io.type(log.file))
    end
    assert.has_error(function() return kept.ctx end, "the request is finished")
  end)

  it("logs what fails there, and closes the rest", function()
    local server <close> = support.launch([[
      local closed = 0
      return function(req)
        for i = 1, 5 do
          req.ctx[i] = setmetatable({}, { __close = function()
            closed = closed + 1
            if i == 2 then error("closing failed on purpose") end
          end })
        end
        return 200, {}, tostring(closed)
      end]])
    assert.equal("0", server:ask().body)
    assert.equal("5", server:ask().body)
    assert.matches("closing what req.ctx holds: [^\n]*closing failed on purpose", server:log())
  end)

  it("may be changed while it is closed", function()
    local log = {}
    local asked <close> = assert(test.client(function(req)
      local ctx = req.ctx
      ctx.value = setmetatable({}, { __close = function()
        for i = 1, 100 do ctx[i] = i end
        log[#log + 1] = "closed"
      end })
      return 200, {}, "fine"
    end))
    for _ = 1, 2 do
      assert.equal("fine", assert(asked:get("/")).body)
    end
    assert.same({ "closed", "closed" }, log)
  end)

  it("is a new one when the handler runs once more", function()
    local server <close> = support.launch([[
      local fcgi = require "fcgi"
      local runs, closed, fails = 0, 0, true
      local thing = assert(fcgi.resource { open = function() return {} end, broken = function() return true end,
        retry = "safe" })
      return function(req)
        assert(next(req.ctx) == nil)
        req.ctx.value = setmetatable({}, { __close = function() closed = closed + 1 end })
        runs = runs + 1
        local _ <close> = assert(thing:get())
        if fails then
          fails = false
          error("broken")
        end
        return 200, {}, runs .. " " .. closed
      end]])
    assert.equal("2 1", server:ask().body)
    assert.equal("3 2", server:ask().body)
  end)

  it("ends with a request that the program has taken", function()
    support.with_server({}, function(server, path)
      local peer <close> = client.connect(path)
      for id, ending in ipairs {
        function(req) req:reply(200) end,
        function(req) req:start(200):finish() end,
        function(req)
          local _ <close> = req
          req:start(200)
        end,
      } do
        local log = {}
        peer:request { id = id }
        local req = assert(server:accept(5))
        req.ctx.value = closing(log, id)
        assert.equal(req.ctx, req.ctx)
        ending(req)
        assert.same({ id }, log)
        assert.equal(200, peer:response(id).status)
      end
    end)
  end)

  it("ends in a loop with the request that it has", function()
    support.with_server({}, function(server, path)
      local log = {}
      local peer <close> = client.connect(path)
      peer:request { id = 1 }
      peer:request { id = 2 }
      for req in server:requests() do
        local number = #log + 1
        req.ctx.value = closing(log, number)
        req:start(200)
        if number == 2 then
          break
        end
      end
      assert.same({ 1, 2 }, log)
    end)
  end)

  it("is collected with a request that was lost", function()
    support.with_server({}, function(server, path)
      local peer <close> = client.connect(path)
      peer:request {}
      local weak = setmetatable({}, { __mode = "v" })
      do
        local req = assert(server:accept(5))
        weak[1] = req.ctx
      end
      collectgarbage()
      collectgarbage()
      assert.is_nil(weak[1])
    end)
  end)
end)
