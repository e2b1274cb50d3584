-- SPDX-License-Identifier: MIT
-- A guestbook that keeps its database connection open.
--
--   fcgi-lua app.lua --bind unix:guestbook.sock --threads 4
--
-- Each thread has a Lua state of its own, which opens SQLite once, at its first
-- request, and keeps it open.
local fcgi = require "fcgi"
local html = require "fcgi.html"
local trim = require("fcgi.text").trim
local url = require "fcgi.url"
local sqlite3 = require "luasql.sqlite3"

local DATABASE = os.getenv "GUESTBOOK_DB" or "guestbook.db"
local LONGEST = { name = 80, message = 2000 }
local FIELDS = { "name", "message" }
local LONGEST_FORM = 64 * 1024
local SHOWN = 50

local function read_whole(path, what)
  local file <close> = assert(io.open(path, "rb"))
  return file:read(what or "a")
end

local folder = (debug.getinfo(1, "S").source:match "^@(.*/)" or "./") .. "../"
local PAGE = read_whole(folder .. "page.html")
local CSS = read_whole(folder .. "page.css")

-- The connection ---------------------------------------------------------

-- Returns what the database has answered, or raises {database = why}.
local function answered(result, problem)
  if not result then
    error({ database = (problem:gsub("^.*LuaSQL: ", "")) }, 0)
  end
  return result
end

