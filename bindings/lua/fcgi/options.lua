-- SPDX-License-Identifier: MIT
-- Every option of fcgi-lua, once: the command line, the environment, the file
-- of --config, --print-config and docs/processes.md have it from here.
local options = {}

-- How the text of an option is read: nil when it is wrong.
local kinds = {}
local MOST_SECONDS = 1e11 -- Some 3,000 years.

-- Digits and nothing else: tonumber takes signs, spaces, exponents and 0x too.
-- What does not fit is no integer.
local function whole_number(text)
  return text:match("^%d+$") and math.tointeger(tonumber(text))
end

kinds["a whole number"] = whole_number

kinds["a number of bytes"] = function(text)
  local digits, unit = text:match("^(%d+)([KMG]?)$")
  local factor = ({ K = 1 << 10, M = 1 << 20, G = 1 << 30, [""] = 1 })[unit]
  local number = digits and whole_number(digits)
  return number and number <= math.maxinteger // factor and number * factor or nil
end

kinds["a number of seconds"] = function(text)
  local number, unit = text:match("^(.-)([smhd]?)$")
  local factor = ({ s = 1, m = 60, h = 3600, d = 86400, [""] = 1 })[unit]
  number = text == "inf" and math.huge
    or (number:match("^%d+$") or number:match("^%d+%.%d+$")) and tonumber(number)
  number = number and factor and number * factor
  if number == 0 or number == math.huge then
    return math.huge
  end
  return number and number <= MOST_SECONDS and number or nil
end

kinds["true or false"] = function(text)
  return ({ ["true"] = true, yes = true, on = true, ["1"] = true,
    ["false"] = false, no = false, off = false, ["0"] = false })[text]
end

kinds["a text"] = function(text)
  return text
end

local function read_file(path)
  local file = io.open(path)
  local text = file and file:read("a") or ""
  if file then
    file:close()
  end
  return text
end

