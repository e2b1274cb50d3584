-- SPDX-License-Identifier: MIT
package.path = debug.getinfo(1, "S").source:match("^@(.*/)") .. "?.lua;" .. package.path
local client = require "client"
local support = require "support"

local examples = support.source .. "/examples/lua/"

describe("the example", function()
  it("hello answers", function()
    local server <close> = support.launch(examples .. "hello.lua")
    local response = server:ask {}
    assert.equal("text/plain", response.headers["content-type"])
    assert.equal("Hello\n", response.body)
  end)

  it("pull answers in a loop of its own", function()
    local directory = support.directory()
    local pid = support.shell(("lua5.4 %spull.lua unix:%s/s >/dev/null 2>&1 & echo $!"):format(
      examples, directory)):match("%d+")
    local peer = support.wait_for(function() return client.try(directory .. "/s") end, "the server")
    peer:request { id = 1 }
    assert.equal("Hello\n", peer:response(1).body)
    peer:request { id = 2 }
    assert.equal("Hello\n", peer:response(2).body)
    peer:close()
    os.execute("kill " .. pid)
    support.remove(directory)
  end)

  it("hello_test tests hello", function()
    assert.same({ "ok\n", 0 }, { support.shell("lua5.4 " .. examples .. "hello_test.lua 2>&1") })
  end)

  it("echo streams both ways", function()
    local server <close> = support.launch(examples .. "echo.lua", "--threads 2")
    local peer <close> = server:connect()
    peer:begin { method = "POST", params = { CONTENT_LENGTH = "6", CONTENT_TYPE = "text/x" } }
    peer:stdin("abc")
    local seen = ""
    while not seen:find("abc", 1, true) do
      seen = seen .. peer:stdout()
    end
    assert.matches("Content-Type: text/x\r\n", seen, 1, true)
    assert.matches("X-Echo-Length: 6\r\n", seen, 1, true)
    peer:stdin("def")
    peer:stdin("")
    assert.equal("def", peer:response().stdout)
  end)

  it("echo shows parameters", function()
    local server <close> = support.launch(examples .. "echo.lua")
    local response = server:ask { params = { QUERY_STRING = "a=b", HTTP_X_TEST = "x" } }
    assert.equal("REQUEST_METHOD=GET\nSCRIPT_NAME=\nPATH_INFO=\nQUERY_STRING=a=b\nCONTENT_LENGTH=\n" ..
      "SERVER_PROTOCOL=\nHTTP_X_TEST=x\n", response.body)
  end)

  it("echo fails a body that is cut", function()
    local server <close> = support.launch(examples .. "echo.lua")
    local peer <close> = server:connect()
    peer:begin { method = "POST", params = { CONTENT_LENGTH = "6" } }
    peer:stdin("abc")
    peer:stdin("")
    local response = peer:response()
    assert.is_truthy(response.cut or response.app_status ~= 0 or response.status == 500)
    assert.matches("the body ended before CONTENT_LENGTH bytes", server:log(), 1, true)
  end)
end)

describe("as a CGI program, the example", function()
  local directory
  setup(function() directory = support.directory() end)
  teardown(function() support.remove(directory) end)

  -- Start it as a CGI server does; returns its answer, its log and its status.
  local function cgi(command, environment, body)
    support.write_file(directory .. "/body", body or "")
    local output, status = support.shell(
      ("cd %s && env GATEWAY_INTERFACE=CGI/1.1 SCRIPT_NAME=/x %s timeout 20 %s <%s/body 2>%s/log"):format(
        examples, environment, command, directory, directory))
    return output, support.read_file(directory .. "/log"), status
  end

  local hello = "Content-Type: text/plain\r\nContent-Length: 6\r\nStatus: 200 OK\r\n\r\nHello\n"

  for _, command in ipairs { "lua5.4 pull.lua", support.launcher .. " hello.lua",
    support.launcher .. " hello.lua --threads 2" } do
    it("answers once: " .. command:match("%w+%.lua.*$"), function()
      assert.same({ hello, "", 0 }, { cgi(command, "REQUEST_METHOD=GET") })
    end)
  end

  it("is not told by the client where to listen, or what to run", function()
    local words = " unix:" .. directory .. "/s --threads=many --help"
    for _, command in ipairs { "lua5.4 pull.lua", support.launcher .. " --stream hello.lua" } do
      assert.same({ hello, "", 0 }, { cgi(command .. words, "REQUEST_METHOD=GET") })
    end
  end)

  it("echo sends a body back", function()
    local output, log = cgi(support.launcher .. " echo.lua", "REQUEST_METHOD=POST CONTENT_LENGTH=3", "abc")
    assert.equal("", log)
    assert.matches("X-Echo-Length: 3\r\n", output, 1, true)
    assert.matches("\r\n\r\nabc$", output)
  end)

  it("authorizer greets", function()
    local output = cgi(support.launcher .. " authorizer.lua", "REQUEST_METHOD=GET AUTH_USER=ann")
    assert.matches("\r\n\r\nHello ann\n$", output)
  end)
end)
