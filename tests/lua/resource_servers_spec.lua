-- SPDX-License-Identifier: MIT
-- Resources of the libraries that Debian packages, with real servers that go
-- away and come back.
local here = debug.getinfo(1, "S").source:match("^@(.*/)")
package.path = here .. "?.lua;" .. package.path .. ";/usr/share/lua/5.3/?.lua"
local databases = require "databases"
local fcgi = require "fcgi"
local support = require "support"
local test = require "fcgi.test"

local function library(name)
  local fine, found = pcall(require, name)
  return fine and found or nil
end

-- The first column of the first row; statements give the number of rows.
local function ask(connection, query)
  local cursor = assert(connection:execute(query))
  if type(cursor) == "number" then
    return cursor
  end
  local value = cursor:fetch()
  pcall(cursor.close, cursor)
  return value
end

local function fails(pattern, ...)
  local fine, message = pcall(...)
  assert.is_false(fine)
  assert.matches(pattern, tostring(message))
end

describe("LuaSQL with SQLite", function()
  local driver = library "luasql.sqlite3"
  if not driver then
    return pending "lua-sql-sqlite3 is not installed"
  end
  local environment = driver.sqlite3()

  local function resource(options)
    options = options or {}
    options.open = function() return environment:connect(":memory:") end
    options.configure = function(connection) ask(connection, "create table t (n)") end
    return assert(fcgi.resource(options))
  end

  it("rolls back what was not committed", function()
    local db = resource()
    db:with(function(connection)
      ask(connection, "begin")
      ask(connection, "insert into t values (1)")
    end)
    local connection <close> = db:get()
    assert.equal(0, tonumber(ask(connection, "select count(*) from t")))
    assert.equal(1, db:stats().opened)
  end)

  it("replaces one that was changed", function()
    local db = resource()
    for _, change in ipairs { "create temporary table x (n)", "attach ':memory:' as other" } do
      local before = db:stats().closed_reset
      db:with(function(connection) ask(connection, change) end)
      assert.equal(before + 1, db:stats().closed_reset, change)
    end
    db:with(function(connection) connection:setautocommit(false) end)
    assert.equal(3, db:stats().closed_reset)
  end)

  it("closes one whose cursors were left", function()
    local db = resource()
    db:with(function(connection)
      connection:execute("select 1 union select 2")
      db:invalidate()
    end)
    assert.equal(0, db:stats().open)
  end)
end)

describe("LuaSQL with PostgreSQL", function()
  local driver = library "luasql.postgres"
  local server = driver and databases.postgres()
  if not server then
    return pending "lua-sql-postgres or postgresql is not installed"
  end
  teardown(function() server:__close() end)
  local environment = driver.postgres()

  local function resource(options)
    options = options or {}
    options.open = function() return environment:connect(server.dsn) end
    return assert(fcgi.resource(options))
  end

  it("shows nothing of a request in the next", function()
    local db = resource {
      configure = function(connection) ask(connection, "set application_name = 'shop'") end,
    }
    db:with(function(connection) ask(connection, "create table if not exists t (n int)") end)
    for _, change in ipairs {
      "begin; insert into t values (1)",
      "set search_path = elsewhere",
      "set application_name = 'other'",
      "create temporary table x (n int)",
      "select pg_advisory_lock(1)",
      "listen x",
    } do
      db:with(function(connection) ask(connection, change) end)
      db:with(function(connection)
        assert.equal("0", tostring(ask(connection, "select count(*)::text from t")))
        assert.equal("shop", ask(connection, "show application_name"))
        assert.equal("0", ask(connection, "select count(*)::text from pg_locks where locktype = 'advisory'"))
        assert.equal("0", ask(connection, "select count(*)::text from pg_class where relname = 'x'"))
        assert.equal("0", ask(connection, "select count(*)::text from pg_listening_channels()"))
      end)
    end
    db:with(function(connection)
      ask(connection, "begin")
      assert.is_nil(connection:execute("select nothing"))
    end)
    db:with(function(connection)
      connection:setautocommit(false)
      ask(connection, "insert into t values (1)")
    end)
    assert.equal("0", db:with(function(connection) return ask(connection, "select count(*)::text from t") end))
    assert.equal(1, db:stats().opened)
  end)

  it("survives restarts", function()
    for _, how in ipairs { "fast", "immediate" } do
      for _, reset in ipairs { "session", "transaction" } do
        local db = resource { reset = reset }
        db:with(function(connection) assert(ask(connection, "select 1")) end)
        server:restart(how)
        fails("PostgreSQL", db.with, db, function(connection) ask(connection, "select 1") end)
        db:with(function(connection) assert(ask(connection, "select 1")) end)
        assert.equal(2, db:stats().opened)
      end
      local checked = resource { check_after = 0 }
      checked:with(function(connection) ask(connection, "select 1") end)
      server:restart(how)
      checked:with(function(connection) assert(ask(connection, "select 1")) end)
    end
  end)

  it("restarts, and with a retry that costs no request", function()
    local db = resource { retry = "safe", acquire_timeout = 60 }
    local client <close> = assert(test.client { handler = function()
      local connection <close> = assert(db:get())
      return 200, {}, tostring(ask(connection, "select 7"))
    end })
    for round, how in ipairs { "fast", "immediate", "fast" } do
      assert.equal("7", assert(client:get("/")).body)
      server:restart(how)
      local answer = assert(client:get("/"))
      assert.same({ 200, "7" }, { answer.status, answer.body }, how)
      assert.equal(round + 1, db:stats().opened)
    end
  end)

  it("is away, and works again at once", function()
    local db = resource { acquire_timeout = 0.2, check_after = 0 }
    db:with(function(connection) ask(connection, "select 1") end)
    server:stop()
    local value, message, code = db:get()
    assert.is_nil(value)
    assert.matches("cannot be opened: LuaSQL: error connecting", message)
    assert.equal("TIMEOUT", code)
    server:start()
    support.wait_for(function() return db:with(function(connection) return ask(connection, "select 1") end) end, "it")
  end)
end)

