-- SPDX-License-Identifier: MIT
package.path = debug.getinfo(1, "S").source:match("^@(.*/)") .. "?.lua;" .. package.path
local support = require "support"

local path = support.source .. "/examples/guestbook/lua/app.lua"
local FORM = "application/x-www-form-urlencoded"
local home

-- Serve the guestbook with a database of its own.
local function launch(options, database)
  home = support.directory()
  -- The child inherits this through the shell that starts it.
  support.environment = "GUESTBOOK_DB=" .. (database or home .. "/guestbook.db")
  local server = support.launch(path, "--log-level warning " .. (options or ""))
  support.environment = nil
  return server
end

local function get(server, of)
  return server:ask { params = { PATH_INFO = of or "/book/" } }
end

local function post(server, body)
  return server:ask { body = body, params = { PATH_INFO = "/book/", REQUEST_URI = "/old/status", CONTENT_TYPE = FORM } }
end

local function status(server)
  local response = get(server, "/book/status")
  assert.equal("application/json", response.headers["content-type"])
  local id, age, requests = response.body:match(
    '^{"connection_id": "(%x+)", "connection_age_s": (%d+), "requests": (%d+)}$')
  return id, tonumber(age), tonumber(requests)
end

describe("the guestbook", function()
  after_each(function() support.remove(home) end)

  it("keeps one connection for every request", function()
    local server <close> = launch()
    local id, age, requests = status(server)
    assert.same({ 0, 1 }, { age, requests })
    require("client").sleep(1.1)
    local next_id, next_age, next_requests = status(server)
    assert.same({ id, 2 }, { next_id, next_requests })
    assert.is_true(next_age >= 1 and next_age <= 3)
    local body = get(server).body
    assert.matches('data%-connection%-id="' .. id .. '" data%-connection%-age%-s="%d+" data%-requests="3"', body)
    assert.matches("No entries yet", body, 1, true)
    assert.is_nil(body:find("$", 1, true))
  end)

  it("shows what is signed, escaped, after a redirect", function()
    local server <close> = launch()
    local response = post(server, "name=O%27Brien+%26+S%C3%B8n&message=%3Cb%3Ehi%3C%2Fb%3E%0D%0A%22$css%22%00%25s")
    assert.equal(303, response.status)
    assert.equal("/book/", response.headers.location)
    local body = get(server).body
    assert.matches("<h3>O&#x27;Brien &amp; Søn</h3>", body, 1, true)
    assert.matches("<p>&lt;b&gt;hi&lt;/b&gt;\n&quot;$css&quot;%s</p>", body, 1, true)
    assert.matches("1 entry", body, 1, true)
  end)

  it("has the path that the web server has judged, in links too", function()
    local server <close> = launch()
    local params = { SCRIPT_NAME = "/new", PATH_INFO = "/a \xe9%/", REQUEST_URI = "/old/status" }
    local body = server:ask({ params = params }).body
    assert.matches('action="/new/a%20%E9%25/"', body, 1, true)
    assert.matches('href="/new/a%20%E9%25/status"', body, 1, true)
    params = { SCRIPT_NAME = "/new", PATH_INFO = "//x/", REQUEST_URI = "/" }
    assert.matches('action="/new//x/"', server:ask({ params = params }).body, 1, true)
  end)

  it("keeps what it is told exactly, whatever the quotes", function()
    local server <close> = launch()
    assert.equal(303, post(server, "name=x&message=%27%29%3B+DROP+TABLE+entries%3B--").status)
    assert.equal(303, post(server, "name=y&message=%FF%00").status)
    local body = get(server).body
    assert.matches("<p>&#x27;); DROP TABLE entries;--</p>", body, 1, true)
    assert.matches("<p>\u{FFFD}</p>", body, 1, true)
    assert.matches("2 entries", body, 1, true)
  end)

  it("shows mistakes on the page and keeps what was typed", function()
    local server <close> = launch()
    local response = post(server, "name=me&message=+")
    assert.equal(400, response.status)
    assert.matches("Please write your message.", response.body, 1, true)
    assert.matches('name="name" value="me"', response.body, 1, true)
    response = post(server, "name=" .. ("x"):rep(81) .. "&message=y")
    assert.equal(400, response.status)
    assert.matches("Your name is longer than 80 characters.", response.body, 1, true)
    assert.equal(303, post(server, "name=" .. ("%C3%B8"):rep(80) .. "&message=y").status)
    response = post(server, "name=a&message=" .. ("x"):rep(2001))
    assert.matches("longer than 2,000 characters.", response.body, 1, true)
    assert.equal(413, post(server, "name=a&message=" .. ("x"):rep(70000)).status)
    response = server:ask { method = "DELETE", params = { PATH_INFO = "/book/" } }
    assert.equal(405, response.status)
    assert.equal("GET, HEAD, POST", response.headers.allow)
    assert.equal("", server:log())
  end)

  it("shows a page when there is no database", function()
    local server <close> = launch("", "/no/such/place/guestbook.db")
    local response = get(server)
    assert.equal(503, response.status)
    assert.matches("The database cannot be used now: unable to open database file.", response.body, 1, true)
    assert.matches("/no/such/place/guestbook.db", response.stderr, 1, true)
  end)

  it("takes writes of several threads at once", function()
    local server <close> = launch("--threads 4")
    local peers = {}
    for round = 1, 10 do
      for i = 1, 8 do
        peers[i] = server:connect()
        peers[i]:request { body = ("name=n%d&message=m%d"):format(i, round),
          params = { PATH_INFO = "/", CONTENT_TYPE = FORM } }
      end
      for i = 1, 8 do
        local response = peers[i]:response()
        assert.equal(303, response.status, response.body)
        peers[i]:close()
      end
    end
    assert.matches("80 entries", get(server).body, 1, true)
    assert.equal("", server:log())
  end)
end)
