-- SPDX-License-Identifier: MIT
package.path = debug.getinfo(1, "S").source:match("^@(.*/)") .. "?.lua;" .. package.path
-- fcgi.test: applications in process, and connections that break the rules.
local support = require "support"
local test = require "fcgi.test"

local END, PARAMS, STDIN = 3, 4, 5

local function hello(req)
  local headers = { ["Content-Type"] = "text/plain", ["Set-Cookie"] = { "a=1", "b=2" } }
  return 200, headers, "Hello " .. req.params.QUERY_STRING
end

-- An application in a file of its own; gone at the end of the scope.
local function file(text)
  local directory = support.directory()
  local self = { path = support.write_file(directory .. "/app.lua", text), directory = directory }
  return setmetatable(self, { __close = function() support.remove(directory) end })
end

describe("fcgi.test", function()
  it("asks a handler of this state", function()
    local seen
    local client <close> = assert(test.client(function(req)
      seen = req.params:copy()
      return hello(req)
    end))
    local response = assert(client:get("/a%20b/c?x=1", { headers = { ["User-Agent"] = "spec" } }))
    assert.equal(200, response.status)
    assert.equal("Hello x=1", response.body)
    assert.equal("text/plain", response.headers["content-type"])
    assert.equal("a=1", response.headers["Set-Cookie"])
    assert.is_nil(response.headers["X-None"])
    local cookies = {}
    for _, header in ipairs(response.headers) do
      if header[1] == "Set-Cookie" then
        cookies[#cookies + 1] = header[2]
      end
    end
    assert.same({ "a=1", "b=2" }, cookies)
    assert.equal(0, response.app_status)
    assert.equal(0, response.protocol_status)
    assert.equal("", response.stderr)
    assert.equal("/a b/c", seen.PATH_INFO)
    assert.equal("/a%20b/c?x=1", seen.REQUEST_URI)
    assert.equal("spec", seen.HTTP_USER_AGENT)
    assert.equal("CGI/1.1", seen.GATEWAY_INTERFACE)
    assert.is_nil(seen.CONTENT_LENGTH)
  end)

  it("sends methods, bodies and parameters", function()
    local client <close> = assert(test.client(function(req)
      return 201, { ["X-Method"] = req.method, ["X-Length"] = req.content_length or "none",
        ["X-Name"] = req.params.HTTP_HOST or "none", ["X-Type"] = req.params.CONTENT_TYPE }, req:read("a")
    end))
    local response = assert(client:post("/", "body", { params = { HTTP_HOST = false },
      headers = { ["Content-Type"] = "text/x" } }))
    assert.equal(201, response.status)
    assert.equal("body", response.body)
    assert.equal("POST", response.headers["X-Method"])
    assert.equal("4", response.headers["X-Length"])
    assert.equal("none", response.headers["X-Name"])
    assert.equal("text/x", response.headers["X-Type"])
    response = assert(client:request { method = "PUT" })
    assert.equal("PUT", response.headers["X-Method"])
    assert.equal("none", response.headers["X-Length"])
    assert.equal("", assert(client:head("/")).body)
  end)

  it("shows statuses, redirects, log lines and raw output", function()
    local client <close> = assert(test.client(function(req)
      req:log("a line")
      if req.params.QUERY_STRING == "raw" then
        req:write("Location: /there\n\nbody")
        return req:finish(7)
      end
      return 404, {}, "none"
    end))
    local response = assert(client:get("/"))
    assert.equal(404, response.status)
    assert.equal("a line\n", response.stderr)
    response = assert(client:get("/?raw"))
    assert.equal(302, response.status)
    assert.equal("body", response.body)
    assert.equal("Location: /there\n\nbody", response.stdout)
    assert.equal(7, response.app_status)
  end)

  it("serves each role", function()
    local roles = {
      authorizer = function(req) return req:allow { USER = "ann" } end,
      filter = function(req) return 200, {}, req:read("a") .. req:read_data():upper() end,
      greeter = { number = 77, streams = "none", handler = function(req) return 200, {}, "I am " .. req.role end },
    }
    local client <close> = assert(test.client { handler = hello, roles = roles })
    assert.equal("ann", assert(client:request { role = "authorizer" }).headers["Variable-USER"])
    assert.equal("inDATA", assert(client:request { role = "filter", body = "in", data = "data" }).body)
    assert.equal("I am greeter", assert(client:request { role = "greeter" }).body)
    assert.equal("I am greeter", assert(client:request { role = 77 }).body)
    assert.equal("Hello ", assert(client:get("/")).body)
    assert.equal(3, assert(client:request { role = 78 }).protocol_status)
    assert.has_error(function() client:request { role = "unheard" } end,
      "role 'unheard' is not known; give its number")
  end)

  it("asks for values", function()
    local client <close> = assert(test.client { handler = hello, max_multiplexed = 5 })
    local values = assert(client:get_values())
    assert.equal("1", values.FCGI_MPXS_CONNS)
    assert.matches("^%d+$", values.FCGI_MAX_CONNS)
    assert.same({ FCGI_MPXS_CONNS = "1" }, assert(client:get_values { "FCGI_MPXS_CONNS", "UNKNOWN" }))
  end)

  it("asks a server that wants one request at a time on a connection", function()
    local client <close> = assert(test.client { handler = hello, no_multiplex = true })
    assert.equal("0", assert(client:get_values()).FCGI_MPXS_CONNS)
  end)

  for _, stream in ipairs { false, true } do
    it("moves more both ways than sockets hold, stream = " .. tostring(stream), function()
      local client <close> = assert(test.client { stream = stream, handler = function(req)
        req:start(200)
        for piece in function() return req:read_some() end do
          assert(req:write(piece))
        end
      end })
      local body = ("0123456789"):rep(400000)
      local response = assert(client:post("/", body))
      assert.equal(#body, #response.body)
      assert.is_true(body == response.body)
    end)
  end

  it("cuts a request into sends of any size", function()
    local client <close> = assert(test.client(function(req) return 200, {}, req.method .. req:read("a") end))
    for _, split in ipairs { 1, 2, 7, 8, 9, 100 } do
      assert.equal("POSTa body", assert(client:post("/", "a body", { split = split })).body)
    end
  end)

  it("cuts a request at every byte, and sends each part when the one before was read", function()
    local client <close> = assert(test.client(function(req) return 200, {}, req.method .. req:read("a") end))
    local bytes = test.record(PARAMS, 1, test.pairs { REQUEST_METHOD = "POST", CONTENT_LENGTH = "2" }, 3)
      .. test.record(PARAMS, 1) .. test.record(STDIN, 1, "ab", 1) .. test.record(STDIN, 1)
    for cut = 1, #bytes - 1 do
      local connection <close> = assert(client:connection())
      assert.equal(1, connection:open())
      assert(connection:raw(bytes:sub(1, cut)))
      assert.same({ nil, "TIMEOUT" }, { (select(1, connection:event(0.002))), (select(3, connection:event(0.002))) })
      assert(connection:raw(bytes:sub(cut + 1)))
      assert.equal("POSTab", assert(connection:response()).body)
    end
  end)

  it("keeps a connection and mixes requests on it", function()
    local client <close> = assert(test.client(hello))
    local connection <close> = assert(client:connection())
    local one = assert(connection:begin { uri = "/?one", keep = true })
    local two = assert(connection:begin { uri = "/?two", keep = true })
    assert.same({ 1, 2 }, { one, two })
    connection:stdin(nil, two)
    connection:stdin(nil, one)
    assert.equal("Hello one", assert(connection:response(one)).body)
    assert.equal("Hello two", assert(connection:response(two)).body)
    assert.equal(1, connection:begin { keep = true })
    connection:stdin()
    assert.equal("Hello ", assert(connection:response()).body)
    assert.is_nil((connection:event()))
    local response, message, code = connection:response(9)
    assert.same({ "nil", "request 9 is not open", "STATE" }, { tostring(response), message, code })
  end)

  it("sends parameters one by one", function()
    local client <close> = assert(test.client(function(req) return 200, {}, req.params.A .. req.params.B end))
    local connection <close> = assert(client:connection(1))
    connection:open()
    assert(connection:param("A", ("x"):rep(200)))
    assert(connection:param("B", "y"))
    assert(connection:params_end())
    assert(connection:stdin("ignored"):stdin())
    assert.equal(("x"):rep(200) .. "y", assert(connection:response()).body)
    assert.same({ nil, "not allowed in this state", "STATE" }, { connection:param("C", "z") })
  end)

  it("gives events one by one", function()
    local client <close> = assert(test.client(hello))
    local connection <close> = assert(client:connection())
    connection:begin {}
    connection:stdin()
    local types = {}
    for event in function() return (connection:event()) end do
      assert.equal(1, event.id)
      if event.type == "end" then
        assert.same({ 0, 0 }, { event.app_status, event.protocol_status })
      end
      if types[#types] ~= event.type then
        types[#types + 1] = event.type
      end
    end
    assert.same({ "stdout", "stdout_end", "end" }, types)
  end)

  it("tells of a record that the application refuses", function()
    local client <close> = assert(test.client(hello))
    local connection <close> = assert(client:connection())
    connection:begin {}
    connection:raw(test.record(77, 0, "what"))
    assert.same({ type = "unknown_type", id = 0, unknown = 77 }, connection:event())
  end)
end)

describe("a fault", function()
  it("of a length that lies makes the application close", function()
    local client <close> = assert(test.client(hello))
    local connection <close> = assert(client:connection())
    connection:begin { body = "xy" }
    connection:raw(test.record(STDIN, 1, "xy", 0, 3) .. test.record(STDIN, 1))
    local response, message, code, part = connection:response()
    assert.is_nil(response)
    assert.matches("^unix:/.*: the application closed the connection before it had answered$", message)
    assert.equal("CLOSED", code)
    assert.equal("", part.stdout)
    assert.equal("close", part.closed)
    assert.equal("Hello ", assert(client:get("/")).body)
  end)

  it("of a record with a wrong version makes the application close", function()
    local client <close> = assert(test.client(hello))
    local connection <close> = assert(client:connection())
    connection:begin {}
    connection:raw("\2" .. test.record(STDIN, 1):sub(2))
    assert.equal("CLOSED", (select(3, connection:response())))
  end)

  it("of a body that is short fails the handler's read", function()
    local code
    local client <close> = assert(test.client(function(req)
      code = select(3, req:read("a"))
      return 400
    end))
    assert.equal(400, assert(client:post("/", "abc", { params = { CONTENT_LENGTH = "4" } })).status)
    assert.equal("TRUNCATED", code)
  end)

  it("of silence is told in time", function()
    local client <close> = assert(test.client { handler = hello, timeout = 0.1 })
    local connection <close> = assert(client:connection())
    connection:begin {}
    local response, message, code = connection:response()
    assert.is_nil(response)
    assert.matches("no answer in time$", message)
    assert.equal("TIMEOUT", code)
  end)

  it("of a request that is aborted before its body is whole ends it", function()
    local client <close> = assert(test.client(hello))
    local connection <close> = assert(client:connection())
    connection:begin { body = "abc", keep = true }
    connection:stdin("a")
    connection:abort()
    assert.equal("", assert(connection:response()).stdout)
    connection:begin { keep = true }
    connection:stdin()
    assert.equal("Hello ", assert(connection:response()).body)
  end)

  it("reaches a handler of this state with its reason", function()
    local reasons, early = {}, nil
    local client <close> = assert(test.client { stream = true, handler = function(req)
      if req.params.QUERY_STRING == "early" then
        early:close() -- The handler of one that is gone by then may never begin.
      end
      local _, _, code = req:read("a")
      reasons[#reasons + 1] = { code or "OK", req.aborted }
      return 200
    end })
    local connection <close> = assert(client:connection())
    connection:begin { body = "abc" }
    connection:stdin("a")
    connection:abort()
    assert(connection:response())
    assert.same({ { "ABORTED", "record" } }, reasons)
    early = assert(client:connection())
    early:begin { uri = "/?early", body = "abc" }
    early:stdin("a")
    assert.equal(200, assert(client:get("/")).status)
    assert.same({ { "ABORTED", "record" }, { "ABORTED", "connection" }, { "OK", false } }, reasons)
  end)
end)

-- The file says in another one what its handler sees.
local watching = [[
local log = ...
local function note(text)
  local out <close> = io.open(log, "a")
  out:write(text, "\n")
end
return { stream = true, handler = function(req)
  note("begun " .. tostring(req.aborted))
  local way = req.params.QUERY_STRING
  local bytes, message, code
  if way == "coroutine" then
    bytes, message, code = coroutine.wrap(function() return req:read("a") end)()
  elseif way == "poll" then
    while not req.aborted do end
  else
    bytes, message, code = req:read("a")
  end
  note(tostring(req.aborted) .. " " .. tostring(code) .. " " .. tostring(message) .. tostring(bytes))
  return 200, {}, "done"
end }
]]

describe("an application file", function()
  it("runs in a state of its own, on threads", function()
    local before = support.threads() -- Of clients of other specs.
    local app <close> = file([[
      local word = ...
      spec_global = true
      return function(req) return 200, {}, word .. arg[1] .. tostring(_G) end]])
    local client <close> = assert(test.client { app = app.path, args = { "w" }, threads = 2 })
    local connections, states = {}, {}
    for i = 1, 10 do
      connections[i] = assert(client:connection())
      connections[i]:begin {}
      connections[i]:stdin()
    end
    for i = 1, 10 do
      states[assert(connections[i]:response()).body] = true
      connections[i]:close()
    end
    assert.is_nil(rawget(_G, "spec_global"))
    assert.is_nil(states["ww" .. tostring(_G)])
    assert.matches("^wwtable: ", (next(states)))
    assert.is_true(client:close())
    support.wait_for(function() return support.threads() <= before end, "the end of the threads")
  end)

  for way, how in pairs { read = "a blocking read", coroutine = "a read in a coroutine", poll = "a busy loop" } do
    it("sees ABORT_REQUEST, and a lost connection, in " .. how, function()
      local app <close> = file(watching)
      local log = app.directory .. "/log"
      local client <close> = assert(test.client { app = app.path, args = { log }, threads = 2 })
      local code = way == "poll" and "nil nilnil" or "ABORTED the request was abortednil"
      for _, reason in ipairs { "record", "connection" } do
        local connection <close> = assert(client:connection())
        connection:begin { method = "POST", uri = "/?" .. way, params = { CONTENT_LENGTH = "3" } }
        connection:stdin("a")
        support.wait_for(function() return support.read_file(log):match("begun false\n$") end, "the handler")
        if reason == "record" then
          connection:abort()
          assert.equal("done", assert(connection:response()).body)
        else
          connection:close()
        end
        support.wait_for(function()
          return support.read_file(log):match("\n" .. reason .. " " .. code .. "\n$")
        end, reason .. " in the log")
      end
    end)
  end

  it("sees a broken protocol and a stop with their reasons", function()
    local app <close> = file(watching)
    local log = app.directory .. "/log"
    local client <close> = assert(test.client { app = app.path, args = { log }, threads = 2, timeout = 0.2 })
    for _, reason in ipairs { "protocol", "stop" } do
      local connection <close> = assert(client:connection())
      connection:begin { body = "abc" }
      support.wait_for(function() return support.read_file(log):match("begun false\n$") end, "the handler")
      if reason == "protocol" then
        connection:raw(("\2"):rep(8))
      else
        assert.is_true(client:close())
      end
      support.wait_for(function()
        return support.read_file(log):match("\n" .. reason .. " ABORTED the request was abortednil\n$")
      end, reason .. " in the log")
    end
  end)

  it("that does not load is told in one line", function()
    local app <close> = file("error('no database')\n")
    local client, message, code = test.client { app = app.path, threads = 2 }
    assert.is_nil(client)
    assert.matches("app.lua:1: no database$", message)
    assert.equal("STATE", code)
    client, message = test.client { app = app.directory .. "/none.lua" }
    assert.is_nil(client)
    assert.matches("none.lua", message, 1, true)
  end)

  it("may be a table with roles and stream", function()
    local app <close> = file([[return { stream = true, roles = {
      greeter = { number = 9, streams = "stdin", handler = function(req)
        return 200, {}, req.role .. " " .. tostring(req.content_length) .. (req:read("a"))
      end } } }]])
    local client <close> = assert(test.client { app = app.path })
    assert.equal("greeter 2ab", assert(client:request { role = 9, body = "ab" }).body)
    assert.equal(3, assert(client:get("/")).protocol_status)
  end)

  it("that fails answers 500", function()
    local app <close> = file("return function() return nothing.at_all end")
    local server <close> = support.launch(app.path)
    local client <close> = assert(test.client { address = "unix:" .. server.path })
    assert.equal(500, assert(client:get("/")).status)
    assert.matches("attempt to index a nil value", server:log(), 1, true)
    assert.is_true(client:close())
  end)
end)

describe("a client", function()
  it("refuses what makes no sense", function()
    local function refused(pattern, options)
      local fine, message = pcall(test.client, options)
      assert.is_false(fine)
      assert.matches(pattern, message, 1, true)
    end
    refused("a handler or a table of options is needed (got a string)", "app.lua")
    refused("a 'handler' function, 'roles', an 'app' file or an 'address' is needed", {})
    refused("give either 'handler' and 'roles', or 'app', not both", { handler = hello, app = "x.lua" })
    refused("option 'threads' does not go with 'address'", { address = "unix:x", threads = 2 })
    refused("there is no option 'stram'; did you mean 'stream'?", { handler = hello, stram = true })
    refused("option 'threads' must be an integer from 1 to 4096 (got 0)", { app = "x.lua", threads = 0 })
    local client <close> = assert(test.client(hello))
    assert.error_matches(function() client:request { url = "/" } end, "a request has no field 'url'")
  end)

  it("says where nobody listens", function()
    local client <close> = assert(test.client { address = "unix:/no/such/socket" })
    local response, message, code = client:get("/")
    assert.is_nil(response)
    assert.equal("unix:/no/such/socket: cannot connect: No such file or directory; is the application running there?",
      message)
    assert.equal("SYSTEM", code)
  end)

  it("leaves nothing behind", function()
    local client = assert(test.client(hello))
    local path = client.address:match("^unix:(.*)$")
    local name = client.name
    assert.equal("Hello ", assert(client:get("/")).body)
    assert.is_truthy(support.exists(name))
    client:close()
    client:close()
    assert.is_falsy(support.exists(name))
    assert.is_falsy(support.exists(path))
  end)

  it("is collected while its connections are open", function()
    local client = assert(test.client(hello))
    local connection = assert(client:connection())
    connection:begin {}
    connection:stdin()
    local name = client.name
    client = nil -- luacheck: ignore 311
    collectgarbage()
    collectgarbage()
    assert.is_falsy(support.exists(name))
    assert.equal("CLOSED", (select(3, connection:response())))
    connection = nil -- luacheck: ignore 311
    collectgarbage()
  end)

  it("cannot be used inside a wait of its own", function()
    local message, connection
    local client <close> = assert(test.client(function()
      message = select(2, pcall(connection.abort, connection))
      return 200
    end))
    connection = assert(client:connection())
    connection:begin {}
    connection:stdin()
    assert.equal(200, assert(connection:response()).status)
    assert.matches("the connection is waiting for an answer", message, 1, true)
    connection:close()
    assert.has_error(function() connection:abort() end)
  end)

  it("works in a process that ends without closing it", function()
    local app <close> = file("return function() return 200, {}, 'x' end")
    local script = support.write_file(app.directory .. "/run.lua", ([[
      local test = require "fcgi.test"
      client = assert(test.client { app = %q, threads = 3 })
      other = assert(test.client(function() return 200 end))
      connection = assert(client:connection())
      connection:begin {}
      print(client:get("/").body, other:get("/").status)]]):format(app.path))
    assert.equal("x\t200\n", (support.shell("timeout 20 lua5.4 " .. script .. " 2>&1")))
  end)
end)

describe("records", function()
  it("are made as they are asked for", function()
    assert.equal("\1\3\0\9\0\2\1\0ab\0", test.record(END, 9, "ab", 1))
    assert.equal("\1\3\0\9\0\5\0\0ab", test.record(END, 9, "ab", 0, 5))
    assert.equal("\1\128\0\0\200a" .. ("b"):rep(200), test.pairs { a = ("b"):rep(200) })
  end)
end)
