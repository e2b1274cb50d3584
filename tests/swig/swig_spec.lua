-- SPDX-License-Identifier: MIT
-- What only Lua's SWIG module has to show: numbers, errors, coroutines.
package.path = debug.getinfo(1, "S").source:match("^@(.*/)") .. "../lua/?.lua;" .. package.path
local client = require "client"
local fcgi = require "fcgi_swig"
local support = require "support"

describe("the SWIG module", function()
  local home, server, peer

  before_each(function()
    home = support.directory()
    server = fcgi.Server()
    server:listen("unix:" .. home .. "/x")
    peer = client.connect(home .. "/x")
  end)

  after_each(function()
    peer:close()
    server:close()
    support.remove(home)
  end)

  -- Send one request and take it.
  local function take(params)
    peer:request { params = params }
    return server:accept(10)
  end

  it("keeps numbers integers", function()
    local request = take { FCGI_DATA_LENGTH = math.maxinteger, FCGI_DATA_LAST_MOD = "9007199254740993" }
    assert.equal("integer", math.type(request:id()))
    assert.equal(math.maxinteger, request:data_length())
    assert.equal(9007199254740993, request:data_modified())
    assert.has_error(function() server:set("backlog", 1.5) end)
    assert.has_error(function() request:start("200") end)
    local _, problem = pcall(request.start, request, 1 << 40)
    assert.equal("INVALID", problem.code)
    request:fail()
  end)

  it("raises tables with a code and the caller's line", function()
    local request = take {}
    request:finish()
    local fine, problem = pcall(function() request:read() end)
    assert.is_false(fine)
    assert.equal("STATE", problem.code)
    assert.matches("^.*swig_spec%.lua:%d+: the request is finished$", tostring(problem))
  end)

  it("hands on any error as it is", function()
    local key = {}
    local odd = setmetatable({}, { __tostring = function() error("not shown") end })
    for _, thrown in ipairs { key, odd, "text", 7, false } do
      peer:request {}
      local fine, problem = pcall(server.run, server, function() error(thrown, 0) end, "raise")
      assert.is_false(fine)
      assert.is_true(rawequal(thrown, problem))
      assert.equal(500, peer:response().status)
    end
    peer:request {}
    assert.is_false((pcall(server.run, server, function() error() end, "raise")))
    assert.equal(500, peer:response().status)
  end)

  it("runs in the coroutine that enters the loop", function()
    local handler = coroutine.wrap(function()
      return function(request)
        request:reply(200, "text/plain", tostring(select(2, coroutine.running())))
        server:stop()
      end
    end)()
    collectgarbage()
    peer:request {}
    coroutine.wrap(function() server:run(handler) end)()
    assert.equal("false", peer:response().body)
    assert.is_true(server:stopped())
  end)

  it("takes callable tables, and nothing else", function()
    peer:request {}
    server:run(setmetatable({}, { __call = function(_, request)
      request:finish()
      server:stop()
    end }))
    assert.has_error(function() server:run {} end)
    assert.has_error(function() server:run(nil) end)
    assert.has_error(function() server.run(nil, print) end)
  end)

  it("fails a request that is dropped", function()
    take {}
    collectgarbage()
    collectgarbage()
    assert.equal(500, peer:response().status)
  end)

  it("keeps the server of a request alive", function()
    local request = take {}
    server = setmetatable({ close = function() end }, {})
    collectgarbage()
    collectgarbage()
    request:reply(200, "", "late")
    assert.equal("late", peer:response().body)
  end)
end)
