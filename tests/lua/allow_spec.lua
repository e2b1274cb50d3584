-- SPDX-License-Identifier: MIT
-- Who may connect.
package.path = debug.getinfo(1, "S").source:match("^@(.*/)") .. "?.lua;" .. package.path
local client = require "client"
local fcgi = require "fcgi"
local socket = require "socket"
local support = require "support"

local uid = tonumber((support.shell("id -u")))

local function hello()
  return 200, {}, "hi"
end

-- A client over TCP, on what client.connect makes for unix sockets.
local function connect_tcp(port)
  local stream = assert(socket.connect("127.0.0.1", port))
  stream:settimeout(20)
  return setmetatable({ stream = stream, pending = {} }, client)
end

local function is_closed(peer)
  peer.stream:settimeout(0)
  local _, problem = peer.stream:receive(1)
  peer.stream:settimeout(20)
  return problem == "closed"
end

-- What the server answers the peer's request; nil when it closes instead.
local function answer(server, peer)
  pcall(peer.request, peer, {})
  local req = support.wait_for(function()
    return server:accept(0.02) or is_closed(peer) and "closed"
  end, "a request, or the connection's end")
  if req == "closed" then
    return nil
  end
  req:reply(hello())
  return peer:response().body
end

-- The same of a server on TCP with these options.
local function ask_tcp(options)
  options.bind = options.bind or "127.0.0.1:0"
  local server <close> = assert(fcgi.server(options))
  local peer <close> = connect_tcp(server:address():match(":(%d+)$"))
  return answer(server, peer)
end

local function ask_unix(options)
  local answered
  support.with_server(options, function(server, path)
    local peer <close> = client.connect(path)
    answered = answer(server, peer)
  end)
  return answered
end

describe("an allow list", function()
  it("lets in who is in it", function()
    assert.equal("hi", ask_tcp { allow_from = "127.0.0.1" })
    assert.equal("hi", ask_tcp { allow_from = "::1, 127.0.0.0/8" })
  end)

  it("closes on others", function()
    assert.is_nil(ask_tcp { allow_from = "127.0.0.2, 10.0.0.0/8, ::/0" })
  end)

  it("is needed beyond loopback", function()
    local server, message, code = fcgi.server { bind = "0.0.0.0:0" }
    assert.same({ nil, "INVALID" }, { server, code })
    assert.matches("0.0.0.0:0: other machines could connect", message, 1, true)
    assert.equal("hi", ask_tcp { bind = "0.0.0.0:0", allow_from = "127.0.0.1" })
  end)

  it("with a mistake is refused", function()
    local wanted = "option 'allow_from' must be a string that is not empty"
    assert.error_matches(function() fcgi.server { allow_from = "" } end, wanted)
    for _, list in ipairs { "localhost", "127.0.0.1,", "::1/129" } do
      local server, message, code = fcgi.server { bind = "127.0.0.1:0", allow_from = list }
      assert.same({ nil, "INVALID" }, { server, code })
      assert.matches("cannot listen: allow list", message, 1, true)
    end
    assert.error_matches(function() fcgi.server { allow_from = 5 } end, "option 'allow_from' must be a string")
  end)

  it("is not for unix sockets", function()
    assert.equal("hi", ask_unix { allow_from = "10.0.0.1" })
  end)
end)

describe("peer_users", function()
  it("lets in these users", function()
    assert.equal("hi", ask_unix { peer_users = { uid + 1, uid } })
  end)

  it("closes on others", function()
    assert.is_nil(ask_unix { peer_users = ("%d"):format(uid + 1) })
  end)

  it("is checked", function()
    for _, users in ipairs { "", "-1", "no-such-user", "1.5", "1099511627776", "1,", {}, { -1 }, { 1.5 }, 0 } do
      assert.error_matches(function() fcgi.server { peer_users = users } end, "option 'peer_users' must be")
    end
  end)
end)

describe("the launcher", function()
  it("takes both lists", function()
    local process <close> = support.launch("return function() return 200, {}, 'hi' end",
      ("--bind 0.0.0.0:0 --allow-from '127.0.0.1, ::1' --peer-users root,%d"):format(uid))
    assert.equal("hi", process:ask().body)
    assert.equal(0, process:stop())
  end)

  -- Run to its end: the first of its sockets may be there for a moment before
  -- it finds what is missing, and a client could connect.
  it("says what is missing", function()
    local directory = support.directory()
    local app = support.write_file(directory .. "/app.lua", "return function() return 200, {}, 'hi' end")
    local function run(options)
      return support.shell(("timeout 20 %s --bind unix:%s/s.sock %s %s </dev/null 2>&1"):format(
        support.launcher, directory, options, app))
    end
    local output, status = run("--bind 0.0.0.0:0")
    assert.equal(1, status)
    assert.matches("--allow-from", output, 1, true)
    output, status = run("--peer-users 0,no-such-user")
    assert.equal(2, status)
    assert.matches("--peer-users=0,no-such-user: must be users of this machine", output, 1, true)
    support.remove(directory)
  end)
end)
