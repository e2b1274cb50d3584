-- SPDX-License-Identifier: MIT
-- docs/lua.md: its programs run, and it says what is so.
local here = debug.getinfo(1, "S").source:match("^@(.*/)")
package.path = here .. "?.lua;" .. package.path
local client = require "client"
local fcgi = require "fcgi"
local forks = require "forks"
local socket = require "socket"
local support = require "support"
local test = require "fcgi.test"

local page = support.read_file(support.source .. "/docs/lua.md")
local types = support.read_file(support.source .. "/bindings/lua/types/fcgi.lua")
local build = os.getenv "FASTCGI_BUILD" or support.source .. "/build/dev"
local root = support.shell("id -u") == "0\n" and " --allow-root" or ""

-- The programs of the page, by the names in their first lines.
local files, unnamed = {}, 0
for block in page:gmatch("\n```lua\n(.-\n)```") do
  local name = block:match("^%-%- ([%w_]+%.lua)\n")
  files[name or ""] = block
  unnamed = name and unnamed or unnamed + 1
end

local directory
setup(function()
  directory = support.directory()
  for name, block in pairs(files) do
    support.write_file(directory .. "/" .. name, block)
  end
end)
teardown(function() support.remove(directory) end)

-- What a command prints in the directory of the programs, and its exit status.
local function run(command)
  support.write_file(directory .. "/run.sh", command)
  return support.shell(("cd %s; PATH=%s/lua/bin:%s/tools:$PATH timeout 300 sh run.sh </dev/null 2>&1"):format(
    directory, build, build))
end

local function set(list)
  local made = {}
  for _, name in ipairs(list) do
    made[name] = true
  end
  return made
end

