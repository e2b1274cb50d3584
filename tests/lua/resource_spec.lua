-- SPDX-License-Identifier: MIT
package.path = debug.getinfo(1, "S").source:match("^@(.*/)") .. "?.lua;" .. package.path
local fcgi = require "fcgi"
local support = require "support"
local test = require "fcgi.test"

-- A resource of tables that count what is done with them.
local function counting(options)
  local made = {}
  options.open = options.open
    or function()
      local value = { number = #made + 1, rolled = 0 }
      function value.rollback() value.rolled = value.rolled + 1 end
      function value.close() value.closed = true end
      function value:me() return rawequal(self, value) and value.number end
      made[#made + 1] = value
      return value
    end
  return assert(fcgi.resource(options)), made
end

local function raises(pattern, ...)
  local fine, message = pcall(...)
  assert.is_false(fine)
  assert.matches(pattern, tostring(message), 1, true)
end

-- Ask one client for the answers of a handler.
local function answers(handler, count, options)
  options = options or {}
  options.handler = handler
  local client <close> = assert(test.client(options))
  local found = {}
  for i = 1, count do
    found[i] = assert(client:get("/" .. i))
  end
  return found
end

describe("a resource", function()
  it("is opened once, and reset each time", function()
    local db, made = counting {}
    answers(function()
      local connection <close> = db:get()
      assert.equal(1, connection:me())
      return 200, {}, "ok"
    end, 5)
    assert.equal(1, #made)
    assert.equal(5, made[1].rolled)
    assert.equal(1, db:stats().open)
    assert.equal(0, db:stats().in_use)
  end)

  it("is the same for who takes it again", function()
    local db, made = counting {}
    local outer <close> = db:get()
    local sum = db:with(function(value, a, b)
      assert.equal(made[1], value)
      return a + b
    end, 1, 2)
    do
      local inner <close> = db:get()
      assert.equal(outer.number, inner.number)
    end
    assert.equal(3, sum)
    assert.equal(0, made[1].rolled)
    assert.equal(1, outer:me())
  end)

  it("passes on all that with() returns, and what it raises", function()
    local db, made = counting {}
    assert.same({ n = 3, 1, nil, 3 }, table.pack(db:with(function() return 1, nil, 3 end)))
    assert.same({ n = 0 }, table.pack(db:with(function() end)))
    raises("no luck", db.with, db, function() error("no luck") end)
    assert.equal(3, made[1].rolled)
    assert.equal(0, db:stats().in_use)
  end)

  it("lets with() yield", function()
    local db, made = counting {}
    local run = coroutine.wrap(function()
      return db:with(function() return coroutine.yield(1) + 1 end)
    end)
    assert.equal(1, run())
    assert.equal(1, db:stats().in_use)
    assert.equal(8, run(7))
    assert.equal(1, made[1].rolled)
  end)

  it("refuses what was given back", function()
    local db = counting {}
    local kept
    do
      local connection <close> = db:get()
      kept = connection
      connection.colour = "red"
      assert.equal("red", connection.colour)
    end
    raises("resource 'resource': what db:get() returned was given back", function() return kept.number end)
    raises("was given back", function() kept.number = 1 end)
    assert.equal("fcgi.loan (given back)", tostring(kept))
    local again <close> = db:get()
    assert.equal(1, again:me())
  end)

  it("is given back at the end of the request", function()
    local db, made = counting {}
    local kept
    answers(function()
      if kept then
        raises("was given back", function() return kept.number end)
      end
      kept = db:get()
      return 200, {}, function()
        kept.number = kept.number + 1
        return kept.number < 1000 and kept.number % 3 ~= 0 and "x" or nil
      end
    end, 2)
    assert.equal(2, made[1].rolled)
    assert.equal(0, db:stats().unended)
  end)

  it("is given back when the handler fails", function()
    local db, made = counting { broken = function(message) return message:find("gone") end }
    local found = answers(function(req)
      local connection <close> = db:get()
      error(req.path == "/2" and "it is gone" or "else" .. connection.number)
    end, 3)
    assert.equal(500, found[1].status)
    assert.equal(2, #made)
    assert.is_true(made[1].closed)
    assert.equal(1, db:stats().closed_invalidated)
  end)

  it("takes back what a coroutine has left", function()
    local db, made = counting {}
    answers(function()
      coroutine.wrap(function() db:with(function() coroutine.yield() end) end)()
      return 200, {}, "ok"
    end, 2)
    assert.equal(2, #made)
    assert.is_true(made[1].closed)
    assert.equal(2, db:stats().unended)
    assert.equal(0, db:stats().in_use)
  end)

  it("is given back when the handler fails for want of stack", function()
    local db, made = counting {}
    local function deeper(n) return 1 + deeper(n + 1) end
    local found = answers(function(req)
      local connection <close> = db:get()
      return req.path == "/2" and 200 or deeper(connection.number), {}, "ok"
    end, 3)
    assert.same({ 500, 200, 500 }, { found[1].status, found[2].status, found[3].status })
    assert.equal(3, made[1].rolled)
    assert.equal(0, db:stats().unended)
  end)

  it("lives on when the module is opened once more", function()
    local db, made = counting {}
    local open = assert(package.searchpath("fcgi", package.cpath))
    for _ = 1, 3 do
      assert(package.loadlib(open, "luaopen_fcgi"))()
      collectgarbage()
    end
    answers(function()
      return 200, {}, tostring(db:get().number)
    end, 5)
    assert.equal(5, made[1].rolled)
    assert.equal(0, db:stats().in_use)
  end)

  it("is replaced when its check, its reset or the program says so", function()
    local bad
    local function judge() return not bad end
    for _, step in ipairs { "check", "reset" } do
      local db, made = counting { check_after = 0, [step] = judge }
      db:with(function() bad = true end)
      db:with(function() bad = false end)
      db:with(function() bad = false end)
      assert.equal(2, #made, step)
      assert.equal(1, db:stats()["closed_" .. step])
    end
    local db, made = counting {}
    local invalid, message, code = db:invalidate()
    assert.is_nil(invalid)
    assert.equal("nothing of this resource is in use here", message)
    assert.equal("STATE", code)
    db:with(function() assert(db:invalidate()) end)
    db:with(function() end)
    db:drain()
    assert.equal(0, db:stats().open)
    db:with(function() end)
    assert.equal(3, #made)
    assert.is_true(made[1].closed and made[2].closed)
  end)

  it("is not checked with check_after = math.huge, as there is no other one", function()
    local checks = 0
    local db, made = counting { check_after = math.huge, check = function() checks = checks + 1 return true end }
    for _ = 1, 3 do
      db:with(function() end)
      db:with(function() assert(db:invalidate()) end)
    end
    assert.same({ 3, 0 }, { #made, checks })
    local types = support.read_file(support.source .. "/bindings/lua/types/resource.lua")
    assert.matches("check_after%? [^\n]*math.huge: it is not checked;", types)
  end)

  it("tells why it cannot be had", function()
    local away = true
    local db = counting {
      name = "shop",
      acquire_timeout = 0.05,
      open = function()
        if away then
          return nil, "no route\nto it"
        end
        return {}
      end,
    }
    local value, message, code = db:get()
    assert.same({ nil, "resource 'shop' cannot be opened: no route", "TIMEOUT" }, { value, message, code })
    assert.same({ n = 3, nil, message, code }, table.pack(db:with(error)))
    local found = answers(function(req)
      if req.path == "/1" then
        local connection <close> = assert(db:get())
        return 200, {}, connection and "never"
      elseif req.path == "/2" then
        return db:with(error)
      elseif req.path == "/3" then
        return 200, {}, select(2, db:get())
      end
      return 500, {}, db:get() or "own"
    end, 4)
    for _, i in ipairs { 1, 2, 4 } do
      assert.equal(503, found[i].status, i)
      assert.equal("1", found[i].headers["retry-after"])
    end
    assert.equal("own", found[4].body)
    assert.equal(200, found[3].status)
    assert.equal(message, found[3].body)
    away = false
    support.wait_for(function() return db:with(function() return true end) end, "its return")
    assert.equal(0, db:stats().away)
  end)

  it("does not try again what cannot help", function()
    local db = counting { open = function() end }
    local value, message, code = db:get()
    assert.is_nil(value)
    assert.equal("resource 'resource' cannot be opened: open has returned nothing", message)
    assert.equal("INVALID", code)
  end)

  it("survives an error that cannot be told as text", function()
    local faults = {
      setmetatable({}, { __tostring = function() error("no text") end }),
      setmetatable({}, { __tostring = function() return 7 end }),
      setmetatable({}, { __tostring = {} }),
      setmetatable({}, { __name = "mine" }),
      false,
    }
    for i = 1, 5 do
      for _, option in ipairs { "open", "configure" } do
        local away = true
        local db = counting { acquire_timeout = 0, [option] = function()
          return away and error(faults[i]) or { number = 1 }
        end }
        local value, message, code = db:get()
        assert.same({ nil, "TIMEOUT" }, { value, code }, i)
        assert.matches("resource 'resource' cannot be opened: ", message, 1, true)
        assert.equal(1, db:stats().failed)
        away = false
        support.wait_for(function() return db:with(function() return true end) end, "its return")
        assert.equal(0, db:stats().in_use)
      end
    end
  end)

  it("is told by open why there is none, in whatever it returns", function()
    local fault = setmetatable({}, { __tostring = function() error("no text") end })
    local db = counting { acquire_timeout = 0, open = function() return nil, fault end }
    local value, message, code = db:get()
    assert.same({ nil, "TIMEOUT" }, { value, code })
    assert.matches("resource 'resource' cannot be opened: ", message, 1, true)
    assert.equal(1, db:stats().failed)
  end)

  it("is configured when it is opened", function()
    local db = counting { configure = function(value) value.ready = true end }
    assert.is_true(db:with(function(value) return value.ready end))
    local bad, made = counting { acquire_timeout = 0, configure = function() error("not now", 0) end }
    assert.same({ n = 3, nil, "resource 'resource' cannot be opened: not now", "TIMEOUT" }, table.pack(bad:get()))
    assert.is_true(made[1].closed)
  end)

  it("is counted by the status", function()
    local db = counting {}
    local client <close> = assert(test.client { status_path = "/status", handler = function(req)
      local connection <close> = db:get()
      db:invalidate()
      return 200, {}, req.path .. connection.number
    end })
    for i = 1, 3 do
      assert.equal("/x" .. i, assert(client:get("/x")).body)
    end
    local text = assert(client:get("/status?openmetrics")).body
    assert.matches("\nfastcgi_resources_opened_total 3\n", text, 1, true)
    assert.matches('\nfastcgi_resources_closed_total{cause="invalidated"} 3\n', text, 1, true)
    assert.matches("\nfastcgi_resources_in_use 0\n", text, 1, true)
  end)

  it("knows its options", function()
    raises("unknown option 'opne'", fcgi.resource, { opne = print })
    raises("option 'open' is needed", fcgi.resource, {})
    raises("option 'check' must be a function or false (got a number)", fcgi.resource, { open = print, check = 1 })
    raises("option 'check' must be", fcgi.resource, { open = print, check = true })
    raises("option 'reset' must be", fcgi.resource, { open = print, reset = "never" })
    raises("option 'max_age' must be from 0.001", fcgi.resource, { open = print, max_age = -1 })
    raises("option 'acquire_timeout' must be", fcgi.resource, { open = print, acquire_timeout = math.huge })
    raises("option 'minimum' must be 0 or 1", fcgi.resource, { open = print, minimum = 2 })
    for _, wrong in ipairs { 0, -1, 1025, 2.5, math.huge } do
      raises("option 'limit_total' must be a whole number from 1 to 1024", fcgi.resource,
        { open = print, limit_total = wrong })
    end
    assert.equal(7, fcgi.resource({ open = print, limit_total = 7 }):stats().limit_total)
    raises("table expected", fcgi.resource, print)
    assert.equal("fcgi.resource: x", tostring(fcgi.resource { open = print, name = "x", max_age = math.huge }))
  end)

  it("loses nothing in many requests", function()
    local db, made = counting { reset = function() return math.random() > 0.01 end }
    for _ = 1, 20000 do
      pcall(db.with, db, function() error() end)
      local connection <close> = db:get()
      assert(connection.number)
    end
    local stats = db:stats()
    assert.equal(0, stats.in_use)
    assert.equal(#made, stats.opened)
    assert.equal(stats.opened - stats.open, stats.closed_reset)
  end)
end)

local app = [[
local fcgi = require "fcgi"
local db = fcgi.resource {
  name = "file", eager = %s, acquire_timeout = 0.1,
  open = function()
    local file, message = io.open("%s", "r+")
    return file, message
  end,
  close = function(file)
    file:close()
    io.stderr:write("closed\n")
  end,
}
return function()
  local file <close> = assert(db:get())
  return 200, {}, tostring(file) .. db:stats().opened
end]]

describe("threads", function()
  it("have one each, and close it when they end", function()
    local server <close> = support.launch(app:format("false", "/dev/null"), "--threads 2")
    for _ = 1, 20 do
      assert.matches("^file.*1$", server:ask().body)
    end
    assert.equal(0, server:stop())
    assert.matches("closed\n", server:log(), 1, true)
  end)

  it("answer 503 with one line while it is away", function()
    local directory = support.directory()
    local server <close> = support.launch(app:format("false", directory .. "/f"), "--threads 2")
    local response = server:ask()
    assert.equal(503, response.status)
    assert.equal("1", response.headers["retry-after"])
    assert.matches("resource 'file' cannot be opened: " .. directory, server:log(), 1, true)
    assert.is_nil(server:log():find("traceback", 1, true))
    for _ = 1, 20 do
      assert.equal(503, server:ask().status)
    end
    local _, lines = server:log():gsub("resource 'file' cannot be opened", "")
    assert.equal(1, lines)
    support.write_file(directory .. "/f", "")
    support.wait_for(function() return server:ask().status == 200 end, "its return")
    support.remove(directory)
  end)
end)
