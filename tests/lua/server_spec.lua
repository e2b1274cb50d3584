-- SPDX-License-Identifier: MIT
package.path = debug.getinfo(1, "S").source:match("^@(.*/)") .. "?.lua;" .. package.path
local client = require "client"
local fcgi = require "fcgi"
local support = require "support"

describe("a server", function()
  it("tells its addresses with real ports", function()
    local server <close> = assert(fcgi.server { bind = { "127.0.0.1:0", "127.0.0.1:0" } })
    local first, second = server:address(), server:address(2)
    assert.matches("^127%.0%.0%.1:%d+$", first)
    assert.matches("^127%.0%.0%.1:%d+$", second)
    assert.not_equal(first, second)
    assert.not_equal("127.0.0.1:0", first)
    assert.is_nil((server:address(3)))
    assert.is_nil((server:address(0)))
  end)

  it("listens later as well", function()
    local directory = support.directory()
    local server <close> = assert(fcgi.server())
    assert.equal(server, server:listen("unix:" .. directory .. "/x"))
    assert.is_truthy(client.try(directory .. "/x"))
    local listened, message, code = server:listen("unix:" .. directory .. "/x")
    assert.is_nil(listened)
    assert.matches(directory .. "/x", message, 1, true)
    assert.is_string(code)
    support.remove(directory)
  end)

  it("says what is wrong with an address", function()
    local server <close> = assert(fcgi.server())
    for _, address in ipairs { "nonsense", "unix:", "127.0.0.1:70000", "unix:/no/such/place/x" } do
      local listened, message, code = server:listen(address)
      assert.is_nil(listened)
      assert.matches(address, message, 1, true)
      assert.is_string(code)
    end
  end)

  it("times out without a request", function()
    support.with_server({}, function(server)
      assert.same({ nil, "timed out", "TIMEOUT" }, { server:accept(0) })
      assert.same({ nil, "timed out", "TIMEOUT" }, { server:accept(0.01) })
      assert.has_error(function() server:accept(-1) end)
      assert.has_error(function() server:accept("soon") end)
    end)
  end)

  it("ends accept once it is stopped", function()
    support.with_server({}, function(server)
      assert.equal(server, server:stop())
      assert.same({ nil, "closed", "CLOSED" }, { server:accept() })
      assert.has_error(function() server:stop("at once") end)
    end)
  end)

  it("can be polled by other loops", function()
    support.with_server({}, function(server, path)
      local fd = assert(server:pollfd())
      assert.equal("integer", math.type(fd))
      assert.equal("r", server:events())
      assert.is_nil(server:timeout())
      local peer <close> = client.connect(path)
      peer:begin {}
      assert.is_nil((server:accept(0)))
      local polled = { getfd = function() return fd end }
      peer:stdin("")
      local readable = require("socket").select({ polled }, nil, 5)
      assert.equal(polled, readable[1])
      local req = assert(server:accept(0))
      req:reply(200)
    end)
  end)

  it("has no descriptor with the poll poller", function()
    local server <close> = assert(fcgi.server { poller = "poll" })
    assert.same({ "UNSUPPORTED" }, { select(3, server:pollfd()) })
  end)

  it("raises when it is used closed, and closes twice", function()
    local server = assert(fcgi.server())
    server:close()
    server:close()
    assert.equal("fcgi.server (closed)", tostring(server))
    for _, method in ipairs { "listen", "address", "accept", "requests", "stop", "pollfd", "events", "timeout" } do
      assert.has_error(function() server[method](server) end, "the server is closed")
    end
    assert.has_error(function() server:serve(print) end, "the server is closed")
  end)

  it("removes its socket when it closes", function()
    local path
    support.with_server({}, function(_, socket)
      path = socket
    end)
    assert.is_falsy(support.exists(path))
  end)

  it("answers many requests on one connection at once", function()
    support.with_server({}, function(server, path)
      local peer <close> = client.connect(path)
      local open = {}
      for id = 1, 20 do
        peer:request { id = id, params = { N = id } }
      end
      for _ = 1, 20 do
        local req = assert(server:accept(5))
        open[req.id] = req
      end
      for id = 20, 1, -1 do
        open[id]:reply(200, {}, open[id].params.N)
        assert.equal(tostring(id), peer:response(id).body)
      end
    end)
  end)
end)