describe("LuaSQL with MariaDB", function()
  local driver = library "luasql.mysql"
  local server = driver and databases.mariadb()
  if not server then
    return pending "lua-sql-mysql or mariadb-server is not installed"
  end
  teardown(function() server:__close() end)
  local environment = driver.mysql()

  local function resource(options)
    options = options or {}
    options.open = function() return environment:connect("mysql", "root", "", nil, nil, server.socket) end
    return assert(fcgi.resource(options))
  end

  it("shows nothing of a request in the next", function()
    local db = resource { configure = function(connection) ask(connection, "set @shop = 1") end }
    db:with(function(connection) ask(connection, "create table if not exists test_t (n int) engine = innodb") end)
    local function clean(replaced)
      db:with(function(connection)
        assert.equal("0", tostring(ask(connection, "select count(*) from test_t")):match("^%d+"))
        assert.equal("1", tostring(ask(connection, "select @shop")):match("^%d+"))
        assert.equal("1", tostring(ask(connection, "select is_free_lock('x')")):match("^%d+"))
        assert.is_nil(connection:execute("select * from x"))
      end)
      assert.equal(replaced, db:stats().closed_reset)
    end
    local before = db:stats().closed_reset
    db:with(function(connection)
      ask(connection, "begin")
      ask(connection, "insert into test_t values (1)")
    end)
    clean(before)
    db:with(function(connection) ask(connection, "select get_lock('x', 1)") end)
    clean(before)
    for i, change in ipairs { "set @shop = 2", "create temporary table x (n int)", "use information_schema" } do
      db:with(function(connection) ask(connection, change) end)
      clean(before + i)
    end
  end)

  it("survives restarts", function()
    for _, reset in ipairs { "session", "transaction" } do
      local db = resource { reset = reset }
      db:with(function(connection) ask(connection, "select 1") end)
      server:restart()
      fails("MySQL", db.with, db, function(connection) ask(connection, "select 1") end)
      db:with(function(connection) assert(ask(connection, "select 1")) end)
      assert.equal(2, db:stats().opened)
    end
  end)
end)

describe("redis-lua", function()
  local redis = library "redis"
  local server = redis and library "socket.unix" and databases.redis()
  if not server then
    return pending "lua-redis, lua-socket or redis-server is not installed"
  end
  teardown(function() server:__close() end)

  local function resource(options)
    options = options or {}
    options.open = function()
      local socket = require "socket.unix"()
      assert(socket:connect(server.socket))
      return redis.connect { socket = socket }
    end
    return assert(fcgi.resource(options))
  end

  it("shows nothing of a request in the next", function()
    local db = resource()
    db:with(function(client) client:set("key", "value") end)
    for i, change in ipairs { { "select", 1 }, { "multi" } } do
      db:with(function(client) client[change[1]](client, change[2]) end)
      assert.equal("value", db:with(function(client) return client:get("key") end))
      assert.equal(i, db:stats().closed_reset, change[1])
    end
    local other = resource()
    db:with(function(client) client:watch("key") end)
    other:with(function(client) client:set("key", "new") end)
    db:with(function(client)
      client:multi()
      client:get("key")
      assert.same({ "new" }, client:exec())
    end)
  end)

  it("survives restarts", function()
    local db = resource()
    db:with(function(client) client:ping() end)
    server:restart()
    fails("closed", db.with, db, function(client) client:ping() end)
    local client <close> = db:get()
    assert.is_true(client:ping())
    local checked = resource { check_after = 0 }
    checked:with(function(other) other:ping() end)
    server:restart()
    assert.is_true(checked:with(function(other) return other:ping() end))
  end)

  it("tells why it is away", function()
    server:stop()
    local db = resource { acquire_timeout = 0.1 }
    local value, message, code = db:get()
    assert.is_nil(value)
    assert.matches("resource 'resource' cannot be opened: ", message)
    assert.equal("TIMEOUT", code)
    server:start()
    support.wait_for(function() return db:with(function(client) return client:ping() end) end, "its return")
  end)
end)
