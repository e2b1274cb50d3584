-- SPDX-License-Identifier: MIT
package.path = debug.getinfo(1, "S").source:match("^@(.*/)") .. "?.lua;" .. package.path
local support = require "support"

describe("req.params", function()
  it("gives values by name and nil for unknown names", function()
    support.pull({ params = { QUERY_STRING = "a=1", EMPTY = "" } }, function(req)
      assert.equal("a=1", req.params.QUERY_STRING)
      assert.equal("", req.params.EMPTY)
      assert.is_nil(req.params.NOT_SENT)
      assert.is_nil(req.params[1])
      assert.is_nil(req.params["QUERY_STRING\0"])
    end)
  end)

  it("never shows the environment of the process", function()
    assert.is_string(os.getenv("PATH"))
    support.pull({}, function(req)
      assert.is_nil(req.params.PATH)
      assert.is_nil(req.params.HOME)
    end)
  end)

  it("is one value for one request", function()
    support.pull({}, function(req)
      assert.is_true(rawequal(req.params, req.params))
    end)
  end)

  it("goes through pairs and counts", function()
    local sent = { REQUEST_METHOD = "GET", REQUEST_URI = "/", LONG = ("x"):rep(70000), ["name with spaces"] = "1" }
    support.pull({ params = sent }, function(req)
      local seen, count = {}, 0
      for name, value in pairs(req.params) do
        seen[name], count = value, count + 1
      end
      assert.same(sent, seen)
      assert.equal(count, #req.params)
      assert.same(sent, req.params:copy())
    end)
  end)

  it("joins duplicate headers and shows each in pairs", function()
    local list = { { "HTTP_X", "1" }, { "HTTP_X", "2" }, { "HTTP_COOKIE", "a" }, { "HTTP_COOKIE", "b" },
      { "OTHER", "1" }, { "OTHER", "2" } }
    support.pull({ list = list }, function(req)
      local copy = req.params:copy()
      assert.equal("1, 2", req.params.HTTP_X)
      assert.equal("a; b", copy.HTTP_COOKIE)
      assert.equal("2", copy.OTHER)
      local shown = {}
      for name, value in pairs(req.params) do
        if name == "HTTP_X" then
          shown[#shown + 1] = value
        end
      end
      assert.same({ "1", "2" }, shown)
    end)
  end)

  it("raises once the request is finished", function()
    support.pull({}, function(req)
      local params = req.params
      local iterate, state = pairs(params)
      local copy = params:copy()
      req:finish()
      assert.has_error(function() return params.REQUEST_METHOD end,
        "the request is finished, and its params with it")
      assert.has_error(function() return iterate(state) end)
      assert.has_error(function() return #params end)
      assert.has_error(function() return pairs(params) end)
      assert.equal("fcgi.params (finished)", tostring(params))
      assert.equal("GET", copy.REQUEST_METHOD)
    end)
  end)

  it("is read-only", function()
    support.pull({}, function(req)
      assert.has_error(function() req.params.X = "1" end)
    end)
  end)
end)

describe("a request", function()
  it("has its fields", function()
    support.pull({ method = "PUT", body = "12345" }, function(req)
      assert.equal("PUT", req.method)
      assert.equal(1, req.id)
      assert.equal("responder", req.role)
      assert.equal(5, req.content_length)
      assert.equal("integer", math.type(req.content_length))
      assert.is_false(req.aborted)
      assert.is_nil(req.no_such_field)
      assert.matches("^fcgi.request: 0x", tostring(req))
    end)
  end)

  it("has the content_length of a collected body when none was sent", function()
    support.pull({ body = "abc", chunked = true }, function(req)
      assert.equal(3, req.content_length)
      assert.equal("abc", req:read("a"))
    end)
    support.pull({ method = "POST", params = { CONTENT_LENGTH = "-1" } }, function(req)
      assert.is_nil(req.content_length)
      assert.equal("", req:read("a"))
    end)
  end)

  it("has the path that the web server has judged, and its parts", function()
    local sent = { SCRIPT_NAME = "/pre", PATH_INFO = "/a b", REQUEST_URI = "/pre/%61%20b?q" }
    support.pull({ params = sent }, function(req)
      assert.same({ "/pre/a b", "/pre", "/a b", "/pre/%61%20b" },
        { req.path, req.script_name, req.path_info, req.raw_path })
    end)
    support.pull({ params = { SCRIPT_NAME = "/auth", REQUEST_URI = "/guarded" } }, function(req)
      assert.same({ "/auth", "", "/auth" }, { req.path, req.script_name, req.path_info })
      assert.is_nil(req.raw_path)
      assert.is_nil(req.script_filename)
    end)
  end)

  it("has the name of the script's file, without what Apache's proxy puts around it", function()
    local file = "proxy:fcgi://localhost:9000//srv/a.lua?q"
    support.pull({ params = { SCRIPT_FILENAME = file, QUERY_STRING = "q" } }, function(req)
      assert.same({ "/srv/a.lua", file }, { req.script_filename, req.params.SCRIPT_FILENAME })
    end)
  end)

  it("knows the other roles", function()
    support.pull({ role = 2 }, function(req)
      assert.equal("authorizer", req.role)
      assert.is_true(req:reply(200))
    end)
  end)

  it("raises after it is finished, and finishing twice is harmless", function()
    support.pull({}, function(req)
      assert.is_true(req:reply(200, {}, "done"))
      assert.has_error(function() req:write("more") end, "the request is finished")
      assert.has_error(function() req:read() end, "the request is finished")
      assert.has_error(function() return req.params end, "the request is finished")
      assert.has_error(function() return req.aborted end, "the request is finished")
      assert.has_error(function() req:reply(200) end, "the request is finished")
      assert.equal("fcgi.request (finished)", tostring(req))
      assert.is_true(req:finish())
      assert.is_true(req:close())
    end)
  end)

  it("refuses methods on anything else", function()
    support.pull({}, function(req, peer)
      assert.has_error(function() req.write(peer, "x") end)
      assert.has_error(function() req.write(io.stdout, "x") end)
      assert.has_error(function() req.finish({}) end)
    end)
  end)

  it("carries an application status", function()
    local response = support.pull({}, function(req)
      req:start(200)
      req:finish(7)
      assert.has_error(function() req:finish(-1) end)
    end)
    assert.equal(7, response.app_status)
    assert.equal(0, response.protocol_status)
  end)

  it("fails when collected without an answer", function()
    local response
    support.with_server({}, function(server, path)
      local peer <close> = require("client").connect(path)
      peer:request {}
      assert(server:accept(5))
      collectgarbage()
      collectgarbage()
      server:stop()
      server:accept(5)
      response = peer:response()
    end)
    assert.equal(500, response.status)
  end)

  it("sees the abort of its connection", function()
    support.with_server({}, function(server, path)
      local peer = require("client").connect(path)
      peer:request {}
      local req = assert(server:accept(5))
      peer:close()
      support.wait_for(function()
        server:accept(0)
        return req.aborted
      end, "the abort")
      assert.equal("connection", req.aborted)
      local written, message, code = req:write(("x"):rep(1 << 20))
      assert.is_nil(written)
      assert.is_string(message)
      assert.equal("ABORTED", code)
      req:finish()
    end)
  end)
end)
