-- SPDX-License-Identifier: MIT
package.path = debug.getinfo(1, "S").source:match("^@(.*/)") .. "?.lua;" .. package.path
local client = require "client"
local support = require "support"

local directory
local good = "return function() return 200, {}, 'hi' end"

-- Runs the launcher to its end; returns its exit status and its output.
local function run(arguments)
  local output, status = support.shell(("cd %s; timeout 20 %s %s </dev/null 2>&1"):format(
    directory, support.launcher, arguments))
  return status, output
end

-- The one line of a launcher that must fail.
local function fails(status, pattern, arguments)
  local got, output = run(arguments)
  assert.equal(status, got, output)
  assert.matches("^fcgi%-lua: [^\n]+\n$", output)
  assert.matches(pattern, output, 1, true)
end

describe("fcgi-lua", function()
  setup(function()
    directory = support.directory()
    support.write_file(directory .. "/good.lua", good)
    support.write_file(directory .. "/broken.lua", "return function(\n")
    support.write_file(directory .. "/raises.lua", "error('no database')\n")
    support.write_file(directory .. "/object.lua", "error({})\n")
    support.write_file(directory .. "/mute.lua", "error(setmetatable({}, { __tostring = error }))\n")
    support.write_file(directory .. "/requires.lua", "require 'not_there_at_all'\n")
    support.write_file(directory .. "/number.lua", "return 42\n")
    support.write_file(directory .. "/table.lua", "return {run = print}\n")
  end)
  teardown(function() support.remove(directory) end)

  it("shows help and its version", function()
    local status, output = run("--help")
    assert.equal(0, status)
    assert.matches("usage: fcgi-lua [options] app.lua", output, 1, true)
    assert.matches("--threads N", output, 1, true)
    status, output = run("--version")
    assert.equal(0, status)
    assert.equal("fcgi-lua " .. require("fcgi")._VERSION:match("%S+$") .. "\n", output)
  end)

  it("exits with 2 for a wrong command line", function()
    fails(2, "no option --bogus", "good.lua --bogus --bind unix:x.sock")
    fails(2, "no option -x", "good.lua -x")
    fails(2, "--preload: workers load the application themselves", "good.lua --preload")
    fails(2, "no application given", "--bind unix:x.sock")
    fails(2, "--bind needs a value", "good.lua --bind")
    fails(2, "--threads=many: must be a whole number from 1 to 4096", "good.lua --threads many")
    fails(2, "--threads=0: must be a whole number from 1 to 4096", "good.lua --threads 0")
    fails(2, "--io-timeout=soon: must be a time above 0 up to 2147483.647s", "good.lua --io-timeout soon")
    fails(2, "--stream takes no value", "good.lua --stream=yes")
    fails(2, "--socket-mode=999: must be an octal mode from 001 to 777 (such as 660)",
      "good.lua --bind unix:x.sock --socket-mode 999")
    fails(2, "one application only", "good.lua other.lua")
  end)

  it("reads numbers whole or refuses them", function()
    for _, text in ipairs { "-1", "0x10", "' 5'", "'5 '", "+5", "1e3", "5x", "99999999999999999999" } do
      for _, name in ipairs { "threads", "max-requests", "limit-request-body", "io-timeout", "workers", "umask" } do
        fails(2, ("--%s=%s: must be "):format(name, (text:gsub("'", ""))), ("good.lua --%s %s"):format(name, text))
      end
    end
    for _, user in ipairs { "4294967295", "4294967296", "0x10", "+5", "-1" } do
      fails(2, ("--peer-users=%s: must be users"):format(user), "good.lua --peer-users " .. user)
    end
  end)

  describe("finds modules beside the application", function()
    -- It loads and says what it has found, which stands in no directory of LUA_PATH.
    local found = "error(require('beside') .. ' ' .. require('pack') .. ' ' .. require('part.inner'), 0)\n"
    local source = support.source .. "/bindings/lua"
    local paths = ("%s/?.lua;%s/?/init.lua"):format(source, source)
    local place, elsewhere

    -- Started in `from`, with a LUA_PATH that has no "./?.lua".
    local function says(from, arguments, more)
      return (support.shell(("cd '%s'; LUA_PATH='%s%s' timeout 60 %s %s 2>&1 </dev/null"):format(
        from, more or "", paths, support.launcher, arguments)))
    end

    setup(function()
      elsewhere = directory .. "/elsewhere"
      place = directory .. "/the place"
      os.execute(("mkdir -p '%s/pack' '%s/part' '%s'"):format(place, place, elsewhere))
      os.execute(("ln -s 'the place' '%s/link'; ln -s '../the place' '%s/here'"):format(directory, elsewhere))
      support.write_file(place .. "/app.lua", found)
      support.write_file(place .. "/beside.lua", "return 'beside'\n")
      support.write_file(place .. "/pack/init.lua", "return 'pack'\n")
      support.write_file(place .. "/part/inner.lua", "return 'inner'\n")
    end)

    for _, options in ipairs { "", " --threads 2", " --workers 1 --allow-root" } do
      options = options .. " --bind unix:y.sock"
      it("with" .. options, function()
        local ways = {
          { place, "app.lua" }, { place, "./app.lua" }, { place, "'../the place/app.lua'" },
          { directory, "'the place/app.lua'" }, { directory, "link/app.lua" }, { elsewhere, "here/app.lua" },
          { elsewhere, ("'%s/app.lua'"):format(place) },
          { elsewhere, ("--chdir '%s' app.lua"):format(place) },
          { elsewhere, "--chdir here app.lua" },
          { directory, "--chdir elsewhere '../the place/app.lua'" },
        }
        for _, way in ipairs(ways) do
          assert.matches("beside pack inner\n", says(way[1], way[2] .. options))
        end
      end)
    end

    it("before those of LUA_PATH", function()
      support.write_file(elsewhere .. "/beside.lua", "return 'elsewhere'\n")
      local more = elsewhere .. "/?.lua;"
      assert.matches("beside pack inner\n", says(elsewhere, ("'%s/app.lua' --bind unix:y.sock"):format(place), more))
    end)

    it("in the state of every thread and worker", function()
      support.write_file(place .. "/serves.lua", [[
        return function(req)
          if req.params.WAIT then os.execute("sleep " .. req.params.WAIT) end
          return 200, {}, require "beside" .. " " .. tostring(_G)
        end]])
      for options, states in pairs { [""] = 1, ["--threads 3"] = 3, ["--workers 2 --threads 2 --allow-root"] = 1 } do
        local server <close> = support.launch(directory .. "/link/serves.lua", options)
        local peers, seen, count = {}, {}, 0
        for i = 1, states do
          peers[i] = server:connect()
          peers[i]:request { params = { WAIT = "0.5" } }
        end
        for i = 1, states do
          local state = peers[i]:response().body:match "^beside (table: .*)"
          assert.is_string(state)
          count = seen[state] and count or count + 1
          seen[state] = true
          peers[i]:close()
        end
        assert.equal(states, count)
        for _ = 1, 8 do
          assert.matches("^beside ", server:ask().body)
        end
      end
    end)

    it("and says where it has looked", function()
      support.write_file(place .. "/lacks.lua", "print(select(2, pcall(require, 'absent')))\n")
      local text = says(elsewhere, ("'%s/lacks.lua' --bind unix:y.sock"):format(place))
      for _, file in ipairs { place .. "/absent.lua", place .. "/absent/init.lua", place .. "/absent.so",
        source .. "/absent.lua", source .. "/absent/init.lua" } do
        assert.matches(("no file '%s'\n"):format(file), text, 1, true)
      end
    end)
  end)

  for _, threads in ipairs { "1", "2" } do
    local options = " --bind unix:x.sock --threads " .. threads

    it("exits with 1 when the application does not load, threads " .. threads, function()
      fails(1, "cannot open no_such_file.lua", "no_such_file.lua" .. options)
      fails(1, "broken.lua:2:", "broken.lua" .. options)
      fails(1, "raises.lua:1: no database", "raises.lua" .. options)
      fails(1, "(error object is a table value)", "object.lua" .. options)
      fails(1, "(error object is a table value)", "mute.lua" .. options)
      fails(1, "module 'not_there_at_all' not found", "requires.lua" .. options)
      fails(1, "number.lua returned a number; it must return the handler function", "number.lua" .. options)
      fails(1, "table.lua returned a table without a handler", "table.lua" .. options)
      assert.is_falsy(support.exists(directory .. "/x.sock"))
    end)

    it("exits with 1 when it cannot listen, threads " .. threads, function()
      local server <close> = support.launch(good)
      fails(1, server.path, "good.lua --bind unix:" .. server.path .. " --threads " .. threads)
      assert.equal("hi", server:ask().body)
      fails(1, "nonsense", "good.lua --bind nonsense --threads " .. threads)
      fails(1, "--bind", "good.lua --threads " .. threads)
    end)

    it("replaces a stale socket, threads " .. threads, function()
      local first <close> = support.launch(good)
      first:signal("KILL")
      support.wait_for(function() return not client.try(first.path) end, "its death")
      local path = first.path
      assert.equal("socket\n", (support.shell("stat -c %F " .. path)))
      local pid = support.shell(("%s --bind unix:%s --threads %s %s/good.lua >/dev/null 2>&1 & echo $!"):format(
        support.launcher, path, threads, directory)):match("%d+")
      local peer = support.wait_for(function() return client.try(path) end, "the next one")
      peer:request {}
      assert.equal("hi", peer:response().body)
      peer:close()
      os.execute("kill " .. pid)
      support.wait_for(function() return not os.execute("kill -0 " .. pid .. " 2>/dev/null") end, "its end")
    end)
  end

  it("stops on SIGTERM and on SIGINT with status 0", function()
    for _, name in ipairs { "TERM", "INT" } do
      local server <close> = support.launch(good)
      assert.equal("hi", server:ask().body)
      server:signal(name)
      assert.equal("0", support.wait_for(function()
        return support.read_file(server.status_path):match("%d+")
      end, "its end"))
      assert.is_falsy(support.exists(server.path))
      assert.equal(("fcgi-lua: serving %s/app.lua on unix:%s with 1 thread\n"):format(
        server.directory, server.path), server:log())
    end
  end)

  it("tells every address where it listens, or nothing with --log-level warning", function()
    local server <close> = support.launch(good, "--bind 127.0.0.1:0 --threads 2")
    support.wait_for(function() return server:log():find("\n", 1, true) end, "a line")
    assert.matches("^fcgi%-lua: serving [^ ]*/app.lua on unix:[^ ]+, 127%.0%.0%.1:[1-9]%d* with 2 threads\n$",
      server:log())
    local quiet <close> = support.launch(good, "--log-level warning")
    assert.equal("hi", quiet:ask().body)
    assert.equal(0, quiet:stop())
    assert.equal("", quiet:log())
  end)

  it("gives the application its arguments", function()
    local path = support.write_file(directory .. "/args.lua", [[
      local words = { arg[0], table.concat(arg, ","), table.concat({ ... }, ",") }
      return function() return 200, {}, table.concat(words, "|") end]])
    for _, threads in ipairs { "1", "2" } do
      local server <close> = support.launch(path .. " -- one '--two x'", "--threads " .. threads)
      assert.equal(path .. "|one,--two x|one,--two x", server:ask().body)
    end
  end)

  it("takes the options of a server", function()
    local server <close> = support.launch(good,
      "--socket-mode 0600 --backlog=7 --limit-request-body 10 --io-timeout 0")
    assert.equal("600\n", (support.shell("stat -c %a " .. server.path)))
    assert.equal(413, server:ask({ body = "12345678901" }).status)
    assert.equal("hi", server:ask({ body = "1234567890" }).body)
  end)

  it("streams with --stream, or when the application asks for it", function()
    local handler = "function(req) return 200, {}, req:read_some() end"
    for option, app in pairs { ["--stream"] = "return " .. handler,
      ["--threads 1"] = "return { stream = true, handler = " .. handler .. " }",
      ["--threads 2"] = "return { stream = true, handler = " .. handler .. " }" } do
      local server <close> = support.launch(app, option)
      local peer <close> = server:connect()
      peer:begin { method = "POST", params = { CONTENT_LENGTH = "100" } }
      peer:stdin("early")
      assert.matches("early$", peer:stdout())
    end
  end)
end)
