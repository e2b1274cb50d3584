-- SPDX-License-Identifier: MIT
package.path = debug.getinfo(1, "S").source:match("^@(.*/)") .. "?.lua;" .. package.path
local fcgi = require "fcgi"
local support = require "support"

local function refused(pattern, options, make)
  local fine, message = pcall(make or fcgi.server, options)
  assert.is_false(fine)
  assert.matches(pattern, message, 1, true)
end

describe("the module", function()
  it("tells its version", function()
    local header = support.read_file(support.source .. "/core/include/fastcgi/version.h")
    assert.equal("fcgi " .. header:match('VERSION_TEXT +"([^"]+)"'), fcgi._VERSION)
  end)

  it("sets no global", function()
    local script = [[
      local before = {}
      for name in pairs(_G) do before[name] = true end
      require "fcgi"
      for name in pairs(_G) do if not before[name] then print(name) end end]]
    assert.equal("", (support.shell("lua5.4 -e '" .. script .. "'")))
  end)

  it("exports its entry points only", function()
    local path = package.searchpath("fcgi", package.cpath)
    local names = support.shell("nm -D --defined-only --format=posix " .. path)
    for name in names:gmatch("(%S+)[^\n]*\n") do
      assert.is_truthy(name:match("^luaopen_fcgi") or name:match("^_"), name)
    end
    assert.matches("luaopen_fcgi ", names, 1, true)
  end)

  -- What the C runtime itself needs, no more: two states never meet in it.
  it("holds no mutable data", function()
    local sizes = support.shell("size -A " .. package.searchpath("fcgi", package.cpath))
    assert.is_true(tonumber(sizes:match("%.bss%s+(%d+)")) <= 16, sizes)
    assert.is_true(tonumber(sizes:match("%.data%s+(%d+)")) <= 16, sizes)
  end)

  it("locks its metatables", function()
    local server <close> = fcgi.server {}
    assert.is_false(getmetatable(server))
  end)
end)

describe("fcgi.serve_address", function()
  it("is the first word of the command line", function()
    assert.equal("unix:x", fcgi.serve_address { [0] = "x.lua", "unix:x", "more" })
    assert.is_nil(fcgi.serve_address { [0] = "x.lua" })
    refused("table expected", "unix:x", fcgi.serve_address)
    refused("the table 'arg' holds strings", { 1 }, fcgi.serve_address)
  end)
end)

describe("options", function()
  it("that are unknown are refused with the nearest name", function()
    refused("there is no option 'backlgo'; did you mean 'backlog'?", { backlgo = 1 })
    refused("there is no option 'thread'; did you mean 'threads'?", { thread = 2 }, fcgi.serve)
  end)

  it("that no server can have are explained", function()
    local server, message, name = fcgi.server({ temp_dir = "/" .. ("x"):rep(8000) })
    assert.is_nil(server)
    assert.equal("INVALID", name)
    assert.truthy(message:find("temp_dir must be shorter than", 1, true), message)
  end)

  it("that resemble none, or are for others, are refused", function()
    refused("there is no option 'zzzzzzzz'", { zzzzzzzz = 1 })
    refused("option 'threads' is for fcgi.serve", { threads = 1 })
    refused("option 'reload' is for fcgi-lua", { reload = true }, fcgi.serve)
    refused("there is no option 'ready_after'; fcgi run has it", { ready_after = 1 }, fcgi.serve)
    refused("option 'io-timeout': names are written with '_'", { ["io-timeout"] = 1 })
  end)

  it("of a wrong kind are refused", function()
    refused("option 'backlog' must be an integer from 1 to 2147483647 (got \"many\")", { backlog = "many" })
    refused("option 'limit_request_body' must be a number of bytes as an integer from 1 up (got 1.5)",
      { limit_request_body = 1.5 })
    refused("option 'io_timeout' must be a number of seconds above 0 up to 2147483.647, or math.huge or 0 for no limit "
      .. "(got -1)", { io_timeout = -1 })
    refused("2147483.647, or math.huge or 0 for never (got a boolean)", { slow_log = true })
    refused("option 'status_path' must be a path that begins with /, below 256 bytes (got \"x\")",
      { status_path = "x" })
    refused("option 'temp_dir' must be a string (got a boolean)", { temp_dir = true })
    refused("option 'poller' must be", { poller = "select" })
    refused("option 'bind' must be an address or a list of them (got a number)", { bind = 80 })
    refused("option 'bind' is an empty list", { bind = {} })
    refused("an address has no NUL", { bind = "unix:x\0y" })
    refused("option 'stream' must be true or false (got a string)", { stream = "yes" })
    refused("options are named", { "unix:x.sock" })
    refused("table expected", "unix:x.sock")
  end)

  it("can ask web servers for one request at a time", function()
    refused("option 'no_multiplex' must be true or false (got a number)", { no_multiplex = 1 })
  end)

  it("take a socket's mode as octal text", function()
    refused("octal digits in a string", { socket_mode = 660 })
    refused("octal digits in a string", { socket_mode = "0888" })
    support.with_server({ socket_mode = "0600" }, function(_, path)
      assert.equal("600\n", (support.shell("stat -c %a " .. path)))
    end)
  end)

  it("of every kind are taken", function()
    local server <close> = assert(fcgi.server {
      stream = true, poller = "poll", limit_params_size = 4096, limit_params = 10, max_multiplexed = 2,
      no_multiplex = true, limit_connections = 5, body_memory = 1024, limit_request_body = 1 << 40, temp_dir = "/tmp",
      input_window = 4096, output_window = 4096, connection_memory = 1 << 20, server_memory = 1 << 22,
      io_timeout = math.huge, header_timeout = 0.5, idle_timeout = 10, drain_silence = 0.1, drain_timeout = 1,
      drain_bytes = 1 << 20, backlog = 16, socket_mode = "0666", access_logfile = "", access_logformat = "json",
      error_logfile = "", status_path = "/status", ping_path = "/ping", request_timeout = 30, slow_log = 5 })
    assert.matches("^fcgi.server: 0x", tostring(server))
  end)
end)

