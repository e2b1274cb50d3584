-- SPDX-License-Identifier: MIT
-- Keeps a connection to SQLite: kept.lua ADDRESS BUILD; README.md says what each path does.
package.cpath = arg[2] .. "/tests/integration/?.so;" .. package.cpath
local fcgi, processes = require "fcgi_swig", require "processes"
local sqlite = require("luasql.sqlite3").sqlite3()
local database = arg[1]:sub(6) .. ".db"
local opened, sick, runs = 0, false, 0

local db = fcgi.Resource(function()
  local away = io.open(database .. ".away")
  if away then
    away:close()
    return nil, "it is away"
  end
  opened = opened + 1
  return sqlite:connect(database)
end)
db:on("configure", function(c) assert(c:execute "create table if not exists rows (text)") end)
db:on("check", function()
  local was = sick
  sick = false
  return not was
end)
db:on("reset", function(c) c:execute "rollback" end)
db:on("close", function(c)
  local file <close> = io.open(database .. ".closed", "a")
  file:write "x"
  c:close()
end)
db:set_text("name", "db")
db:set_text("retry", "safe")
db:set("acquire_timeout", 0.3)
db:set("check_after", 0)
db:set("eager", 1)

local function code(method, ...)
  local fine, problem = pcall(method, db, ...)
  return fine and "none" or problem.code
end

local pages = {}
pages["/same"] = function(r)
  local alone = db:take()
  db:give()
  local taken, got, again = db:take(r), db:get(r), db:take(r)
  db:give(r)
  db:give(r)
  return (rawequal(alone, taken) and rawequal(taken, got) and rawequal(got, again) and "True " or "False ") .. opened
end
pages["/leave"] = function(r)
  local c = db:get(r)
  assert(c:execute "begin")
  assert(c:execute "insert into rows values ('left')")
end
pages["/fail"] = function(r)
  pages["/leave"](r)
  error "after an insert"
end
pages["/retry"] = function(r)
  db:get(r)
  runs = runs + 1
  if runs == 1 then
    db:invalidate(r)
    error "it is gone"
  end
  return "run " .. runs
end
pages["/many"] = function(r)
  for _ = 1, 10000 do
    db:take(r)
    db:give(r)
  end
end
pages["/fork"] = function(r)
  db:get(r)
  local child = processes.fork()
  if child == 0 then processes._exit(code(db.get, r) == "STATE" and 3 or 1) end
  return "status " .. processes.waitpid(child)
end
pages["/wrong"] = function(r)
  return table.concat({ code(db.give, r), code(db.get, nil), code(db.set, "max_age", 1),
    code(db.on, "other", print), code(db.count, "other"), code(db.invalidate, r) }, " ")
end
pages["/rows"] = function(r)
  local cursor = assert(db:get(r):execute "select count(*) from rows")
  local count = math.floor(tonumber((cursor:fetch())))
  cursor:close()
  return count
end
pages["/add"] = function(r) assert(db:get(r):execute "insert into rows values ('added')") end
pages["/break"] = function(r)
  db:get(r)
  db:invalidate(r)
end
pages["/sick"] = function() sick = true end
pages["/spoil"] = function(r) db:get(r):close() end
pages["/keep"] = function(r) db:take(r) end
pages["/drain"] = function() db:drain() end
pages["/caught"] = function(r) return code(db.get, r) end
pages["/counts"] = function()
  local counts = {}
  local names = { "open", "in_use", "opened", "unended", "closed_invalidated", "closed_check", "closed_reset" }
  for i, name in ipairs(names) do
    counts[i] = db:count(name)
  end
  return table.concat(counts, " ")
end

local server = fcgi.Server()
server:set_text("status_path", "/status")
server:listen(arg[1])
server:keep(db)
server:serve(function(r)
  local answer = pages[r:path()](r)
  r:reply(200, "text/plain", answer == nil and "None" or tostring(answer))
end)
