-- SPDX-License-Identifier: MIT
-- Authorizers, filters and custom roles.
package.path = debug.getinfo(1, "S").source:match("^@(.*/)") .. "?.lua;" .. package.path
local client = require "client"
local fcgi = require "fcgi"
local support = require "support"

local AUTHORIZER, FILTER = 2, 3
local text = { ["Content-Type"] = "text/plain" }

local function hello(req)
  return 200, text, req.role
end

-- The response of a server with these options to one request of a role; `body`
-- and `data` left out are not sent at all.
local function ask(options, role, request)
  request = request or {}
  local handler = options.handler
  options.handler = nil
  local response
  support.with_server(options, function(server, path)
    local peer <close> = client.connect(path)
    peer:begin { role = role, params = request.params }
    if request.body then
      peer:stdin(request.body .. "")
      if request.body ~= "" then
        peer:stdin("")
      end
    end
    if request.data then
      if request.data ~= "" then
        peer:data(request.data)
      end
      peer:data("")
    end
    server:stop()
    assert(server:serve(handler))
    response = peer:response()
  end)
  return response
end

describe("an authorizer", function()
  it("allows with variables", function()
    local response = ask({ handler = hello, roles = { authorizer = function(req)
      assert.equal("authorizer", req.role)
      assert(req:allow { AUTH_USER = "ann", LEVEL = 3, GROUP = { "a", "b" } })
      assert.has_error(function() req:read("a") end, "the request is finished")
    end } }, AUTHORIZER)
    assert.same({ 200, "", 0 }, { response.status, response.body, response.protocol_status })
    assert.equal("ann", response.headers["variable-auth_user"])
    assert.equal("3", response.headers["variable-level"])
    assert.equal(5, #response.lines)
  end)

  it("allows without variables", function()
    local response = ask({ roles = { authorizer = function(req) return req:allow() end } }, AUTHORIZER)
    assert.equal("Status: 200 OK\r\n\r\n", response.stdout)
  end)

  it("denies with an ordinary answer", function()
    local response = ask({ roles = { authorizer = function()
      return 401, { ["WWW-Authenticate"] = "Basic" }, "who?"
    end } }, AUTHORIZER)
    assert.same({ 401, "who?" }, { response.status, response.body })
  end)

  it("never allows by mistake", function()
    for _, variables in ipairs { { A = "x\r\nVariable-ADMIN: 1" }, { ["A B"] = "x" }, { [""] = "x" },
      { A = true }, { "x" }, "x" } do
      local raised
      local response = ask({ roles = { authorizer = function(req)
        raised = select(2, pcall(req.allow, req, variables))
        return 403, text, "no"
      end } }, AUTHORIZER)
      assert.is_string(raised)
      assert.same({ 403, "no" }, { response.status, response.body })
    end
  end)
end)

local function shout(req)
  return 200, text, req:read("a") .. "|" .. req:read_data():upper()
end

describe("a filter", function()
  it("reads both streams", function()
    for _, stream in ipairs { true, false } do
      local data = ("the file "):rep(5000)
      local response = ask({ stream = stream, roles = { filter = shout } }, FILTER,
        { body = "form", data = data, params = { FCGI_DATA_LENGTH = #data } })
      assert.equal("form|" .. data:upper(), response.body)
    end
  end)

  it("reads as the body is read", function()
    local response = ask({ roles = { filter = function(req)
      local parts = { req:read_data(2), req:read_data("l"), req:read_data("L"), req:read_data() }
      parts[#parts + 1] = tostring(req:read_data(1))
      return 200, text, table.concat(parts, ",")
    end } }, FILTER, { body = "", data = "abcd\nefg\nrest\n" })
    assert.equal("ab,cd,efg\n,rest\n,nil", response.body)
  end)

  it("knows its file", function()
    local function tell(req)
      return 200, text, tostring(req.data_length) .. " " .. tostring(req.data_modified)
    end
    local known = { FCGI_DATA_LENGTH = "2", FCGI_DATA_LAST_MOD = "1700000000" }
    local broken = { FCGI_DATA_LENGTH = "2x", FCGI_DATA_LAST_MOD = "-1" }
    local request = { body = "", data = "ab", params = known }
    assert.equal("2 1700000000", ask({ roles = { filter = tell } }, FILTER, request).body)
    request.params = broken
    assert.equal("nil nil", ask({ roles = { filter = tell } }, FILTER, request).body)
  end)

  it("is told that its file is cut short", function()
    local response = ask({ roles = { filter = function(req)
      local data, message, code = req:read_data()
      return 200, text, ("%s,%s,%s"):format(data, #message > 0, code)
    end } }, FILTER, { body = "", data = "ab", params = { FCGI_DATA_LENGTH = "3" } })
    assert.equal("nil,true,TRUNCATED", response.body)
  end)

  it("may leave its file unread", function()
    local response = ask({ stream = true, roles = { filter = function() return 304 end } }, FILTER,
      { body = "", data = ("x"):rep(100000) })
    assert.equal(304, response.status)
  end)
end)

local custom = {
  oracle = { number = 100, streams = "none", handler = hello },
  thumbnailer = { number = 101, handler = function(req) return 200, text, req:read("a"):reverse() end },
  merger = { number = 65535, streams = "stdin+data", handler = shout },
  plain = { number = 102 },
}

describe("a custom role", function()
  it("has the streams it asks for", function()
    assert.equal("oracle", ask({ roles = custom }, 100).body)
    assert.equal("cba", ask({ roles = custom }, 101, { body = "abc" }).body)
    assert.equal("a|B", ask({ roles = custom }, 65535, { body = "a", data = "b" }).body)
  end)

  it("without a handler goes to the main one", function()
    assert.equal("plain", ask({ handler = hello, roles = custom }, 102, { body = "" }).body)
    assert.equal("responder", ask({ handler = hello, roles = custom }, 1, { body = "" }).body)
  end)

  it("comes out of accept", function()
    support.with_server({ roles = custom }, function(server, path)
      local peer <close> = client.connect(path)
      peer:begin { role = 100 }
      local req <close> = assert(server:accept(5))
      assert.equal("oracle", req.role)
    end)
  end)

  it("that nobody serves is refused", function()
    for _, role in ipairs { 0, 3, 103 } do
      local response = ask({ handler = hello, roles = custom }, role, { body = "" })
      assert.same({ "", 3 }, { response.stdout, response.protocol_status })
    end
    local response = ask({ handler = hello, roles = custom }, AUTHORIZER)
    assert.same({ 503, 3 }, { response.status, response.protocol_status })
  end)
end)

describe("roles", function()
  it("are checked", function()
    local function refuses(roles, message)
      assert.error_matches(function() fcgi.server { roles = roles } end, message)
    end
    refuses(5, "option 'roles' must be a table")
    refuses({}, "option 'roles' is an empty table")
    refuses({ hello }, "roles are named: found a number as a key")
    refuses({ authorizer = 5 }, "role 'authorizer': the handler must be a function")
    refuses({ oracle = hello }, "role 'oracle': a custom role is a table")
    refuses({ oracle = { handler = hello } }, "role 'oracle': a custom role needs a 'number' from 4 to 65535")
    refuses({ oracle = { number = 2 } }, "from 4 to 65535")
    refuses({ oracle = { number = 65536 } }, "from 4 to 65535")
    refuses({ oracle = { number = 100, streams = "all" } }, "'streams' must be")
    refuses({ oracle = { number = 100, handler = 1 } }, "the handler must be a function")
    refuses({ a = { number = 100 }, b = { number = 100 } }, "have the same number")
  end)

  it("are not taken beside an application", function()
    assert.error_matches(function() fcgi.serve { app = "x.lua", roles = custom } end, "not both")
    assert.error_matches(function() fcgi.serve {} end, "is needed")
  end)

  local app = [[
    return {
      %s
      roles = {
        authorizer = function(req) return req:allow { THREAD = "yes" } end,
        oracle = { number = 100, streams = "none", handler = function(req)
          return 200, {}, req.role
        end },
      },
    }]]

  for _, threads in ipairs { 1, 3 } do
    local function check(main)
      local process <close> = support.launch(app:format(main), "--threads " .. threads)
      for _ = 1, 4 do
        local peer <close> = process:connect()
        peer:begin { role = AUTHORIZER }
        assert.equal("yes", peer:response().headers["variable-thread"])
        peer:begin { role = 100 }
        assert.equal("oracle", peer:response().body)
        peer:begin { role = FILTER }
        assert.equal(3, peer:response().protocol_status)
      end
      local response = process:ask()
      assert.equal(0, process:stop())
      return response
    end

    it("come from the application's file with " .. threads .. " threads", function()
      assert.equal("main", check('handler = function() return 200, {}, "main" end,').body)
      assert.equal(3, check("").protocol_status)
    end)

    it("wrong in that file stop the start with " .. threads .. " threads", function()
      local fine, message = pcall(support.launch, "return { roles = { oracle = 5 } }", "--threads " .. threads)
      assert.is_false(fine)
      assert.matches("role 'oracle': a custom role is a table", message, 1, true)
    end)
  end
end)