describe("fcgi.serve", function()
  local function handler() end

  it("needs a handler or an application, not both", function()
    refused("a 'handler' function, 'roles' or an 'app' file is needed", {}, fcgi.serve)
    refused("give either 'handler' and 'roles' or 'app', not both", { handler = handler, app = "x.lua" }, fcgi.serve)
    refused("option 'handler' must be a function (got a string)", { handler = "x" }, fcgi.serve)
  end)

  it("tells where it listens before it serves", function()
    local directory = support.directory()
    local told
    local fine, message = pcall(fcgi.serve, { bind = { "unix:" .. directory .. "/s", "127.0.0.1:0" }, handler = handler,
      listening = function(addresses)
        told = addresses
        assert.is_truthy(support.shell("test -S " .. directory .. "/s && echo yes"):find("yes"))
        error("that is enough", 0)
      end })
    assert.same({ false, "that is enough" }, { fine, message })
    assert.equal("unix:" .. directory .. "/s", told[1])
    assert.matches("^127%.0%.0%.1:[1-9]%d+$", told[2])
    assert.is_falsy(support.exists(directory .. "/s"))
    support.remove(directory)
    refused("option 'listening' must be a function (got a string)", { handler = handler, listening = "x" }, fcgi.serve)
  end)

  it("refuses to share a function between threads", function()
    refused("a handler function cannot be shared by 2 threads", { handler = handler, threads = 2 }, fcgi.serve)
  end)

  it("refuses numbers of threads that make no sense", function()
    refused("option 'threads' must be an integer from 1 to 4096 (got 0)", { handler = handler, threads = 0 },
      fcgi.serve)
  end)

  it("returns nil, a message and a code when it cannot listen", function()
    local served, message, code = fcgi.serve { bind = "unix:/no/such/place/x.sock", handler = handler }
    assert.is_nil(served)
    assert.matches("/no/such/place/x.sock", message, 1, true)
    assert.equal("SYSTEM", code)
  end)

  for _, threads in ipairs { 1, 2 } do
    it("returns one line when the application does not load on " .. threads .. " thread(s)", function()
      local directory = support.directory()
      local path = support.write_file(directory .. "/broken.lua", "local x =\n")
      local served, message, code = fcgi.serve { bind = "unix:" .. directory .. "/s", app = path, threads = threads }
      assert.is_nil(served)
      assert.equal("STATE", code)
      assert.matches("broken.lua:%d: unexpected symbol near <eof>", message)
      assert.is_nil(message:find("\n"))
      assert.is_falsy(support.exists(directory .. "/s"))
      support.remove(directory)
    end)
  end
end)
