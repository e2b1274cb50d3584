-- SPDX-License-Identifier: MIT
-- The command line of fcgi-lua: options become the table of fcgi.serve, and
-- every failure one line on stderr.
local launcher = {}

local function whole_number(text)
  return math.tointeger(tonumber(text))
end

local function seconds(text)
  return text == "inf" and math.huge or tonumber(text)
end

local function words(text)
  return text
end

local function numbers(text)
  local list = {}
  for word in (text .. ","):gmatch("%s*(.-)%s*,") do
    list[#list + 1] = whole_number(word) or error { usage = ("'%s' is no user id"):format(word) }
  end
  return list
end

-- Each option: its name, its key for fcgi.serve, how its text is read (nil for
-- a flag), what its value is, and its help.
local options = {
  { "bind", "bind", words, "ADDRESS",
    "unix:/path, unix:@name, host:port, :port or fd:N; may be repeated" },
  { "threads", "threads", whole_number, "N",
    "threads, each with a Lua state of its own (1)" },
  { "stream", "stream", nil, nil,
    "start a request before its body is whole" },
  { "quiet", "quiet", nil, nil,
    "do not tell on stderr where it listens" },
  { "backlog", "backlog", whole_number, "N",
    "connections that may wait to be accepted (4096)" },
  { "socket-mode", "socket_mode", words, "MODE",
    "mode of a unix socket, in octal (0660)" },
  { "allow-from", "allow", words, "LIST",
    "addresses and blocks that may connect over TCP (loopback)" },
  { "peer-uids", "peer_uids", numbers, "LIST",
    "users who may connect over unix sockets (by its mode)" },
  { "max-connections", "max_connections", whole_number, "N",
    "connections open at once (65536, or what the system allows)" },
  { "max-requests", "max_requests", whole_number, "N",
    "requests open at once on one connection (1024)" },
  { "max-body", "max_body", whole_number, "BYTES",
    "largest body that is collected, more is answered 413 (1 GiB)" },
  { "body-memory", "body_memory", whole_number, "BYTES",
    "of it in memory, the rest goes to a file (256 KiB)" },
  { "temp-dir", "temp_dir", words, "DIRECTORY",
    "where such files are ($TMPDIR or /tmp)" },
  { "io-timeout", "io_timeout", seconds, "SECONDS",
    "for one read or write (60)" },
  { "header-timeout", "header_timeout", seconds, "SECONDS",
    "for the parameters of a request (30)" },
  { "idle-timeout", "idle_timeout", seconds, "SECONDS",
    "for a kept connection without a request (90)" },
}

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
  for _, option in ipairs(options) do
    local left = "--" .. option[1] .. (option[4] and " " .. option[4] or "")
    lines[#lines + 1] = ("  %-26s %s"):format(left, option[5])
  end
  lines[#lines + 1] = "  --help                     show this"
  lines[#lines + 1] = "  --version                  show the version"
  return table.concat(lines, "\n") .. "\n"
end

local function usage_error(text)
  error({ usage = text }, 0)
end

local function find(name)
  for _, option in ipairs(options) do
    if option[1] == name then
      return option
    end
  end
  usage_error(("unknown option --%s; fcgi-lua --help lists the options"):format(name))
end

local function store(serve, option, text)
  local key, read = option[2], option[3]
  local value = read(text)
  if value == nil then
    local kind = read == whole_number and "a whole number" or "a number of seconds"
    usage_error(("--%s needs %s, not '%s'"):format(option[1], kind, text))
  end
  if key == "bind" then
    serve.bind = serve.bind or {}
    table.insert(serve.bind, value)
  else
    serve[key] = value
  end
end

-- Take the option at arguments[i]; returns the index after it.
local function take_option(serve, arguments, i)
  local name, text = arguments[i]:match("^%-%-([^=]+)=?(.*)$")
  local has_text = arguments[i]:find("=", 1, true)
  if not name then
    usage_error(("unknown option %s; fcgi-lua --help lists the options"):format(arguments[i]))
  end
  local option = find(name)
  if not option[3] then
    if has_text then
      usage_error(("--%s takes no value"):format(name))
    end
    serve[option[2]] = true
    return i + 1
  end
  if not has_text then
    i = i + 1
    text = arguments[i]
  end
  if not text or text == "" then
    usage_error(("--%s needs a value (%s)"):format(name, option[4]))
  end
  store(serve, option, text)
  return i + 1
end

-- A CGI server puts words that the client has chosen after the program's name
-- (RFC 3875, 4.4): they are neither options nor for the application.
local function started_as_cgi()
  return (os.getenv "GATEWAY_INTERFACE" or "") ~= ""
end

-- A CGI server puts words that the client has chosen behind the application's
-- name (RFC 3875, 4.4).
local function is_cgi()
  return (os.getenv("GATEWAY_INTERFACE") or "") ~= ""
end

-- The table for fcgi.serve; or "help" or "version".
local function parse(arguments)
  local serve = { args = {} }
  local i = 1
  while arguments[i] and not (serve.app and is_cgi()) do
    local word = arguments[i]
    if word == "--" then
      table.move(arguments, i + 1, #arguments, 1, serve.args)
      break
    elseif word == "--help" or word == "-h" then
      return "help"
    elseif word == "--version" then
      return "version"
    elseif word:sub(1, 1) == "-" then
      i = take_option(serve, arguments, i)
    elseif serve.app then
      usage_error(("one application only: '%s' after '%s'; its arguments follow --"):format(word, serve.app))
    else
      serve.app = word
      i = started_as_cgi() and #arguments + 1 or i + 1
    end
  end
  if not serve.app then
    usage_error("no application given; " .. usage)
  end
  return serve
end

local function complain(text)
  io.stderr:write("fcgi-lua: ", (tostring(text):gsub("\n.*", "")), "\n")
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
      io.stderr:write(("fcgi-lua: serving %s on %s with %d thread%s\n"):format(
        serve.app, table.concat(addresses, ", "), threads, threads == 1 and "" or "s"))
    end
  end
end

local function run(serve)
  set_arg(serve)
  serve.listening = not serve.quiet and tell(serve) or nil
  serve.quiet = nil
  local fine, served, message = pcall(require("fcgi").serve, serve)
  if not fine then
    complain((tostring(served):gsub("^bad argument #1 to '[^']*' %((.*)%)$", "%1")))
    return 2
  elseif not served then
    complain((message:gsub("^no listener", "no --bind, and no listener")))
    return 1
  end
  return 0
end

--- Run the command line; returns the exit status: 0, 1 when serving fails, 2
--- when the command line is wrong.
function launcher.main(arguments)
  local fine, serve = pcall(parse, arguments)
  if not fine then
    complain(type(serve) == "table" and serve.usage or serve)
    return 2
  elseif serve == "help" then
    io.stdout:write(help())
    return 0
  elseif serve == "version" then
    print(require("fcgi")._VERSION)
    return 0
  end
  return run(serve)
end

return launcher