local function names(text, pattern)
  local list = {}
  for name in text:gmatch(pattern) do
    list[#list + 1] = name
  end
  return set(list)
end

-- The first column of the table below a heading of columns.
local function column(head)
  local rows = page:match("\n| " .. head:gsub("%p", "%%%0") .. " |[^\n]*\n|%-[^\n]*\n(.-)\n\n")
  local list = {}
  for cell in ("\n" .. rows):gmatch("\n| (.-) |") do
    for name in cell:gmatch('`"?([%w_]+)"?`') do
      list[#list + 1] = name
    end
  end
  return set(list)
end

describe("docs/lua.md", function()
  it("has programs with names, which compile", function()
    assert.equal(0, unnamed)
    for name, block in pairs(files) do
      assert(load(block, name))
    end
  end)

  it("starts and asks the smallest program as it says", function()
    local serve, ask = page:match("\n    (fcgi%-lua hello[^\n]+)\n    (fcgi call [^\n]+)\n")
    local listens = "until fcgi call unix:hello.sock / >probe 2>&1; do sleep 0.05; done"
    local printed = run(("%s 2>log & server=$!; %s; %s; kill $server; wait"):format(serve, listens, ask))
    assert.equal("Hello from /there\n", printed)
  end)

  it("makes a plain CGI program of it", function()
    support.write_file(directory .. "/hello.fcgi", "#!/usr/bin/env fcgi-lua\n" .. files["hello.lua"])
    local printed = run("chmod +x hello.fcgi; GATEWAY_INTERFACE=CGI/1.1 REQUEST_METHOD=GET PATH_INFO=/x ./hello.fcgi")
    assert.matches("\r\n\r\nHello from /x\n$", printed)
  end)

  it("gives an application words, and the modules beside it first", function()
    support.write_file(directory .. "/beside.lua", "return 'beside'")
    local app = support.write_file(directory .. "/words.lua",
      "local text = require 'beside' .. (...) .. arg[2] return function() return 200, {}, text end")
    local server <close> = support.launch(app .. " -- one two")
    assert.equal("besideonetwo", server:ask().body)
  end)

  it("names every field and method of a request", function()
    local class = types:match("%-%-%-@class fcgi.request\n(.-)\nlocal request")
    assert.same(names(class, "@field ([%w_]+)"), column("field"))
    local told = names(page, "[%w]:([%w_]+)%(")
    for name in types:gmatch("\nfunction request:([%w_]+)") do
      assert.is_true(told[name] or name == "close", name)
    end
  end)

  it("names every function and every method of a server", function()
    for name in types:gmatch("\nfunction fcgi%.([%w_]+)") do
      assert.is_truthy(page:find("fcgi." .. name, 1, true) or page:find('require("fcgi").' .. name, 1, true), name)
    end
    for name in types:gmatch("\nfunction server:([%w_]+)") do
      assert.is_truthy(page:find("server:" .. name, 1, true) or name == "close", name)
    end
  end)

  it("names every code", function()
    local codes = types:match("%-%-%-@alias fcgi.code\n(.-)\n\n")
    assert.same(names(codes, '"(%u+)"'), column("code"))
  end)

  it("leads to the table of reasons of an abort", function()
    local alias = types:match("%-%-%-@alias fcgi.abort_reason\n(.-)\n\n")
    local python = support.read_file(support.source .. "/docs/python.md")
    assert.same(names(alias, '| "(%l+)"'), names(python, '\n| `"(%l+)"` |'))
  end)

  it("names the options of fcgi.serve that the launcher has in another form", function()
    local source = support.read_file(support.source .. "/bindings/lua/src/options.c")
    local others = names(source:match("others%[%] = (.-);"), '{"([%w_]+)"')
    others.threads, others.workers = true, true
    assert.same(others, column("option of `fcgi.serve`"))
  end)

  it("has the defaults of the limits of a body", function()
    for name, default in page:gmatch("`([%w_]+)` %((%d+%u)%)") do
      assert.equal(default, types:match("Default: (%w+)%.\n%-%-%-@field " .. name .. "%?"), name)
    end
  end)

  it("says for which Lua the module compiles", function()
    for version, compiles in pairs { [501] = false, [502] = false, [503] = false, [504] = true } do
      local stub = directory .. "/" .. version
      os.execute(("mkdir %s; touch %s/lauxlib.h %s/lualib.h"):format(stub, stub, stub))
      support.write_file(stub .. "/lua.h", ("#define LUA_VERSION_NUM %d\n"):format(version))
      local said, status = run(("%s -fsyntax-only -I%s %s/bindings/lua/src/compat.h"):format(
        os.getenv "FASTCGI_CC" or "cc", stub, support.source))
      assert.equal(compiles, status == 0)
      assert.equal(not compiles, said:find("needs Lua 5.4", 1, true) ~= nil)
    end
  end)
end)

describe("a request, as docs/lua.md says,", function()
  it("has parameters, which end with it unless they are copied", function()
    local kept, copy
    local asked <close> = assert(test.client(function(req)
      kept, copy = req, req.params:copy()
      assert(not req.params.PATH and not req.params.NOT_SENT)
      return 200, {}, req.params.QUERY_STRING .. req.params.HTTP_USER_AGENT
    end))
    assert.equal("a=1spec", asked:get("/?a=1", { headers = { ["User-Agent"] = "spec" } }).body)
    assert.equal("a=1", copy.QUERY_STRING)
    assert.has_error(function() return kept.params end, "the request is finished")
    assert.has_error(function() return kept.method end, "the request is finished")
  end)

  it("is read like a file", function()
    local asked <close> = assert(test.client(function(req)
      local parts = { req:read(2), req:read("l"), req:read("L"), req:read("a"), req:read("a"), tostring(req:read(1)) }
      return 200, { ["X-Length"] = req.content_length or "none" }, table.concat(parts, "|")
    end))
    local response = asked:post("/", "12345\nline\nrest")
    assert.same({ "12|345|line\n|rest||nil", "15" }, { response.body, response.headers["X-Length"] })
    local lines <close> = assert(test.client(function(req)
      local list = {}
      for line in req:lines() do list[#list + 1] = line end
      return 200, { ["X-Length"] = req.content_length or "none" }, table.concat(list, "|")
    end))
    assert.equal("a|b", lines:post("/", "a\nb\n").body)
    assert.equal("none", lines:get("/").headers["X-Length"])
  end)

  it("has a body within its limit", function()
    local asked <close> = assert(test.client { limit_request_body = 3, handler = function(req)
      return 200, {}, req:read("a")
    end })
    assert.same({ "abc", 413 }, { asked:post("/", "abc").body, asked:post("/", "abcd").status })
  end)

  it("arrives while it is read with `stream`", function()
    local asked <close> = assert(test.client { stream = true, handler = function(req)
      req:set_timeout(0)
      local first = req:read_some()
      return 200, {}, first .. "|" .. select(3, req:read_some())
    end })
    local connection <close> = assert(asked:connection())
    assert(connection:begin { body = "whole" })
    assert(connection:stdin("who"))
    assert.equal("who|AGAIN", assert(connection:response()).body)
  end)

  it("knows that its client has left, and may answer after a mere record", function()
    for stream, read in pairs { ["true"] = "nil ABORTED", ["false"] = "whole nil" } do
      local server <close> = support.launch(([[return { stream = %s, handler = function(req)
        assert(req.aborted == false)
        req:start(200):write("begun "):flush()
        repeat until req.aborted
        local data, _, code = req:read("a")
        assert(req:write(req.aborted, " ", tostring(data), " ", tostring(code)))
      end }]]):format(stream))
      local peer <close> = server:connect()
      peer:begin { body = "whole" }
      if stream == "false" then
        peer:stdin("whole")
        peer:stdin("")
      end
      local begun = peer:stdout()
      peer:abort()
      assert.matches("begun record " .. read, begun .. peer:response().stdout, 1, true)
    end
  end)

  it("that fails for a client that has left is not logged", function()
    local server <close> = support.launch([[
      local entered
      return function(req)
        if req.path == "/entered" then return 200, {}, tostring(entered) end
        entered = true
        repeat until req.aborted
        assert(req:write(("x"):rep(1 << 20)))
      end]])
    for _ = 1, 3 do
      local peer <close> = server:connect()
      peer:request {}
      client.sleep(0.1)
    end
    assert.equal("true", server:ask({ params = { PATH_INFO = "/entered" } }).body)
    assert.equal(0, server:stop())
    assert.is_nil(server:log():find("traceback", 1, true), server:log())
  end)

  it("is of a role that there is", function()
    local roles = {
      authorizer = function(req) return req:allow { NAME = req.role } end,
      filter = function(req) return 200, {}, req:read_data("a") .. req.data_length end,
      guess = { number = 9, streams = "stdin", handler = function(req) return 200, {}, req:read("a") end },
    }
    local asked <close> = assert(test.client { handler = function() return 200 end, roles = roles })
    assert.equal("authorizer", asked:request({ role = "authorizer" }).headers["Variable-NAME"])
    assert.equal("file4", asked:request({ role = "filter", data = "file" }).body)
    assert.equal("guessed", asked:request({ role = 9, body = "guessed" }).body)
    assert.equal(200, asked:get("/").status)
    assert.equal(3, asked:request({ role = 10 }).protocol_status)
  end)
end)

describe("an answer, as docs/lua.md says,", function()
  local server
  setup(function() server = support.launch(directory .. "/answers.lua", "--chdir " .. directory) end)
  teardown(function() server:__close() end)

  local function ask(path)
    return server:ask { params = { PATH_INFO = path, REQUEST_URI = path } }
  end

  it("has the form that the handler likes", function()
    local list, pieces, raw = ask("/list"), ask("/pieces"), ask("/raw")
    assert.same({ 200, "one 2\n", "6" }, { list.status, list.body, list.headers["content-length"] })
    assert.matches("\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n", "\r\n" .. list.stdout, 1, true)
    assert.same({ 200, "1\n2\n3\n" }, { pieces.status, pieces.body })
    assert.is_nil(pieces.headers["content-length"])
    assert.equal("one 2\n", ask("/written").body)
    assert.equal(files["answers.lua"], ask("/file").body)
    assert.same({ 302, "/list" }, { raw.status, raw.headers.location })
    assert.same({ 404, "There is no such answer.\n" }, { ask("/none").status, ask("/none").body })
  end)

  it("may be sent by methods", function()
    local response = support.ask(function(req)
      assert(req:log("a line"))
      assert(req:reply(201, { ["X-A"] = 1 }, "all"))
      assert(req:finish())
    end)
    assert.same({ 201, "1", "all", "a line\n" },
      { response.status, response.headers["x-a"], response.body, response.stderr })
    local sent = support.ask(function(req)
      req:start(200)
      local pipe <close> = io.popen("printf abc")
      assert(assert(req:send_file(pipe)):send_file(directory .. "/hello.lua", 3, 9))
      assert(req:flush())
    end)
    assert.equal("abchello.lua", sent.body)
  end)

  for what, handler in pairs {
    ["a line break in a header"] = function() return 200, { ["X-A"] = "b\r\nX-B: c" } end,
    ["a name that is no token"] = function() return 200, { ["X A"] = "b" } end,
    ["another length"] = function() return 200, { ["Content-Length"] = 9 }, "abc" end,
    ["a status that is none"] = function() return 99 end,
    ["nothing"] = function() end,
    ["nil and a message"] = function() return nil, "no luck" end,
    ["a file that is not there"] = function(req) return req:send_file("/none") end,
    ["a yield"] = function() coroutine.yield() end,
    ["a function that raises"] = function() return 200, {}, function() error("x") end end,
    ["a variable that raises"] = function()
      local _ <close> = setmetatable({}, { __close = function() error("x") end })
      return 200, {}, "lost"
    end,
    ["os.exit"] = function() os.exit() end,
  } do
    it("is a 500 for " .. what, function()
      assert.equal(500, support.ask(handler).status)
    end)
  end

  it("leaves headers of the connection out", function()
    local response = support.ask(function() return 200, { ["Transfer-Encoding"] = "chunked" }, "abc" end)
    assert.same({ "abc" }, { response.body, response.headers["transfer-encoding"] })
  end)

  it("that has begun is cut, and the traceback shows objects by __tostring", function()
    local fails <close> = support.launch([[return function(req)
      req:start(200):write("begun"):flush()
      error(setmetatable({}, { __tostring = function() return "my object" end }))
    end]])
    assert.is_truthy(fails:ask().cut or fails:ask().app_status ~= 0)
    assert.matches("my object\nstack traceback:", fails:log(), 1, true)
  end)

  it("does not come from a file that calls os.exit", function()
    support.write_file(directory .. "/leaves.lua", "os.exit(0)")
    local said, status = run("fcgi-lua leaves.lua --bind unix:leaves.sock")
    assert.equal(1, status)
    assert.matches("os.exit was called", said, 1, true)
  end)
end)

describe("a program of docs/lua.md", function()
  it("serves itself until SIGTERM", function()
    for _, signal in ipairs { "TERM", "INT" } do
      local server <close> = support.run_program(files["own.lua"], "lua5.4")
      assert.equal("Hello from /x\n", server:ask({ params = { PATH_INFO = "/x", REQUEST_URI = "/x" } }).body)
      server:signal(signal)
      assert.equal("0\n", support.wait_for(function()
        return support.read_file(server.status_path):match("%d+\n")
      end, "its end"))
    end
    assert.matches("no listener", (run("lua5.4 own.lua")), 1, true)
  end)

  it("is told no address by the client of a CGI server", function()
    local said = run("GATEWAY_INTERFACE=CGI/1.1 REQUEST_METHOD=GET PATH_INFO=/x lua5.4 own.lua unix:there.sock")
    assert.matches("\r\n\r\nHello from /x\n$", said)
    assert.is_falsy(support.exists(directory .. "/there.sock"))
  end)

  it("says where it listens, and takes options of the launcher", function()
    local serves = [[
      local fcgi = require "fcgi"
      assert(fcgi.serve { bind = arg[1], app = "hello.lua", threads = 2, socket_mode = "600",
        listening = function(addresses) return "it is " .. addresses[1] end })]]
    local server <close> = support.run_program(serves:gsub("hello.lua", directory .. "/hello.lua"), "lua5.4")
    assert.equal("600\n", (support.shell("stat -c %a " .. server.path)))
    assert.matches("it is unix:" .. server.path, server:log(), 1, true)
    assert.matches("did you mean 'threads'?", select(2, pcall(fcgi.serve, { thread = 2 })), 1, true)
    local served, message, code = fcgi.serve { handler = print, bind = "unix:/none/x" }
    assert.same({ true, "string", "string" }, { served == nil, type(message), type(code) })
  end)

  it("counts in every thread, and in all", function()
    for _, options in ipairs { "--threads 2", "--workers 2 --shared visits=1M" .. root } do
      local server <close> = support.launch(directory .. "/count.lua", options)
      local most = 0
      for number = 1, 40 do
        local visit, mine = server:ask().body:match("^visit (%d+), number (%d+) here\n$")
        assert.equal(number, tonumber(visit))
        assert.is_true(tonumber(mine) <= number)
        most = math.max(most, tonumber(mine))
      end
      assert.is_true(most >= 20)
    end
  end)

  it("with an event loop answers, and ends when it is stopped", function()
    local ended = files["select.lua"] .. "io.stderr:write('it has ended: ', code, '\\n')\n"
    local launcher = ("%s/tools/fcgi run --bind unix:PATH%s -- lua5.4"):format(build, root)
    local server <close> = support.run_program(ended, launcher, " ")
    local peer <close> = server:connect()
    for id = 1, 20 do
      peer:request { id = id }
    end
    for id = 1, 20 do
      assert.equal("Hello\n", peer:response(id).body)
      assert.equal("Hello\n", server:ask().body)
    end
    assert.equal(0, server:stop())
    assert.matches("it has ended: CLOSED", server:log(), 1, true)
  end)

  it("is polled by cqueues", function()
    local found, cqueues = pcall(require, "cqueues")
    if not found then
      return pending "lua-cqueues is not installed"
    end
    support.with_server({}, function(server, path)
      local loop, peer = cqueues.new(), client.connect(path)
      local polls, _, code = 0, nil, nil
      loop:wrap(function()
        repeat
          local req
          req, _, code = server:accept(0)
          if req then
            req:reply(200, {}, "polled")
          elseif code == "TIMEOUT" then
            polls = polls + 1
            cqueues.poll(server)
          end
        until code and code ~= "TIMEOUT"
      end)
      loop:wrap(function()
        for _ = 1, 3 do
          peer:request {}
          while not socket.select({ peer.stream }, nil, 0)[1] do cqueues.sleep(0.01) end
          assert.equal("polled", peer:response().body)
        end
        server:stop()
      end)
      assert(loop:loop())
      peer:close()
      assert.equal("CLOSED", code)
      assert.is_true(polls >= 3)
    end)
  end)

  it("serves WSAPI", function()
    local app = [[
      local function shop(env)
        assert(env.NOT_SENT == "" and env.PATH_INFO == "/x")
        env.error:write("told")
        local left = { "!", env.input:read(), "POST" == env.REQUEST_METHOD and "posted " or "got " }
        return %s, { ["X-Type"] = env.CONTENT_TYPE, ["X-List"] = { 1, 2 } }, function() return table.remove(left) end
      end
      return %s]]
    for status, returned in pairs { ['"201 Created"'] = "shop", ["201"] = "{ run = shop }" } do
      support.write_file(directory .. "/shop.lua", app:format(status, returned))
      local asked <close> = assert(test.client { app = directory .. "/shop_fcgi.lua" })
      local response = assert(asked:post("/x", "body", { headers = { ["Content-Type"] = "text/x" } }))
      assert.same({ 201, "posted body!", "text/x", "told\n" },
        { response.status, response.body, response.headers["X-Type"], response.stderr })
    end
  end)

  it("tests the smallest one", function()
    assert.same({ "", 0 }, { run("lua5.4 hello_test.lua") })
    support.write_file(directory .. "/wrong_test.lua", (files["hello_test.lua"]:gsub("Hello from", "Bye from")))
    assert.not_equal(0, (select(2, run("lua5.4 wrong_test.lua"))))
  end)

  it("is asked by fcgi call", function()
    local server <close> = support.launch([[return function(req)
      return 200, { ["X-A"] = req.params.HTTP_X_B }, req:read("a")
    end]])
    local said = run(("fcgi call --include unix:%s /x -d body -H 'X-B: c'"):format(server.path))
    assert.matches("X-A: c\r?\n", said)
    assert.matches("\n\r?\nbody$", said)
  end)

  it("that is forked owns nothing of the server", function()
    if not forks then
      return pending "processes.so is not built"
    end
    local said
    support.with_server({}, function(server, path)
      local peer <close> = client.connect(path)
      peer:request {}
      assert(server:serve(function(req)
        assert(not server:forked())
        said = forks.run(function()
          return tostring(server:forked()) .. tostring(req:write("x")) .. tostring(server:accept(0))
        end)
        server:stop()
        return 200, {}, "of the parent"
      end))
      assert.equal("of the parent", peer:response().body)
    end)
    assert.equal("truenilnil", said)
  end)
end)
