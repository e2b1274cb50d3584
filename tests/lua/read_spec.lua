-- SPDX-License-Identifier: MIT
package.path = debug.getinfo(1, "S").source:match("^@(.*/)") .. "?.lua;" .. package.path
local client = require "client"
local support = require "support"

local function with_body(body, check, options)
  support.pull({ body = body }, check, options)
end

describe("req:read", function()
  it("reads all", function()
    with_body("hello\0\255\r\nworld", function(req)
      assert.equal("hello\0\255\r\nworld", req:read("a"))
      assert.equal("", req:read("a"))
      assert.is_nil(req:read(1))
      assert.is_nil(req:read("l"))
    end)
  end)

  it("reads counts", function()
    with_body("0123456789", function(req)
      assert.equal("012", req:read(3))
      assert.equal("", req:read(0))
      assert.equal("3456789", req:read(100))
      assert.is_nil(req:read(100))
    end)
  end)

  it("reads lines with and without their ends", function()
    with_body("one\ntwo\n\nlast", function(req)
      assert.equal("one", req:read())
      assert.equal("two\n", req:read("L"))
      assert.equal("", req:read("l"))
      assert.equal("last", req:read("*l"))
      assert.is_nil(req:read("L"))
    end)
  end)

  it("mixes lines and counts", function()
    with_body("name: x\nBODY", function(req)
      assert.equal("name: x", req:read("l"))
      assert.equal("BO", req:read(2))
      assert.equal("DY", req:read("a"))
    end)
  end)

  it("reads lines longer than any buffer", function()
    local long = ("y"):rep(30000)
    with_body(long .. "\n" .. long, function(req)
      assert.equal(long, req:read("l"))
      assert.equal(long, req:read("l"))
    end)
  end)

  it("reads an empty body", function()
    with_body("", function(req)
      assert.is_nil(req:read_some())
      assert.equal("", req:read("a"))
    end)
  end)

  it("refuses what it does not know", function()
    with_body("", function(req)
      assert.has_error(function() req:read("x") end)
      assert.has_error(function() req:read(-1) end)
      assert.has_error(function() req:read(1.5) end)
      assert.has_error(function() req:read_some(0) end)
      assert.has_error(function() req:read({}) end)
    end)
  end)
end)

describe("req:lines", function()
  it("iterates over lines", function()
    with_body("a\nb\nc", function(req)
      local lines = {}
      for line in req:lines() do
        lines[#lines + 1] = line
      end
      assert.same({ "a", "b", "c" }, lines)
    end)
  end)

  it("iterates over pieces", function()
    with_body("abcde", function(req)
      local pieces = {}
      for piece in req:lines(2) do
        pieces[#pieces + 1] = piece
      end
      assert.same({ "ab", "cd", "e" }, pieces)
    end)
  end)

  it("raises after the request is finished", function()
    with_body("abc", function(req)
      local iterate = req:lines()
      req:finish()
      assert.has_error(iterate, "the request is finished")
    end)
  end)
end)

describe("a body that ends short of CONTENT_LENGTH", function()
  local function truncated(check)
    support.with_server({ stream = true }, function(server, path)
      local peer <close> = client.connect(path)
      peer:begin { method = "POST", params = { CONTENT_LENGTH = "100" } }
      peer:stdin("one\ntwo")
      peer:stdin("")
      local req = assert(server:accept(5))
      check(req)
      req:reply(400)
    end)
  end

  it("is never taken for a whole one", function()
    truncated(function(req)
      local data, message, code = req:read("a")
      assert.is_nil(data)
      assert.matches("CONTENT_LENGTH", message)
      assert.equal("TRUNCATED", code)
    end)
  end)

  it("loses no bytes that came", function()
    truncated(function(req)
      assert.equal("one", req:read("l"))
      assert.same({ "TRUNCATED" }, { select(3, req:read(50)) })
      assert.equal("two", req:read_some())
      assert.same({ "TRUNCATED" }, { select(3, req:read_some()) })
    end)
  end)

  it("makes lines raise", function()
    truncated(function(req)
      local lines = req:lines()
      assert.equal("one", lines())
      assert.has_error(lines)
    end)
  end)
end)

describe("stream mode", function()
  it("starts before the body and times out while nothing comes", function()
    support.with_server({ stream = true, io_timeout = 0.05 }, function(server, path)
      local peer <close> = client.connect(path)
      peer:begin { method = "POST", params = { CONTENT_LENGTH = "4" } }
      local req = assert(server:accept(5))
      assert.same({ "TIMEOUT" }, { select(3, req:read("a")) })
      peer:stdin("ab")
      assert.equal("ab", req:read_some())
      peer:stdin("cd")
      peer:stdin("")
      assert.equal("cd", req:read("a"))
      req:reply(200)
    end)
  end)

  it("never waits with a timeout of 0, and has no limit with an io_timeout of 0", function()
    support.with_server({ stream = true, io_timeout = 0 }, function(server, path)
      local peer <close> = client.connect(path)
      peer:begin { method = "POST", params = { CONTENT_LENGTH = "4" } }
      local req = assert(server:accept(5))
      assert.has_error(function() req:set_timeout(-1) end)
      req:set_timeout(0)
      assert.same({ "AGAIN" }, { select(3, req:read_some()) })
      peer:stdin("abcd")
      peer:stdin("")
      support.wait_for(function()
        server:accept(0)
        return req:read_some() == "abcd"
      end, "the body")
      req:reply(200)
    end)
  end)
end)
