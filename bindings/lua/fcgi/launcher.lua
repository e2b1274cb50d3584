-- SPDX-License-Identifier: MIT
-- The command line of fcgi-lua: options become the table of fcgi.serve, or of a
-- supervisor, and every failure one line on stderr.
local config = require "fcgi.config"
local options = require "fcgi.options"

local launcher = {}

local BASE = "FASTCGI_BASE_DIR" -- Where the supervisor was started: files are named from there.
local MANY = 1 << 62 -- Requests: never, whatever the environment says.

local usage = "usage: fcgi-lua [options] app.lua [-- arguments of the application]"

local function help()
  local lines = {
    usage, "",
    "app.lua returns the handler:",
    "  return function(req)",
    "    return 200, {[\"Content-Type\"] = \"text/plain\"}, \"Hello\\n\"",
    "  end",
    "Without --bind it serves the listener that it inherits from systemd,",
    "spawn-fcgi or the web server.", "",
  }
  for _, option in ipairs(options.rows) do
    local left = (option.short and option.short .. ", " or "    ") .. "--" .. option.name
    left = option.value == "" and left or left .. " " .. option.value
    local default = option.default ~= "" and (" (%s)"):format(option.default) or ""
    lines[#lines + 1] = ("  %-30s %s%s"):format(left, option.help, default)
  end
  lines[#lines + 1] = "  -h, --help                     show this"
  lines[#lines + 1] = "      --version                  show the version"
  lines[#lines + 1] = ""
  lines[#lines + 1] = "Sizes take K, M or G, times s, m, h or d. Each option may also be in the"
  lines[#lines + 1] = "environment, as FASTCGI_NAME, or in the file of --config, as name. SIGTERM"
  lines[#lines + 1] = "and SIGINT finish what runs and stop, a second one stops at once; with"
  lines[#lines + 1] = "--workers SIGHUP replaces the workers, and no request is lost."
  return table.concat(lines, "\n") .. "\n"
end

-- A CGI server puts words that the client has chosen behind the application's
-- name (RFC 3875, 4.4): they are neither options nor for the application.
local function is_cgi()
  return (os.getenv("GATEWAY_INTERFACE") or "") ~= ""
end

-- What the words say, and those for the application; or "help" or "version".
local function parse(words)
  local line, args = {}, {}
  local i = 1
  while words[i] and not (line.app and is_cgi()) do
    local word = words[i]
    if word == "--" then
      table.move(words, i + 1, #words, 1, args)
      break
    elseif word == "--help" or word == "-h" then
      return "help"
    elseif word == "--version" then
      return "version"
    elseif word:sub(1, 1) == "-" then
      i = config.take(line, words, i)
    elseif line.app then
      config.refuse("one application only: '%s' after '%s'; its arguments follow --", word, line.app.value)
    else
      line.app = { text = word, value = word, source = "command line" }
      i = i + 1
    end
  end
  return line, args
end

local function complain(text)
  require("fcgi.supervisor").say("fcgi-lua: " .. tostring(text):gsub("\n.*", "") .. "\n")
end

-- The application sees the global `arg` as the lua program would set it.
local function set_arg(serve)
  local list = table.move(serve.args, 1, #serve.args, 1, { [0] = serve.app })
  rawset(_G, "arg", list)
end

-- One line, for the person who started it; nobody did when it runs once for
-- each request, as a CGI program.
local function tell(serve)
  local threads = serve.threads or 1
  return function(addresses)
    if addresses[1] ~= "cgi" then
      return ("fcgi-lua: serving %s on %s with %d thread%s\n"):format(
        serve.app, table.concat(addresses, ", "), threads, threads == 1 and "" or "s")
    end
  end
end

-- The status of what fcgi.serve has returned or raised.
local function conclude(fine, served, message)
  if not fine then
    complain((tostring(served):gsub("^bad argument #1 to '[^']*' %((.*)%)$", "%1")))
    return 2
  elseif not served then
    complain((message:gsub("^no listener", "no --bind, and no listener")))
    return 1
  end
  return 0
end

-- The table for fcgi.serve.
local function serving(settings, args)
  local serve = { args = args }
  for word, given in pairs(settings) do
    local row = options.find("word", word)
    if not (row and (row.shared or row.command or word == "workers" or word == "chdir" or word == "umask")) then
      serve[row and row.key or word] = given.value
    end
  end
  serve.graceful_timeout = serve.graceful_timeout or 30
  if serve.max_requests == 0 then
    serve.max_requests = MANY
  end
  if serve.max_requests_jitter == 0 then
    serve.max_requests_jitter = nil
  end
  return serve
end

local function run(serve)
  set_arg(serve)
  serve.listening = not serve.quiet and tell(serve) or nil
  serve.quiet = nil
  return conclude(pcall(require("fcgi").serve, serve))
end

local function change_directory(settings)
  if settings.chdir then
    local fine, message = require("fcgi.supervisor").chdir(settings.chdir.value)
    if not fine then
      complain(message)
      return false
    end
  end
  return true
end

local function run_alone(settings, args)
  local digits = settings.umask and settings.umask.value:match("^[0-7]+$")
  local mode = digits and #digits <= 4 and tonumber(digits, 8)
  if settings.umask and not mode then
    config.refuse("--umask needs octal digits, not '%s'", settings.umask.value)
  elseif mode then
    require("fcgi.supervisor").umask(mode)
  end
  return change_directory(settings) and run(serving(settings, args)) or 1
end

-- The table for the supervisor.
local function supervising(settings)
  local list = {}
  for word, given in pairs(settings) do
    local row = options.find("word", word)
    if row and word ~= "workers" then
      list[row.key] = given.value
    end
  end
  return list
end

-- What would keep a supervisor from starting is a line on stderr. Whoever looks
-- may be another user than who starts it.
local function check_processes(settings)
  local list = supervising(settings)
  list.command, list.check_only, list.allow_root = { "fcgi-lua" }, true, true
  return require("fcgi.supervisor").run(list)
end

local function exists(path)
  local file = io.open(path)
  return file and file:close()
end

-- Logs that are not there; a check makes them, to see whether it can.
local function missing_logs(settings)
  local list = {}
  for _, word in ipairs { "access_logfile", "error_logfile" } do
    local path = settings[word] and settings[word].value or "-"
    if path ~= "-" and path ~= "" and not exists(path) then
      list[#list + 1] = path
    end
  end
  return list
end

-- Everything but serving, on an address that nobody else has.
local function check(settings, args)
  local status = check_processes(settings)
  if status ~= 0 or not change_directory(settings) then
    return 1
  end
  local serve, missing = serving(settings, args), missing_logs(settings)
  local good = {}
  set_arg(serve)
  serve.quiet = nil
  serve.bind = "unix:@fcgi-lua-check" .. os.tmpname()
  os.remove(serve.bind:match("@fcgi%-lua%-check(.*)"))
  serve.listening = function() error(good, 0) end
  local fine, served, message = pcall(require("fcgi").serve, serve)
  for _, path in ipairs(missing) do
    os.remove(path)
  end
  if served == good then
    complain("the configuration is fine")
    return 0
  end
  return conclude(fine, served, message)
end

-- fcgi-lua once more, with the interpreter's own options.
local function command(words, supervisor)
  local list, first = {}, 0
  while words[first - 1] do
    first = first - 1
  end
  for i = first, #words do
    local relative = i == 0 and words[0]:sub(1, 1) ~= "/"
    list[#list + 1] = relative and supervisor.working_directory() .. "/" .. words[0] or words[i]
  end
  return list
end

-- Absolute paths of what --reload looks at.
local function watched(settings, supervisor)
  local base = settings.chdir and settings.chdir.value .. "/" or ""
  local list = {}
  local function add(path)
    list[#list + 1] = supervisor.absolute(path:sub(1, 1) == "/" and path or base .. path)
  end
  add((settings.app.value:match("^(.*)/[^/]*$") or ".") .. "/.")
  for _, path in ipairs(settings.reload_extra_file and settings.reload_extra_file.value or {}) do
    add(path)
  end
  return list
end

local function run_workers(settings, workers, words)
  local supervisor = require "fcgi.supervisor"
  local list = supervising(settings)
  list.workers, list.command = workers, command(words, supervisor)
  list.watch = settings.reload and watched(settings, supervisor) or nil
  supervisor.setenv(BASE, supervisor.working_directory())
  local fine, status = pcall(supervisor.run, list)
  if not fine then
    config.refuse("%s", status)
  end
  return status
end

-- How many processes; 0: this one alone.
local function count_workers(settings)
  local asked
  for word, given in pairs(settings) do
    local row = options.find("word", word)
    if row and row.shared and given.value and word ~= "allow_root" and (not asked or row.name < asked) then
      asked = row.name
    end
  end
  if not settings.workers then
    local text = os.getenv("WEB_CONCURRENCY") or ""
    local number = text == "" and 0 or options.find("word", "workers").read(text)
    if not number then
      config.refuse("WEB_CONCURRENCY needs %s, not '%s'", options.find("word", "workers").kind, text)
    end
    return number > 0 and number or asked and 1 or 0
  elseif settings.workers.value == 0 and asked then
    config.refuse("--%s needs a worker, and --workers is 0; leave one of them out", asked)
  end
  return settings.workers.value
end

local function start(words)
  local line, args = parse(words)
  if line == "help" then
    io.stdout:write(help())
    return 0
  elseif line == "version" then
    print(require("fcgi")._VERSION)
    return 0
  end
  local is_worker = require("fcgi.supervisor").is_worker()
  local settings = config.merge(line, is_worker and os.getenv(BASE) or ".", os.getenv)
  local workers = count_workers(settings)
  if settings.print_config then
    io.stdout:write(config.show(settings))
    return 0
  elseif not settings.app then
    config.refuse("no application given; %s", usage)
  elseif settings.check_config then
    return check(settings, args)
  elseif is_worker then
    settings.bind, settings.chdir, settings.umask = nil, nil, nil
  elseif workers > 0 and not is_cgi() then
    return run_workers(settings, workers, words)
  end
  return run_alone(settings, args)
end

--- Run the command line; returns the exit status: 0, 1 when serving fails, 2
--- when the command line or a file of options is wrong, 3 when the first
--- workers do not start.
function launcher.main(words)
  local fine, status = pcall(start, words)
  if fine then
    return status
  end
  complain(type(status) == "table" and status.usage or status)
  return 2
end

return launcher
