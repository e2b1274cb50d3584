-- SPDX-License-Identifier: MIT
-- The options of a resource, and how what `open` returns is checked, reset,
-- closed and found broken: one table for each library, found by what the value
-- is, so that no library is loaded for it.

local NEVER, FOREVER = -2, -1 -- FCGI_WAIT_NEVER, FCGI_WAIT_FOREVER.
local MOST_SECONDS = 2000000 -- More milliseconds do not fit.
local MOST_TOTAL = 1024 -- FCGI_RESOURCE_TOTAL.

-- The first row of a query of LuaSQL, as a list; nil and why not.
local function row(connection, query)
  local cursor, message = connection:execute(query)
  if not cursor then
    return nil, message
  end
  if type(cursor) == "number" then
    return {}
  end
  local found = cursor:fetch({}) or {}
  pcall(cursor.close, cursor) -- One that has been read to its end is closed.
  return found
end

-- All rows of a query, as one text.
local function rows(connection, query)
  local cursor, parts = connection:execute(query), {}
  if not cursor then
    return nil
  end
  local found = cursor:fetch({})
  while found do
    parts[#parts + 1] = table.concat(found, "=", 1, 2)
    found = cursor:fetch({})
  end
  pcall(cursor.close, cursor)
  table.sort(parts)
  return table.concat(parts, " ")
end

local function select_one(connection)
  return row(connection, "SELECT 1") ~= nil
end

-- A connection of LuaSQL stays open while it has cursors, and the handler may
-- have left some to the collector.
local function close_sql(connection)
  if not pcall(connection.close, connection) then
    collectgarbage()
    collectgarbage()
    connection:close()
  end
end

-- Whether a transaction is open, which SQLite tells by refusing another one.
local function transacts(connection)
  if connection:execute("BEGIN") then
    connection:execute("ROLLBACK")
    return false
  end
  return true
end

local function sqlite_databases(connection)
  return rows(connection, "SELECT name, 0 FROM pragma_database_list")
end

-- What a session of PostgreSQL keeps besides its transaction and prepared
-- statements.
local POSTGRES_RESET = "SET SESSION AUTHORIZATION DEFAULT; RESET ALL; DISCARD TEMP; DISCARD SEQUENCES; "
  .. "CLOSE ALL; UNLISTEN *; SELECT pg_advisory_unlock_all()"

-- What a session of MySQL has done that stays: one with other counts than
-- before is replaced.
local MYSQL_DONE = "SHOW SESSION STATUS WHERE Variable_name IN ('Com_set_option', 'Com_change_db', "
  .. "'Com_create_temporary_table', 'Com_create_table', 'Com_lock_tables', 'Com_prepare_sql')"

-- What a client of Redis has asked for that stays.
local function redis_state(client)
  local info, parts = " " .. tostring(client:raw_cmd("CLIENT INFO")), {}
  for _, name in ipairs { "db", "sub", "psub", "multi", "name" } do
    parts[#parts + 1] = info:match(" (" .. name .. "=%S*)")
  end
  return table.concat(parts, " ")
end

local adapters = {}

-- Anything else: it is closed and rolled back where it can be.
adapters.other = {
  reset_transaction = function(value)
    value:rollback()
  end,
  close = function(value)
    value:close()
  end,
}

adapters["SQLite3 connection"] = {
  check = select_one,
  reset_transaction = function(connection)
    connection:rollback() -- It fails where no transaction is open.
  end,
  state = function(connection)
    return sqlite_databases(connection) .. tostring(transacts(connection))
  end,
  close = close_sql,
}

adapters["PostgreSQL connection"] = {
  check = select_one,
  forgets_settings = true,
  reset_transaction = function(connection)
    connection:rollback()
    return select_one(connection)
  end,
  reset_session = function(connection)
    connection:setautocommit(true) -- It rolls back.
    return row(connection, POSTGRES_RESET) ~= nil
  end,
  close = close_sql,
}

adapters["MySQL connection"] = {
  check = select_one,
  reset_transaction = function(connection)
    connection:rollback()
    return select_one(connection)
  end,
  state = function(connection)
    return rows(connection, MYSQL_DONE)
  end,
  reset_session = function(connection)
    connection:rollback()
    return row(connection, "DO RELEASE_ALL_LOCKS()") ~= nil
  end,
  close = close_sql,
}

adapters.redis = {
  check = function(client)
    return client:ping()
  end,
  reset_transaction = function(client)
    client:unwatch()
  end,
  state = redis_state,
  broken = function(message)
    local text = tostring(message)
    return text:find("connection error: ", 1, true) ~= nil or text:find("closed$") ~= nil
  end,
  close = function(client)
    client.network.socket:shutdown("both")
    client.network.socket:close()
  end,
}

local function adapter_of(value)
  if type(value) == "table" and type(value.network) == "table" and value.raw_cmd then
    return adapters.redis
  end
  local kind = type(value) == "userdata" and tostring(value):match("^(.-) %(") or ""
  return adapters[kind] or adapters.other
end

local function has(value, name)
  if type(value) ~= "table" and type(value) ~= "userdata" then
    return false
  end
  local fine, found = pcall(function() return value[name] end)
  return fine and found ~= nil
end

local kinds = {
  open = "function",
  name = "string",
  configure = "function",
  check = "function or false",
  reset = "function or false or string",
  close = "function or false",
  broken = "function or false",
  minimum = "number",
  limit_total = "number",
  eager = "boolean",
  retry = "string",
  acquire_timeout = "number",
  check_after = "number",
  max_age = "number",
  max_idle = "number",
}

local function check_kinds(options)
  for name, value in pairs(options) do
    local kind = kinds[name]
    if not kind then
      error(("unknown option '%s'"):format(tostring(name)), 0)
    end
    local fits = kind:find(type(value), 1, true) or (value == false and kind:find("false", 1, true))
    if not fits or value == true and type(value) ~= kind then
      error(("option '%s' must be a %s (got a %s)"):format(name, kind, type(value)), 0)
    end
  end
  if not options.open then
    error("option 'open' is needed: a function that opens one", 0)
  end
  if type(options.reset) == "string" and options.reset ~= "session" and options.reset ~= "transaction" then
    error("option 'reset' must be \"session\", \"transaction\", false or a function", 0)
  end
  if options.retry and options.retry ~= "never" and options.retry ~= "safe" then
    error('option \'retry\' must be "never" or "safe"', 0)
  end
  if options.minimum and options.minimum ~= 0 and options.minimum ~= 1 then
    error("option 'minimum' must be 0 or 1: each Lua state has one", 0)
  end
  local limit = options.limit_total
  if limit and not (math.tointeger(limit) and limit >= 1 and limit <= MOST_TOTAL) then
    error(("option 'limit_total' must be a whole number from 1 to %d"):format(MOST_TOTAL), 0)
  end
end

-- A time as the core has it, whose 0 is a default.
local function milliseconds(options, name, default, least)
  local seconds = options[name] or default
  if seconds == math.huge and name ~= "acquire_timeout" then
    return FOREVER
  end
  if not (seconds >= least and seconds <= MOST_SECONDS) then
    error(("option '%s' must be from %g to %d seconds"):format(name, least, MOST_SECONDS), 0)
  end
  return seconds == 0 and NEVER or math.max(1, math.floor(seconds * 1000 + 0.5))
end

-- What undoes a request, as the options want it.
local function reset_of(options, adapter, before)
  local session = adapter.reset_session or adapter.reset_transaction
  return function(value)
    if session(value) == false then
      return false
    end
    if adapter.forgets_settings and options.configure then
      options.configure(value)
    end
    return not adapter.state or adapter.state(value) == before.state
  end
end

local function choose_reset(options, adapter, value, before)
  local reset = options.reset
  if type(reset) == "function" or reset == false then
    return reset or nil
  end
  if adapter == adapters.other and not has(value, "rollback") then
    return nil
  end
  return reset == "transaction" and adapter.reset_transaction or reset_of(options, adapter, before)
end

local function choose(given, usual)
  if given == nil then
    return usual
  end
  return given or nil
end

local function close_of(options, adapter)
  return function(value)
    if options.close then
      options.close(value)
    elseif options.close == nil and (adapter ~= adapters.other or has(value, "close")) then
      adapter.close(value)
    end
  end
end

-- The options as the module's C code wants them: the functions of the steps by
-- their names, which `open` sets by what it has opened, and a list of numbers.
return function(options)
  check_kinds(options)
  local steps, before = {}, {}
  function steps.open()
    local value, message = options.open()
    if value == nil or value == false then
      return nil, message and tostring(message)
    end
    local adapter = adapter_of(value)
    steps.close = close_of(options, adapter)
    steps.check = choose(options.check, adapter.check)
    steps.broken = choose(options.broken, adapter.broken)
    steps.reset = choose_reset(options, adapter, value, before)
    local fine, problem = pcall(function()
      if options.configure then
        options.configure(value)
      end
      if adapter.state and steps.reset then
        before.state = adapter.state(value)
      end
    end)
    if not fine then
      pcall(steps.close, value)
      return nil, tostring(problem)
    end
    return value
  end
  return steps,
    {
      milliseconds(options, "acquire_timeout", 5, 0),
      milliseconds(options, "check_after", 30, 0),
      milliseconds(options, "max_age", 3600, 0.001),
      milliseconds(options, "max_idle", 600, 0.001),
      options.minimum or 0,
      options.eager and 1 or 0,
      options.retry == "safe" and 1 or 0,
      math.tointeger(options.limit_total or 0),
    }
end
