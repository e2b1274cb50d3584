-- SPDX-License-Identifier: MIT
-- Resources in a fork of the process that has opened them.
local here = debug.getinfo(1, "S").source:match("^@(.*/)")
package.path = here .. "?.lua;" .. package.path
local fcgi = require "fcgi"
local forks = require "forks"
local test = require "fcgi.test"

if not forks then
  return describe("a resource in a fork", function() pending "processes.so is not built" end)
end

-- A resource of tables that note their ends, and the notes.
local function noting()
  local log, made = {}, 0
  local db = assert(fcgi.resource { name = "db", open = function()
    made = made + 1
    local number = made
    local function note(what) log[#log + 1] = what .. " " .. number end
    return setmetatable({
      number = number,
      rollback = function() note "rollback" end,
      close = function() note "close" end,
    }, { __gc = function() note "collected" end })
  end })
  return db, function()
    collectgarbage()
    collectgarbage()
    return table.concat(log, ", ")
  end
end

local function number_of(db)
  return db:with(function(value) return value.number end)
end

local refused = ("nil resource 'db' belongs to the process %d, of which this one is a fork; "
  .. "make one here, or renew it STATE"):format(forks.number())

local function refusal(...)
  local value, message, code = ...
  return ("%s %s %s"):format(value, message, code)
end

describe("a resource in a fork", function()
  it("is refused each time when it was used", function()
    local db, log = noting()
    number_of(db)
    local said = forks.run(function()
      for _ = 1, 3 do
        assert.equal(refused, refusal(db:get()))
        assert.equal(refused, refusal(db:with(error)))
      end
      return log()
    end)
    assert.equal("rollback 1", said)
    assert.equal(1, number_of(db))
    assert.equal(1, db:stats().opened)
  end)

  it("is refused when it is held", function()
    local db, log = noting()
    do
      local value <close> = db:get()
      local said = forks.run(function()
        assert.equal(refused, refusal(db:get()))
        assert.equal(refused, refusal(db:get()))
        return select(2, pcall(function() return value.number end)) .. log()
      end)
      assert.matches("resource 'db' belongs to the process of which this one is a fork$", said)
      assert.equal(1, value.number)
    end
    assert.equal("rollback 1", log())
  end)

  it("is its own when it was not used", function()
    local db = noting()
    assert.equal("1", forks.run(function()
      local value <close> = db:get()
      return value.number
    end))
    assert.equal("1", forks.run(function() return number_of(db) end))
    assert.equal(0, db:stats().opened)
  end)

  it("is its own after renew(), which closes nothing", function()
    local db, log = noting()
    number_of(db)
    local said = forks.run(function()
      assert.is_nil(db:get())
      db:renew()
      for _ = 1, 2 do
        assert.equal(2, number_of(db))
      end
      return log()
    end)
    assert.equal("rollback 1, rollback 2, rollback 2", said)
    assert.equal(1, number_of(db))
    assert.equal("rollback 1, rollback 1", log())
  end)

  it("lives through renew() where it is held", function()
    local db, log = noting()
    do
      local value <close> = db:get()
      local said = forks.run(function()
        db:renew()
        assert.equal(2, number_of(db))
        assert.matches("was given back", select(2, pcall(function() return value.number end)))
        return log()
      end)
      assert.equal("rollback 2", said)
      assert.equal(1, value.number)
    end
    assert.equal(1, number_of(db))
  end)

  it("is its own where a server serves", function()
    local db, log = noting()
    number_of(db)
    local said = forks.run(function()
      local client <close> = assert(test.client { handler = function()
        return 200, {}, tostring(db:get().number)
      end })
      return assert(client:get("/")).body .. assert(client:get("/")).body
    end)
    assert.equal("22", said)
    assert.equal("rollback 1", log())
  end)
end)

describe("a handler that forks", function()
  it("keeps what it holds", function()
    local db, log = noting()
    local client <close> = assert(test.client { handler = function()
      local value = db:get()
      local said = forks.run(function() return refusal(db:get()) end)
      return 200, {}, said .. value.number
    end })
    for _ = 1, 2 do
      assert.equal(refused .. "1", assert(client:get("/")).body)
    end
    assert.equal("rollback 1, rollback 1", log())
  end)
end)

describe("the connection of a library", function()
  it("stays open for the parent", function()
    local databases = require "databases"
    package.path = package.path .. ";/usr/share/lua/5.3/?.lua"
    local fine, driver = pcall(require, "luasql.postgres")
    local server = fine and databases.postgres()
    if not server then
      return pending "lua-sql-postgres or postgresql is not installed"
    end
    local running = server
    finally(function() running:__close() end)
    local environment = driver.postgres()
    local db = assert(fcgi.resource { name = "db", open = function()
      return environment:connect(running.dsn)
    end })
    local function backend(connection)
      local cursor = assert(connection:execute "select pg_backend_pid()::text")
      local number = cursor:fetch()
      cursor:close()
      return number
    end
    local before = db:with(backend)
    local said = forks.run(function()
      assert.equal(refused, refusal(db:get()))
      assert.equal(refused, refusal(db:get()))
      db:renew()
      local own = db:with(backend)
      collectgarbage()
      collectgarbage()
      return own
    end)
    assert.matches("^%d+$", said)
    assert.not_equal(before, said)
    assert.equal(before, db:with(backend))
    for _, work in ipairs { function() end, function() db:renew() end } do
      forks.close(work)
      assert.equal(before, db:with(backend))
    end
    db:with(function(connection)
      assert.matches("belongs to the process", forks.run(function() return assert(db:get()) end))
      assert.equal(before, backend(connection))
    end)
    assert.equal(1, db:stats().opened)
  end)
end)