local function select_rows(database, query)
  local cursor = answered(database:execute(query))
  local rows = {}
  local row = cursor:fetch({}, "a")
  while row and next(row) do -- LuaSQL 2.8.1 gives {} where there is no row.
    rows[#rows + 1] = row
    row = cursor:fetch({}, "a")
  end
  cursor:close()
  return rows
end

local function worker_name()
  local fine, process = pcall(read_whole, "/proc/self/stat", "n")
  local state = ("Lua state %p"):format(_G)
  return fine and ("%s, process %d"):format(state, process) or state
end

local environment = sqlite3.sqlite3()
local about -- What is told about the connection that is open.

-- Of several states that open a new file at once, one sets its mode and the
-- others are told that it is locked, whatever the timeout; their connections
-- are opened again.
local function prepare(database)
  assert(database:execute "PRAGMA busy_timeout = 2000"):close()
  assert(database:execute "PRAGMA journal_mode = WAL"):close()
  assert(database:execute("CREATE TABLE IF NOT EXISTS entries (id INTEGER PRIMARY KEY, " ..
    "at INTEGER NOT NULL, name TEXT NOT NULL, message TEXT NOT NULL)"))
  local id = read_whole("/dev/urandom", 4):gsub(".", function(byte)
    return ("%02x"):format(byte:byte())
  end)
  about = { id = id, opened = os.time(), requests = 0, worker = worker_name() }
end

-- Replacing a connection to a local file gains nothing: it stays open as long as
-- the state.
local guestbook = assert(fcgi.resource {
  name = "guestbook",
  open = function() return environment:connect(DATABASE) end,
  configure = prepare,
  acquire_timeout = 2,
  max_age = math.huge,
  max_idle = math.huge,
})

-- LuaSQL's driver for SQLite binds no parameters, so that texts are quoted by
-- SQLite's own function. It stops at NUL, which clean() has removed.
local function quoted(database, text)
  return "'" .. database:escape(text) .. "'"
end

local function add(database, form)
  answered(database:execute(("INSERT INTO entries (at, name, message) VALUES (%d, %s, %s)"):format(
    os.time(), quoted(database, form.name), quoted(database, form.message))))
end

-- The page ---------------------------------------------------------------

-- 8 s, 3 min 12 s, 2 h 5 min.
local function age_text(seconds)
  local minutes = seconds // 60
  if minutes == 0 then
    return ("%d s"):format(seconds)
  elseif minutes < 60 then
    return ("%d min %d s"):format(minutes, seconds % 60)
  end
  return ("%d h %d min"):format(minutes // 60, minutes % 60)
end

local function entry_html(entry)
  local at = math.floor(entry.at)
  return ('<article class="entry"><header><h3>%s</h3>\n<time datetime="%s">%s</time></header>\n<p>%s</p></article>')
    :format(html.escape(entry.name), os.date("!%Y-%m-%dT%H:%M:%SZ", at),
      (os.date("!%d %B %Y, %H:%M UTC", at):gsub("^0", "")), html.escape(entry.message))
end

local function entries_html(database)
  local list = select_rows(database,
    "SELECT at, name, message FROM entries ORDER BY id DESC LIMIT " .. SHOWN)
  if #list == 0 then
    return '<p class="empty">Be the first to sign.</p>'
  end
  for i, entry in ipairs(list) do
    list[i] = entry_html(entry)
  end
  return table.concat(list, "\n")
end

local function count_text(database)
  local count = math.floor(select_rows(database, "SELECT count(*) AS n FROM entries")[1].n)
  if count == 0 then
    return "No entries yet"
  end
  return count == 1 and "1 entry" or count .. " entries"
end

-- What the page tells about a connection; without one it still shows what is
-- wrong.
local function facts(database)
  if not database then
    return { connection_id = "none", connection_age_s = 0, connection_age = "not open", requests = 0,
      worker = "nobody", count = "The entries cannot be shown", entries = "" }
  end
  local age = os.time() - about.opened
  return { connection_id = about.id, connection_age_s = age, connection_age = age_text(age),
    requests = about.requests, worker = html.escape(about.worker), count = count_text(database),
    entries = entries_html(database) }
end

local function page(database, path, notice, form)
  local words = facts(database)
  words.title = "Guestbook in Lua"
  words.language = "Lua"
  words.css = CSS
  words.notice = notice and '<p class="notice" role="alert">' .. html.escape(notice) .. "</p>" or ""
  words.action = html.escape(path)
  words.name = html.escape(form and form.name or "")
  words.message = html.escape(form and form.message or "")
  words.status_url = html.escape((path:match "^(.*)/" or "") .. "/status")
  return (PAGE:gsub("%$([a-z_]+)", words))
end

-- The form ---------------------------------------------------------------

-- Text without NUL and surrounding white space.
local function clean(text)
  return trim((text:gsub("%z", ""):gsub("\r\n", "\n")))
end

-- Something the visitor can put right.
local function mistake(text, status)
  return { mistake = text, status = status or 400 }
end

local function read_form(req, form)
  local fields, _, code, status = req:form { limit_fields_size = LONGEST_FORM }
  if not fields then
    error(mistake(code == "LIMIT" and "The form is too large." or "The form did not arrive whole.", status), 0)
  end
  for _, name in ipairs(FIELDS) do
    form[name] = fields[name] and clean(fields[name])
  end
end

local function check_form(form)
  for _, name in ipairs(FIELDS) do
    local text, longest = form[name] or "", LONGEST[name]
    if text == "" then
      error(mistake(("Please write your %s."):format(name)), 0)
    elseif utf8.len(text) > longest then
      local shown = tostring(longest):gsub("(%d)(%d%d%d)$", "%1,%2")
      error(mistake(("Your %s is longer than %s characters."):format(name, shown)), 0)
    end
  end
end

-- Answers ----------------------------------------------------------------

local HTML = "text/html; charset=utf-8"

local function answer_with(status, content_type, body, more)
  local headers = more or {}
  headers["Content-Type"] = content_type
  headers["Cache-Control"] = "no-store"
  return status, headers, body
end

-- The path of this page, which the web server has judged, as a link has it.
local function own_path(req)
  return url.encode_path("/" .. req.path:match "^/*(.*)")
end

local function status()
  return answer_with(200, "application/json",
    ('{"connection_id": "%s", "connection_age_s": %d, "requests": %d}'):format(
      about.id, os.time() - about.opened, about.requests))
end

local function sign(req, database, path)
  local form = {}
  local fine, problem = pcall(function()
    read_form(req, form)
    check_form(form)
    add(database, form)
  end)
  if fine then
    return answer_with(303, HTML, "", { Location = path })
  elseif type(problem) ~= "table" then
    error(problem, 0)
  elseif problem.mistake then
    return answer_with(problem.status, HTML, page(database, path, problem.mistake, form))
  end
  local notice = ("Your entry could not be saved, please try again: %s."):format(problem.database)
  return answer_with(503, HTML, page(database, path, notice, form))
end

local function answer(req, path)
  local database <close> = answered(guestbook:get())
  local method = req.method
  about.requests = about.requests + 1
  if path:match "/status$" then
    return status()
  elseif method == "GET" or method == "HEAD" then
    return answer_with(200, HTML, page(database, path))
  elseif method == "POST" then
    return sign(req, database, path)
  end
  return answer_with(405, HTML, page(database, path, "This page can be read and signed, nothing else."),
    { Allow = "GET, HEAD, POST" })
end

return function(req)
  local path = own_path(req)
  local results = table.pack(pcall(answer, req, path))
  if results[1] then
    return table.unpack(results, 2, results.n)
  end
  local problem = results[2]
  if type(problem) ~= "table" or not problem.database then
    error(problem, 0)
  end
  req:log(("guestbook: %s: %s"):format(DATABASE, problem.database))
  return answer_with(503, HTML, page(nil, path, ("The database cannot be used now: %s."):format(problem.database)))
end