describe("the order of closing", function()
  it("does not matter to requests", function()
    local req, params
    support.with_server({}, function(server, path)
      local peer <close> = client.connect(path)
      peer:request {}
      req = assert(server:accept(5))
      params = req.params
      server:close()
      assert.has_error(function() req:write("x") end, "the request is finished")
      assert.has_error(function() return params.X end)
    end)
    assert.is_true(req:finish())
  end)

  it("does not matter to the collector", function()
    local script = [[
      local fcgi, client = require "fcgi", require "client"
      local path = arg[1]
      server = assert(fcgi.server { bind = "unix:" .. path })
      peers, requests = {}, {}
      for i = 1, 10 do
        peers[i] = client.connect(path)
        peers[i]:request { body = "a\nb\n" }
        requests[i] = assert(server:accept(5))
        requests[i]:read("l")
        params = requests[i].params
      end
      if arg[2] == "request first" then requests = nil; collectgarbage() end
      if arg[2] == "server first" then server = nil; collectgarbage() end
      io.write("fine")]]
    local directory = support.directory()
    local file = support.write_file(directory .. "/x.lua",
      ("package.path = %q .. package.path\n"):format(support.source .. "/tests/lua/?.lua;") .. script)
    for _, order in ipairs { "request first", "server first", "all at the end" } do
      local output, status = support.shell(("lua5.4 %s %s/s '%s' 2>&1"):format(file, directory, order))
      assert.equal("fine", output)
      assert.equal(0, status)
    end
    support.remove(directory)
  end)

  it("keeps a server alive while a request of it is", function()
    local directory = support.directory()
    local function take()
      local server = assert(fcgi.server { bind = "unix:" .. directory .. "/s" })
      local peer = client.connect(directory .. "/s")
      peer:request {}
      return peer, assert(server:accept(5))
    end
    local peer, req = take()
    collectgarbage()
    collectgarbage()
    assert.is_true(req:reply(200, {}, "alive"))
    assert.equal("alive", peer:response().body)
    peer:close()
    support.remove(directory)
  end)
end)

describe("for req in server:requests()", function()
  -- Runs the loop over `count` requests, each on a connection of its own, and
  -- returns their responses and the error of the loop, if any.
  local function loop(count, body)
    local responses, problem = {}, nil
    support.with_server({}, function(server, path)
      local peers = {}
      for i = 1, count do
        peers[i] = client.connect(path)
        peers[i]:request { params = { N = i } }
      end
      local fine, message = pcall(function()
        local seen = 0
        for req in server:requests() do
          seen = seen + 1
          if seen == count then
            server:stop()
          end
          if body(req, seen) == "break" then
            break
          end
        end
      end)
      problem = not fine and message or nil
      server:stop()
      server:accept(5)
      for i = 1, count do
        responses[i] = peers[i]:response()
        peers[i]:close()
      end
    end)
    return responses, problem
  end

  it("gives every request and ends when stopped", function()
    local responses, problem = loop(3, function(req)
      req:reply(200, {}, req.params.N)
    end)
    assert.is_nil(problem)
    local bodies = responses[1].body .. responses[2].body .. responses[3].body
    assert.equal("123", bodies)
  end)

  it("ends what the body of the loop has begun and left", function()
    local saved
    local responses = loop(2, function(req)
      if saved then
        assert.has_error(function() saved:write("late") end, "the request is finished")
      end
      saved = req
      req:start(200):write("begun")
    end)
    for _, response in ipairs(responses) do
      assert.equal("begun", response.body)
      assert.equal(0, response.app_status)
    end
  end)

  it("answers 500 for what it did not answer", function()
    local responses = loop(2, function() end)
    assert.equal(500, responses[1].status)
    assert.equal(500, responses[2].status)
  end)

  it("ends the request on break", function()
    local responses = loop(1, function(req)
      req:start(200):write("last")
      return "break"
    end)
    assert.equal("last", responses[1].body)
  end)

  it("answers 500 for an error, which goes on its way", function()
    local object = {}
    local responses, problem = loop(1, function() error(object) end)
    assert.equal(object, problem)
    assert.equal(500, responses[1].status)
  end)
end)

describe("a <close> variable", function()
  it("fails its request on an error", function()
    local response
    support.with_server({}, function(server, path)
      local peer <close> = client.connect(path)
      peer:request {}
      assert.is_false(pcall(function()
        local req <close> = assert(server:accept(5))
        error("no luck with " .. req.method)
      end))
      server:stop()
      server:accept(5)
      response = peer:response()
    end)
    assert.equal(500, response.status)
  end)
end)
