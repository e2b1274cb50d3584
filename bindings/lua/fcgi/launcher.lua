-- SPDX-License-Identifier: MIT
-- The command line of fcgi-lua: options become the table of fcgi.serve, or of a
-- supervisor, and every failure one line on stderr.
local launcher = {}

local BASE = "FASTCGI_BASE_DIR" -- Where the supervisor was started: files are named from there.

local usage = "usage: fcgi-lua [options] app.lua [-- arguments of the application]"

local head = usage .. [[


app.lua returns the handler:
  return function(req)
    return 200, {["Content-Type"] = "text/plain"}, "Hello\\n"
  end
Without --bind it serves the listener that it inherits from systemd,
spawn-fcgi or the web server.

]]

local foot = [[

Sizes take K, M or G, times s, m, h or d. Each option may also be in the
environment, as FASTCGI_NAME, or in the file of --config, as name. SIGTERM
and SIGINT finish what runs and stop, a second one stops at once; with
--workers SIGHUP replaces the workers, and no request is lost.
]]

-- A CGI server has started it.
local function is_cgi()
  return (os.getenv("GATEWAY_INTERFACE") or "") ~= ""
end

-- All that is said of options, and the words for the application; files are
-- looked for in `directory`.
local function read(words, directory)
  local settings = require("fcgi.supervisor").options()
  local used = settings:read_words(words)
  settings:read_environment()
  if settings:value "config" then
    settings:read_file(directory, settings:value "config")
  end
  return settings, is_cgi() and {} or table.move(words, used + 1, #words, 1, {})
end

local function complain(text)
  require("fcgi.supervisor").say("fcgi-lua: " .. tostring(text):gsub("\n.*", "") .. "\n")
end

-- What may be a mistake in the environment; who has started a worker has said it.
local function tell_doubts(settings, is_worker)
  for _, line in ipairs(is_worker and {} or settings:doubts()) do
    complain(line)
  end
end

local function refuse(format, ...)
  error(format:format(...), 0)
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

-- The values of the options of some scopes that were given.
local function given(settings, scopes, list)
  for _, scope in ipairs(scopes) do
    for _, name in ipairs(settings:names(scope)) do
      if settings:is_given(name) then
        list[name] = settings:value(name)
      end
    end
  end
  return list
end

-- The table for fcgi.serve.
local function serving(settings, args, is_worker)
  local serve = given(settings, { "server", "worker" }, { args = args })
  serve.bind = not is_worker and serve.bind or nil
  serve.chdir, serve.umask = nil, nil
  return serve
end

local function run(serve)
  set_arg(serve)
  local level = serve.log_level or "info"
  serve.listening = (level == "info" or level == "debug") and tell(serve) or nil
  return conclude(pcall(require("fcgi").serve, serve))
end

local function change_directory(settings)
  local directory = settings:value "chdir"
  if directory then
    local fine, message = require("fcgi.supervisor").chdir(directory)
    if not fine then
      complain(message)
      return false
    end
  end
  return true
end

local function run_alone(settings, args)
  if settings:is_given "umask" then
    require("fcgi.supervisor").umask(tonumber(settings:value "umask", 8))
  end
  return change_directory(settings) and run(serving(settings, args)) or 1
end

-- The table for the supervisor.
local function supervising(settings)
  local list = given(settings, { "server", "worker", "processes" }, {})
  list.reload, list.reload_extra_file = nil, nil
  return list
end

local function exists(path)
  local file = io.open(path)
  return file and file:close()
end

-- Logs that are not there; a check makes them, to see whether it can.
local function missing_logs(settings)
  local list = {}
  for _, word in ipairs { "access_logfile", "error_logfile" } do
    local path = settings:value(word) or "-"
    if path ~= "-" and path ~= "" and not exists(path) then
      list[#list + 1] = path
    end
  end
  return list
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

-- What would keep a supervisor from starting is a line on stderr. Only workers
-- are kept from being root.
local function check_processes(settings, workers, words)
  local supervisor = require "fcgi.supervisor"
  local list = supervising(settings)
  list.command, list.options, list.check_config = command(words, supervisor), settings, true
  list.workers = workers > 0 and workers or nil
  list.allow_root = list.allow_root or workers == 0
  return supervisor.run(list)
end

-- Everything but serving, on an address that nobody else has.
local function check(settings, args, workers, words)
  local status = check_processes(settings, workers, words)
  if status ~= 0 or not change_directory(settings) then
    return 1
  end
  local serve, missing = serving(settings, args), missing_logs(settings)
  local good = {}
  set_arg(serve)
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

-- Absolute paths of what --reload looks at.
local function watched(settings, supervisor)
  local base = settings:value "chdir" and settings:value "chdir" .. "/" or ""
  local list = {}
  local function add(path)
    list[#list + 1] = supervisor.absolute(path:sub(1, 1) == "/" and path or base .. path)
  end
  add((settings:value("app"):match("^(.*)/[^/]*$") or ".") .. "/.")
  for _, path in ipairs(settings:value "reload_extra_file") do
    add(path)
  end
  return list
end

local function run_workers(settings, workers, words)
  local supervisor = require "fcgi.supervisor"
  local list = supervising(settings)
  list.workers, list.command = workers, command(words, supervisor)
  list.options = settings
  list.watch = settings:value "reload" and watched(settings, supervisor) or nil
  supervisor.setenv(BASE, supervisor.working_directory())
  local fine, status = pcall(supervisor.run, list)
  if not fine then
    refuse("%s", status)
  end
  return status
end

-- How many processes; 0: this one alone.
local function count_workers(settings)
  local asked
  for _, name in ipairs(settings:names "processes") do
    local needs = name ~= "allow_root" and name ~= "workers"
    if needs and not asked and settings:is_given(name) and settings:value(name) then
      asked = name:gsub("_", "-")
    end
  end
  if not settings:is_given "workers" then
    return asked and 1 or 0
  elseif settings:value "workers" == 0 and asked then
    refuse("--%s needs a worker, and --workers is 0; leave one of them out", asked)
  end
  return settings:value "workers"
end

local function start(words)
  local is_worker = require("fcgi.supervisor").is_worker()
  local settings, args = read(words, is_worker and os.getenv(BASE) or ".")
  if settings:value "help" then
    io.stdout:write(head, settings:help(), foot)
    return 0
  elseif settings:value "version" then
    print((require("fcgi")._VERSION:gsub("^fcgi", "fcgi-lua")))
    return 0
  end
  tell_doubts(settings, is_worker or is_cgi())
  local workers = count_workers(settings)
  if settings:value "print_config" then
    io.stdout:write(settings:show())
    return 0
  elseif not settings:value "app" then
    refuse("no application given; %s", usage)
  elseif settings:value "check_config" then
    return check(settings, args, workers, words)
  elseif is_worker then
    return run(serving(settings, args, true))
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
  complain(status)
  return 2
end

return launcher
