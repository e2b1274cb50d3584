-- SPDX-License-Identifier: MIT
package.path = debug.getinfo(1, "S").source:match("^@(.*/)") .. "?.lua;" .. package.path
local fcgi = require "fcgi"
local support = require "support"

local root = support.shell("id -u") == "0\n" and " --allow-root" or ""

local app = [[
local fcgi = require "fcgi"
local cache = assert(fcgi.shared("cache"))
return function()
  local sum = cache:incr("n", 1, 0)
  return 200, {}, ("%s %d %s"):format(tostring(_G), sum, cache:private())
end]]

local number = 0
local function fresh()
  number = number + 1
  return assert(fcgi.shared("test" .. number, 65536))
end

local function raises(pattern, ...)
  local fine, message = pcall(...)
  assert.is_false(fine)
  assert.matches(pattern, message, 1, true)
end

describe("a shared dictionary", function()
  it("gives back what it got", function()
    local cache = fresh()
    local numbers = { 0, math.mininteger, math.maxinteger, 0.5, 2.0 }
    for _, value in ipairs { "", "a\0b\255", ("x"):rep(40000), true, false, table.unpack(numbers) } do
      assert.is_truthy(cache:set("key", value))
      local back = cache:get("key")
      assert.equal(value, back)
      assert.equal(math.type(value), math.type(back))
    end
    assert.is_nil(cache:get("none"))
    assert.equal(7, cache:get("none", 7))
    cache:set("no", false)
    assert.is_false(cache:get("no", true))
  end)

  it("refuses what it cannot keep", function()
    local cache = fresh()
    raises("a value is a string, a number or a boolean", cache.set, cache, "key", {})
    raises("a value is a string, a number or a boolean", cache.set, cache, "key", nil)
    raises("a key has 1 to 2048 bytes", cache.get, cache, "")
    raises("a key has 1 to 2048 bytes", cache.set, cache, ("k"):rep(2049), 1)
    raises("above 0", cache.set, cache, "key", 1, 0)
    raises("above 0", cache.expire, cache, "key", -1)
    raises("a shared dictionary has a name", fcgi.shared, "a b")
    raises("a shared dictionary has a name", fcgi.shared, "small", 100)
    local set, message, code = cache:set("key", ("x"):rep(70000))
    assert.is_nil(set)
    assert.equal("the value is larger than the dictionary", message)
    assert.equal("LIMIT", code)
    assert.is_nil(cache:get("key"))
  end)

  it("adds, replaces and deletes", function()
    local cache = fresh()
    assert.is_false(cache:replace("a", 1))
    assert.is_true(cache:add("a", 1))
    assert.is_false(cache:add("a", 2))
    assert.is_true(cache:replace("a", 3))
    assert.equal(3, cache:get("a"))
    assert.is_true(cache:delete("a"))
    assert.is_false(cache:delete("a"))
  end)

  it("counts exactly", function()
    local cache = fresh()
    assert.is_nil(cache:incr("n"))
    assert.equal(1, cache:incr("n", 1, 0))
    assert.equal(42, cache:incr("n", 41))
    cache:set("n", math.maxinteger - 1)
    assert.equal(math.maxinteger, cache:incr("n"))
    local sum, message, code = cache:incr("n")
    assert.same({ n = 3, nil, "the sum does not fit into 64 bits", "LIMIT" }, table.pack(sum, message, code))
    cache:set("n", "1")
    sum, message, code = cache:incr("n", 1, 0)
    assert.same({ n = 3, nil, "the value of that key is no integer", "STATE" }, table.pack(sum, message, code))
  end)

  it("keeps time", function()
    local cache = fresh()
    cache:set("a", 1, 0.001)
    cache:set("b", 1, 100)
    cache:set("c", 1)
    support.wait_for(function() return cache:get("a") == nil end, "its end")
    assert.is_true(cache:ttl("b") > 99 and cache:ttl("b") <= 100)
    assert.equal(math.huge, cache:ttl("c"))
    assert.is_nil(cache:ttl("a"))
    assert.is_true(cache:expire("c", 50))
    assert.is_true(cache:expire("b"))
    assert.is_false(cache:expire("a", 50))
    assert.equal(math.huge, cache:ttl("b"))
    assert.is_true(cache:ttl("c") <= 50)
  end)

  it("tells what had to go", function()
    local cache, gone = fresh(), 0
    for i = 1, 1000 do
      gone = gone + cache:set("key" .. i, i)
    end
    local counts = cache:counts()
    assert.is_true(gone > 100)
    assert.equal(gone, counts.evicted)
    assert.equal(1000 - gone, counts.entries)
    assert.equal(1000 - gone, #cache:keys())
    assert.is_true(cache:clear())
    assert.same({}, cache:keys())
  end)

  it("has locks", function()
    local cache = fresh()
    do
      local lock <close> = cache:lock("a")
      assert.is_truthy(lock)
      local other, message, code = cache:lock("a", 0.01)
      assert.same({ n = 3, nil, "the lock is held by another", "TIMEOUT" }, table.pack(other, message, code))
      assert.is_truthy(cache:lock("b", 0))
    end
    local lock = cache:lock("a", 0)
    assert.is_true(lock:unlock())
    assert.is_false(lock:unlock())
  end)

  it("makes a value once", function()
    local cache, made = fresh(), 0
    local function make()
      made = made + 1
      return "value" .. made
    end
    assert.equal("value1", cache:fetch("a", make, 100))
    assert.equal("value1", cache:fetch("a", make, 100))
    assert.is_true(cache:ttl("a") <= 100)
    raises("no luck", cache.fetch, cache, "b", function() error("no luck") end)
    assert.equal("value2", cache:fetch("b", make))
  end)

  it("is the same by the same name", function()
    local cache = fresh()
    assert.equal(cache, fcgi.shared(cache:name()))
    assert.equal("fcgi.shared: " .. cache:name(), tostring(cache))
    assert.is_false(getmetatable(cache))
    assert.is_true(cache:private())
  end)
end)

describe("workers", function()
  it("share what is declared", function()
    local server <close> = support.launch(app, "--workers 2 --threads 2 --shared cache=1M" .. root)
    for i = 1, 40 do
      assert.matches(" " .. i .. " false$", server:ask().body)
    end
  end)

  it("hear what is not declared", function()
    local directory = support.directory()
    local path = support.write_file(directory .. "/app.lua", app)
    local said = support.shell(("%s %s --bind unix:%s/s --workers 1%s 2>&1"):format(
      support.launcher, path, directory, root))
    assert.matches('the supervisor has no shared dictionary "cache"; declare it: --shared cache=16M', said, 1, true)
  end)
end)

describe("threads without a supervisor", function()
  it("share it too", function()
    local server <close> = support.launch(app, "--threads 3")
    local peers = {}
    for i = 1, 12 do
      peers[i] = server:connect()
      peers[i]:request {}
    end
    local sums = {}
    for i = 1, 12 do
      local sum, private = peers[i]:response().body:match(" (%d+) (%S+)$")
      sums[i] = tonumber(sum)
      assert.equal("true", private)
      peers[i]:close()
    end
    table.sort(sums)
    assert.same({ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 }, sums)
  end)
end)