--- The processors that this process may use, or fewer where the quota of a
--- control group, or of one above it, is less than that, rounded up.
function options.available_cpus(root)
  local count = require("fcgi.supervisor").cpus()
  local group = ("\n" .. read_file(root .. "/proc/self/cgroup")):match("\n0::([^\n]*)") or "/"
  while true do
    local quota, period = read_file(("%s/sys/fs/cgroup%s/cpu.max"):format(root, group)):match("^(%d+) (%d+)")
    if quota then
      count = math.max(1, math.min(count, -(-tonumber(quota) // tonumber(period))))
    end
    if group == "" or group == "/" then
      return math.tointeger(count)
    end
    group = group:match("^(.*)/[^/]*$")
  end
end

kinds["a number of processes, or auto"] = function(text)
  local number = text == "auto" and options.available_cpus("") or whole_number(text)
  return number and number <= 4096 and number or nil
end

local whole, bytes, seconds = "a whole number", "a number of bytes", "a number of seconds"
local text, flag, processes = "a text", "true or false", "a number of processes, or auto"

-- Name, what it is, what stands for it in help ("" for a flag), the default,
-- and help; `key` is its key for fcgi.serve where that is another one. Those
-- that are `shared` are for a supervisor, and need one.
local rows = {
  { "bind", text, "ADDRESS", "the inherited listener",
    "unix:/path, unix:@name, host:port, :port or fd:N; repeatable", several = true, short = "-b" },
  { "threads", whole, "N", "1", "threads of a process, each with a Lua state of its own" },
  { "stream", flag, "", "", "start a request before its body is whole" },
  { "quiet", flag, "", "", "do not tell on stderr where it listens" },
  { "chdir", text, "DIR", "", "change to this directory first" },
  { "umask", text, "MODE", "", "of files that are made, in octal", short = "-m" },
  { "workers", processes, "N", "$WEB_CONCURRENCY, or this process alone",
    "processes that serve, below one that watches them; auto: as many as processors", short = "-w" },
  { "max-requests", whole, "N", "0, never", "replace a worker after so many requests" },
  { "max-requests-jitter", whole, "N", "0", "up to so many more, at random" },
  { "max-worker-age", seconds, "TIME", "0, never", "replace a worker then", shared = true },
  { "max-worker-age-jitter", seconds, "TIME", "0", "up to so much earlier, at random", shared = true },
  { "max-worker-rss", bytes, "BYTES", "never", "replace a worker that uses more memory", shared = true },
  { "timeout", seconds, "TIME", "0, no limit", "kill a worker that has not come by for so long",
    shared = true, short = "-t" },
  { "start-timeout", seconds, "TIME", "60s", "for a worker to become ready", shared = true },
  { "graceful-timeout", seconds, "TIME", "30s", "to finish what runs" },
  { "user", text, "NAME", "", "become this user", shared = true, short = "-u" },
  { "group", text, "NAME", "the user's", "become this group", shared = true, short = "-g" },
  { "allow-root", flag, "", "", "let workers run as root", shared = true },
  { "pid", text, "FILE", "", "write the process id to it", shared = true, short = "-p" },
  { "socket-user", text, "NAME", "", "owner of a unix socket", shared = true },
  { "socket-group", text, "NAME", "", "group of a unix socket", shared = true },
  { "reload", flag, "", "", "replace the workers when Lua files beside the application change, for development",
    shared = true },
  { "reload-extra-file", text, "FILE", "", "look at this file or directory too; repeatable",
    several = true, shared = true },
  { "backlog", whole, "N", "4096", "connections that may wait to be accepted" },
  { "socket-mode", text, "MODE", "0660", "mode of a unix socket, in octal" },
  { "allow-from", text, "LIST", "loopback", "addresses and blocks that may connect over TCP" },
  { "peer-users", text, "LIST", "by its mode", "users who may connect over unix sockets" },
  { "limit-connections", whole, "N", "65536, or what the system allows", "connections open at once" },
  { "max-multiplexed", whole, "N", "1024", "requests open at once on one connection" },
  { "no-multiplex", flag, "", "", "ask web servers for one request at a time on a connection" },
  { "connection-memory", bytes, "BYTES", "4M", "what the requests of a connection may hold, more are answered 503" },
  { "server-memory", bytes, "BYTES", "256M", "what those of all connections of a process may hold" },
  { "limit-request-body", bytes, "BYTES", "1G", "largest body that is collected, more is answered 413" },
  { "body-memory", bytes, "BYTES", "256K", "of it in memory, the rest goes to a file" },
  { "temp-dir", text, "DIRECTORY", "$TMPDIR or /tmp", "where such files are" },
  { "io-timeout", seconds, "TIME", "60s", "for one read or write" },
  { "header-timeout", seconds, "TIME", "30s", "for the parameters of a request" },
  { "idle-timeout", seconds, "TIME", "90s", "for a kept connection without a request" },
  { "root-path", text, "PATH", "what the web server says", "where the application is mounted, such as /shop" },
  { "status-path", text, "PATH", "none", "where the server answers with its status" },
  { "ping-path", text, "PATH", "none", "where the server answers \"pong\"" },
  { "request-timeout", seconds, "TIME", "no limit", "a request may take, then the client gets 504" },
  { "slow-log", seconds, "TIME", "never", "after which a request gets into the log" },
  { "access-logfile", text, "FILE", "none", "a line for each request; - is stderr" },
  { "access-logformat", text, "FORMAT", "combined", "common, combined, json, or a text with atoms" },
  { "error-logfile", text, "FILE", "stderr", "the server's messages and what requests log" },
  { "config", text, "FILE", "", "a Lua file that returns a table of options", command = true, short = "-c" },
  { "check-config", flag, "", "", "load everything, say whether it is fine, and exit", command = true },
  { "print-config", flag, "", "", "print every option with where it comes from, and exit", command = true },
}

for _, row in ipairs(rows) do
  row.name, row.kind, row.value, row.default, row.help = table.unpack(row)
  row.word = row.name:gsub("-", "_")
  row.key = row.key or row.word
  row.variable = "FASTCGI_" .. row.word:upper()
  row.read = kinds[row.kind]
end

options.rows = rows
options.app = { name = "app", word = "app", key = "app", kind = text, variable = "FASTCGI_APP",
  value = "FILE", default = "", help = "the application", read = kinds[text] }

local function distance(a, b)
  local row = {}
  for j = 0, #b do
    row[j] = j
  end
  for i = 1, #a do
    local corner = row[0]
    row[0] = i
    for j = 1, #b do
      local above = row[j]
      local change = corner + (a:byte(i) == b:byte(j) and 0 or 1)
      row[j] = math.min(above + 1, row[j - 1] + 1, change)
      corner = above
    end
  end
  return row[#b]
end

-- gunicorn's options that are not here, and what is instead.
local elsewhere = {
  preload = "workers load the application themselves, and a reload needs no preloading",
  daemon = "let a service manager such as systemd start it",
  ["keep-alive"] = "--idle-timeout is how long an idle connection is kept",
  ["worker-class"] = "--threads says how many requests a worker serves at once",
  ["worker-tmp-dir"] = "--temp-dir is where bodies go",
  ["limit-request-body"] = "--limit-request-body limits it",
  ["access-logfile"] = "--access-logfile is the file",
  ["error-logfile"] = "--error-logfile is the file",
  env = "set variables in the environment",
}

--- "; did you mean '--workers'?", or what is instead, or nothing. Who errs in a
--- letter seldom errs in the first.
function options.nearest(name, field, before)
  local instead = elsewhere[(name:gsub("_", "-"))]
  if instead then
    return ": " .. instead
  end
  local best, least = nil, #name // 3 + 2
  for _, row in ipairs(rows) do
    local d = distance(name, row[field])
    if d < least and name:byte(1) == row[field]:byte(1) then
      best, least = row[field], d
    end
  end
  return best and ("; did you mean '%s%s'?"):format(before, best) or ""
end

function options.find(field, name)
  for _, row in ipairs(rows) do
    if row[field] == name then
      return row
    end
  end
end

return options
