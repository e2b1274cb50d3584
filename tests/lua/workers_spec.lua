-- SPDX-License-Identifier: MIT
package.path = debug.getinfo(1, "S").source:match("^@(.*/)") .. "?.lua;" .. package.path
local client = require "client"
local support = require "support"

local root = support.shell("id -u") == "0\n" and " --allow-root" or ""
local app = "return function() return 200, {}, 'VERSION' end"
local page = support.source .. "/docs/processes.md"

local function write(server, version)
  support.write_file(server.directory .. "/new", (app:gsub("VERSION", version)))
  assert(os.rename(server.directory .. "/new", server.directory .. "/app.lua"))
end

local function launch(arguments)
  local server = support.launch((app:gsub("VERSION", "one")), arguments .. root)
  support.wait_for(function() return server:log():find("ready after", 1, true) end, "the workers")
  return server
end

-- The process ids of the workers, as a list and as a set.
local function workers(server)
  local list, set = {}, {}
  local found = support.shell(("ps -o pid=,stat= --ppid %s"):format(server.pid))
  for pid, state in found:gmatch("(%d+) +(%S+)") do
    if state:sub(1, 1) ~= "Z" then
      list[#list + 1], set[pid] = pid, true
    end
  end
  return list, set
end

local function wait_for_version(server, version)
  support.wait_for(function() return server:ask().body == version end, version)
end

local asking = [[
  package.path = "%s/tests/lua/?.lua;" .. package.path
  local client = require "client"
  local seen, failed = {}, 0
  local function stopped()
    local file = io.open("%s/stop")
    return file and file:close()
  end
  while not stopped() do
    local fine, body = pcall(function()
      local peer <close> = client.connect("%s")
      peer:request {}
      local response = peer:response()
      assert(response.status == 200)
      return response.body
    end)
    if fine then seen[body] = (seen[body] or 0) + 1 else failed = failed + 1 end
  end
  local names = {}
  for name in pairs(seen) do names[#names + 1] = name end
  table.sort(names)
  local out = assert(io.open("%s/result.new", "w"))
  out:write(("%%d %%s\n"):format(failed, table.concat(names, " ")))
  out:close()
  os.rename("%s/result.new", "%s/result")]]

-- Another process that asks all the time; returns what ends it and tells how
-- many requests failed, and which answers came.
local function ask_meanwhile(server)
  local d = server.directory
  local path = support.write_file(d .. "/asking.lua",
    asking:format(support.source, d, server.path, d, d, d))
  os.execute(("lua5.4 %s >%s/asking.log 2>&1 &"):format(path, d))
  return function()
    support.write_file(d .. "/stop", "")
    return support.wait_for(function()
      return support.read_file(d .. "/result"):match("(.*)\n")
    end, "the answers: " .. support.read_file(d .. "/asking.log"))
  end
end

describe("fcgi-lua --workers", function()
  it("serves new code after SIGHUP and loses nothing", function()
    local server <close> = launch("--workers 2")
    local _, before = workers(server)
    local finish = ask_meanwhile(server)
    for _, version in ipairs { "two", "three" } do
      client.sleep(0.1)
      write(server, version)
      server:signal("HUP")
      wait_for_version(server, version)
    end
    support.wait_for(function() return #workers(server) == 2 end, "one generation")
    assert.equal("0 one three two", finish())
    for _, pid in ipairs((workers(server))) do
      assert.is_nil(before[pid])
    end
    assert.equal(0, server:stop())
    assert.is_falsy(support.exists(server.path))
  end)

  it("keeps the old code when the new is broken", function()
    local server <close> = launch("--workers 2")
    local before = workers(server)
    local finish = ask_meanwhile(server)
    client.sleep(0.1)
    support.write_file(server.directory .. "/app.lua", "return function(\n")
    server:signal("HUP")
    support.wait_for(function() return server:log():find("goes on serving", 1, true) end, "a line")
    assert.matches("app.lua:2:", server:log(), 1, true)
    support.wait_for(function() return #workers(server) == 2 end, "the old ones alone")
    assert.equal("0 one", finish())
    table.sort(before)
    local after = workers(server)
    table.sort(after)
    assert.same(before, after)
  end)

  it("replaces a killed worker, and stops all on SIGTERM", function()
    local server <close> = launch("--workers 2 --threads 2")
    local victim = workers(server)[1]
    os.execute("kill -KILL " .. victim)
    support.wait_for(function()
      local list, set = workers(server)
      return #list == 2 and not set[victim]
    end, "another one")
    support.wait_for(function() return server:ask().body == "one" end, "an answer")
    local list = workers(server)
    assert.equal(0, server:stop())
    for _, pid in ipairs(list) do
      assert.is_falsy(os.execute(("kill -0 %s 2>/dev/null"):format(pid)))
    end
  end)

  it("replaces workers after --max-requests, and loses nothing", function()
    local server <close> = launch("--workers 2 --max-requests 20 --max-requests-jitter 5")
    local _, before = workers(server)
    local finish = ask_meanwhile(server)
    support.wait_for(function()
      local list, set = workers(server)
      for pid in pairs(before) do
        if set[pid] then
          return false
        end
      end
      return #list == 2
    end, "other workers")
    assert.equal("0 one", finish())
    assert.matches("as many requests as it may, and is replaced", server:log(), 1, true)
  end)

  it("ends without a supervisor after --max-requests", function()
    local server <close> = support.launch(app, "--max-requests 2 --workers 0")
    assert.equal(200, server:ask().status)
    assert.equal(200, server:ask().status)
    assert.equal("0", support.wait_for(function()
      return support.read_file(server.status_path):match("%d+")
    end, "its end"))
  end)

  it("watches the code with --reload", function()
    local server <close> = launch("--reload --reload-extra-file " .. page:gsub("%.md$", ".none"))
    assert.equal(1, #workers(server))
    client.sleep(1.2)
    write(server, "two")
    wait_for_version(server, "two")
    assert.matches("the code has changed, last [^\n]*/app.lua\n", server:log())
    support.write_file(server.directory .. "/app.lua", "return function(\n")
    support.wait_for(function() return server:log():find("goes on serving", 1, true) end, "a failure")
    write(server, "three")
    wait_for_version(server, "three")
  end)

  it("exits with 3 when the workers do not start", function()
    local directory = support.directory()
    support.write_file(directory .. "/broken.lua", "return function(\n")
    local output, status = support.shell(("cd %s; timeout 20 %s --workers 2 --bind unix:x %s broken.lua 2>&1"):format(
      directory, support.launcher, root))
    assert.equal(3, status)
    assert.matches("cannot start: worker %d+ exited with status 1 before it was ready\n", output)
    support.remove(directory)
  end)

  it("goes to a directory, sets modes and writes its id", function()
    local directory = support.directory()
    support.write_file(directory .. "/app.lua",
      "io.open('made', 'w'):close() return function() return 200, {}, 'here' end")
    local server <close> = support.launch(directory .. "/app.lua",
      ("--workers 1 %s --chdir %s --umask 027 --socket-mode 0600 --pid pid --max-worker-age 1h "
      .. "--graceful-timeout 5s --log-level warning"):format(root, directory))
    assert.equal("here", server:ask().body)
    assert.equal("640\n", (support.shell("stat -c %a " .. directory .. "/made")))
    assert.equal("600\n", (support.shell("stat -c %a " .. server.path)))
    assert.equal(server.pid .. "\n", support.read_file(directory .. "/pid"))
    assert.equal("", server:log())
    server:stop()
    support.remove(directory)
  end)
end)

describe("fcgi.serve with workers", function()
  -- Runs a program, given as its text, until the function returns.
  local function with_program(text, check)
    local directory = support.directory()
    support.write_file(directory .. "/program.lua", text)
    os.execute(("cd %s; (lua5.4 program.lua >log 2>&1 & echo $! >pid)"):format(directory))
    local pid = support.wait_for(function()
      return support.read_file(directory .. "/pid"):match("%d+")
    end, "a process")
    local fine, message = pcall(check, directory, pid)
    os.execute(("kill %s 2>/dev/null"):format(pid))
    support.wait_for(function() return not os.execute(("kill -0 %s 2>/dev/null"):format(pid)) end, "its end")
    local log = support.read_file(directory .. "/log")
    support.remove(directory)
    assert(fine, ("%s\n%s"):format(message, log))
    return log
  end

  local function ask(path)
    local peer <close> = client.connect(path)
    peer:request {}
    return peer:response().body
  end

  it("runs the program of docs/processes.md again as each worker", function()
    local text = support.read_file(page):match("```lua\n(local fcgi.-)```")
    text = text:gsub("workers = 2,", "workers = 2, allow_root = true,")
    with_program(text, function(directory, pid)
      local path = directory .. "/hello.sock"
      support.wait_for(function()
        return support.read_file(directory .. "/log"):find("2 workers are ready", 1, true)
      end, "workers")
      assert.equal("Hello\n", ask(path))
      support.write_file(directory .. "/program.lua", (text:gsub("Hello", "Changed")))
      os.execute("kill -HUP " .. pid)
      support.wait_for(function() return ask(path) == "Changed\n" end, "the new program")
    end)
  end)

  it("tells why there are no workers", function()
    local function tell(text)
      return (support.shell(("cd /tmp; lua5.4 - 2>&1 <<'END'\n%s\nEND"):format(text)))
    end
    local call = "print(select(2, pcall(require('fcgi').serve, { handler = print, bind = 'unix:x', %s })))"
    assert.matches("put it into a file, or name the application", tell(call:format "workers = 2"), 1, true)
    assert.matches("option 'user' needs option 'workers'", tell(call:format "user = 'x'"), 1, true)
    with_program("print(select(2, pcall(require('fcgi').serve, { handler = print, workers = 1.5 })))",
      function(directory)
        support.wait_for(function()
          return support.read_file(directory .. "/log"):find("'workers' must be an integer from 0 to 4096", 1, true)
        end, "a line")
      end)
  end)
end)

describe("the options of fcgi-lua", function()
  local directory
  setup(function()
    directory = support.directory()
    support.write_file(directory .. "/app.lua", "return function() return 200, {}, 'x' end")
    support.write_file(directory .. "/broken.lua", "return function(\n")
  end)
  teardown(function() support.remove(directory) end)

  local function run(arguments, environment)
    local output, status = support.shell(("cd %s; env %s timeout 20 %s %s </dev/null 2>&1"):format(
      directory, environment or "", support.launcher, arguments))
    return status, output
  end

  local function file(text)
    support.write_file(directory .. "/conf.toml", text)
  end

  it("come from the file, the environment and the command line, the later first", function()
    file("app = 'app.lua'\nthreads = 2\nbacklog = 2\nworkers = 2\nstream = true\nbind = ['unix:a', 'unix:b']\n")
    local status, output = run("--config conf.toml --workers 5 --print-config",
      "FASTCGI_BACKLOG=4 FASTCGI_WORKERS=4")
    assert.equal(0, status)
    for _, line in ipairs { 'app = "app.lua"  # file conf.toml', 'threads = "2"  # file conf.toml',
      'backlog = "4"  # environment FASTCGI_BACKLOG', 'workers = "5"  # command line',
      "stream = true  # file conf.toml", 'bind = ["unix:a", "unix:b"]  # file conf.toml',
      '# limit_request_body = "1G"  # default' } do
      assert.matches("\n" .. line .. "\n", "\n" .. output, 1, true)
    end
    file(output)
    local again = select(2, run("--config conf.toml --print-config"))
    assert.equal(output:gsub("  # [^\n]*", ""), (again:gsub("  # [^\n]*", "")))
  end)

  it("name their file in the environment too", function()
    file "threads = 3"
    assert.matches('threads = "3"  # file conf.toml', select(2, run("--print-config", "FASTCGI_CONFIG=conf.toml")),
      1, true)
  end)

  it("are refused in one line", function()
    local function fails(status, pattern, arguments, environment)
      local got, output = run(arguments, environment)
      assert.equal(status, got, output)
      assert.matches("^fcgi%-lua: [^\n]+\n$", output)
      assert.matches(pattern, output, 1, true)
    end
    for text, pattern in pairs {
      ["worker = 2"] = "conf.toml: there is no option 'worker'; did you mean 'workers'?",
      ["interface = 'wsgi'"] = "conf.toml: there is no option 'interface'; python -m fastcgi has it",
      ["workers = 'many'"] = "conf.toml: workers=many: must be a whole number from 0 to 4096, or auto",
      ["socket_mode = 660"] = 'conf.toml: socket_mode: must be a text, such as "660"',
      ["stream = 1"] = "conf.toml: stream: must be true or false",
      ["return {"] = "conf.toml: (line 1",
    } do
      file(text)
      fails(2, pattern, "app.lua --config conf.toml")
      fails(2, pattern, "app.lua --config conf.toml --check-config")
    end
    fails(2, "nothing.toml: No such file or directory", "app.lua --config nothing.toml")
    fails(2, "no option --wrokers; did you mean --workers?", "app.lua --wrokers 2")
    fails(2, "FASTCGI_THREADS=x: must be a whole number from 1 to 4096", "app.lua", "FASTCGI_THREADS=x")
    fails(2, "--user needs a worker, and --workers is 0", "app.lua --user x --workers 0")
    fails(1, "broken.lua:2:", "broken.lua --check-config --bind unix:x")
    fails(2, "--threads=0: must be", "app.lua --threads 0 --check-config")
    fails(1, "/nowhere", "app.lua --chdir /nowhere --check-config")
    fails(1, 'address "nowhere": not an address', "app.lua --bind nowhere --check-config")
    fails(1, "other machines could connect", "app.lua --bind 0.0.0.0:1 --check-config")
    fails(1, '"web" is no address', "app.lua --allow-from web --check-config")
    fails(1, "user no-such-user: no such user", "app.lua --user no-such-user --check-config")
    fails(1, "group no-such: no such group", "app.lua --socket-group no-such --allow-root --check-config")
    fails(1, "the jitter", "app.lua --max-worker-age 5 --max-worker-age-jitter 9 --check-config")
    fails(1, "the error log /nowhere/x", "app.lua --error-logfile /nowhere/x --check-config")
    fails(1, "there is no atom", "app.lua --access-logfile - --access-logformat '%(y)s' --check-config")
  end)

  it("are fine when nothing is wrong, and nothing is served", function()
    local status, output = run("app.lua --check-config --bind unix:x --workers 2 --threads 2 --allow-root")
    assert.equal(0, status)
    assert.equal("fcgi-lua: the configuration is fine\n", output)
    assert.is_falsy(support.exists(directory .. "/x"))
  end)
end)
