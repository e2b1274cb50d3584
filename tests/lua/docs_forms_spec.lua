-- SPDX-License-Identifier: MIT
-- docs/lua.md on queries, forms, cookies and answers: its programs run, and it says
-- what is so.
package.path = debug.getinfo(1, "S").source:match("^@(.*/)") .. "?.lua;" .. package.path
local cookie = require "fcgi.cookie"
local support = require "support"
local test = require "fcgi.test"

local page = support.read_file(support.source .. "/docs/lua.md")
local directory

-- Serve a program of the page in a directory of its own.
local function serve(name)
  local program = assert(page:match("\n```lua\n(%-%- " .. name .. "%.lua\n.-\n)```"), name)
  support.write_file(("%s/%s.lua"):format(directory, name), program)
  return support.launch(("%s/%s.lua"):format(directory, name), "--chdir " .. directory)
end

local function ask(server, request)
  local client <close> = assert(test.client { address = "unix:" .. server.path })
  return assert(client:request(request))
end

local BODY = '--B\r\nContent-Disposition: form-data; name="color"\r\n\r\n<red>\r\n'
  .. '--B\r\nContent-Disposition: form-data; name="color"\r\n\r\nblue\r\n'
  .. '--B\r\nContent-Disposition: form-data; name="f"; filename="C:\\a&b.txt"\r\n\r\n12345\r\n--B--\r\n'
local PARTS = { ["Content-Type"] = "multipart/form-data; boundary=B" }
local ENCODED = { ["Content-Type"] = "application/x-www-form-urlencoded" }

describe("docs/lua.md", function()
  setup(function() directory = support.directory() end)
  teardown(function() support.remove(directory) end)

  it("takes an upload", function()
    local server <close> = serve "upload"
    local response = ask(server, { body = BODY, headers = PARTS })
    assert.equal("<!DOCTYPE html><ul>\n<li>&lt;red&gt;\n<li>blue\n<li>a&amp;b.txt, 5 bytes\n", response.body)
    response = ask(server, { body = "name=J%C3%B8rgen", headers = ENCODED })
    assert.same({ 303, "/" }, { response.status, response.headers.Location })
    local sent = response.headers["Set-Cookie"]
    assert.equal("name=J%C3%B8rgen; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax", sent)
    response = ask(server, { headers = { Cookie = sent:match("^[^;]*") } })
    assert.equal('{"name":"Jørgen"}', response.body)
    assert.equal('{"name":"ann"}', ask(server, { uri = "/?name=ann" }).body)
    assert.equal('{"name":"nobody"}', ask(server, {}).body)
  end)

  it("has the statuses of what cannot be read", function()
    local server <close> = serve "upload"
    local file = '--B\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\nx\r\n'
    local too_many = ask(server, { body = file:rep(3) .. "--B--", headers = PARTS })
    assert.same({ 413, "files: more than 2\n" }, { too_many.status, too_many.body })
    assert.equal(413, ask(server, { body = file:gsub("x", ("x"):rep(10485761)) .. "--B--", headers = PARTS }).status)
    assert.equal(400, ask(server, { body = file, headers = PARTS }).status)
    assert.equal(415, ask(server, { body = "{}", headers = { ["Content-Type"] = "application/json" } }).status)
  end)

  it("reads parts while they come", function()
    local server <close> = serve "parts"
    assert.equal("color: 5 bytes\ncolor: 4 bytes\na&b.txt: 5 bytes\n",
      ask(server, { body = BODY, headers = PARTS }).body)
    assert.equal(400, ask(server, { body = BODY:sub(1, 100), headers = PARTS }).status)
    assert.equal(415, ask(server, { body = "a=b", headers = ENCODED }).status)
  end)

  it("sends a file", function()
    support.write_file(directory .. "/hello.lua", "-- hello")
    local server <close> = serve "files"
    local moved = ask(server, {})
    assert.same({ 308, "/page" }, { moved.status, moved.headers.Location })
    local response = ask(server, { uri = "/page" })
    assert.same({ 200, "-- hello", "text/plain; charset=utf-8" },
      { response.status, response.body, response.headers["Content-Type"] })
    local part = ask(server, { uri = "/page", headers = { Range = "bytes=3-4" } })
    assert.same({ 206, "he" }, { part.status, part.body })
  end)

  it("has a session that a client cannot change", function()
    if not pcall(require, "openssl.hmac") then
      return pending "lua-luaossl is not installed"
    end
    support.environment = "SESSION_KEY=long-and-random"
    local server <close> = serve "session"
    support.environment = nil
    local sent = ask(server, { uri = "/login" }).headers["Set-Cookie"]
    local value = sent:match("^__Host%-session=([^;]*); Path=/; Max%-Age=3600; Secure; HttpOnly; SameSite=Lax$")
    local ends = tonumber(value:match("^ann%.(%d+)%.%x+$"))
    assert.is_true(ends > os.time() + 3000)
    local function seen(changed)
      local response = ask(server, { headers = { Cookie = "__Host-session=" .. changed } })
      return response.status .. " " .. response.body
    end
    assert.equal("200 ann\n", seen(value))
    for _, changed in ipairs {
      "", "ann", "ann.1", (value:gsub("^ann", "bob")), (value:gsub("%d", "9", 1)), value:sub(1, -2), value .. "0",
      (value:gsub("%.%x+$", "")), (value:gsub("%x$", function(last) return last == "0" and "1" or "0" end)),
    } do
      assert.equal("401 nobody\n", seen(changed), changed)
    end
    local hmac = require "openssl.hmac"
    local function signed(text)
      return text .. "." .. (hmac.new("long-and-random", "sha256"):final(text):gsub(".", function(byte)
        return ("%02x"):format(byte:byte())
      end))
    end
    assert.equal("200 ann\n", seen(signed("ann." .. os.time() + 60)))
    assert.equal("401 nobody\n", seen(signed("ann." .. os.time() - 1)))
  end)

  it("names the functions that modules have", function()
    for name, functions in page:match("\n| module | functions |\n(.-)\n\n"):gmatch("| (`fcgi[^|]+) | (.-) |\n?") do
      local has = {}
      for module in name:gmatch("`(fcgi%.%w+)`") do
        for of in pairs(require(module)) do
          has[of] = true
        end
      end
      for of in functions:gmatch("`?([%a_]+)%(") do
        assert.is_true(has[of], of)
        has[of] = nil
      end
      -- These are described elsewhere, or are for the modules themselves.
      for _, of in ipairs { "read", "add", "new", "encode_rest" } do
        has[of] = nil
      end
      assert.same({}, has)
    end
  end)

  it("names every option of a form, with its default", function()
    local rows = page:match("\n| option of `req:form` | default |\n|[-|]+\n(.-)\n\n")
    local source = support.read_file(support.source .. "/bindings/lua/fcgi/form.lua")
    local defaults = {}
    for name, value in source:match("\nlocal DEFAULTS = {(.-)\n}"):gmatch("\n  ([%w_]+) = ([%w.]+),") do
      defaults[name] = value
    end
    for name in rows:gmatch("`(limit_[%w_]+)`") do
      assert.is_truthy(defaults[name], name)
      defaults[name] = nil
    end
    assert.same({ bytes = "false", tmpfile = "io.tmpfile" }, defaults)
    for text, name in pairs { ["1000 fields"] = "limit_fields = 1000", ["1 MiB in all"] = "limit_fields_size = 1048576",
      ["20"] = "limit_files = 20", ["64 MiB each"] = "limit_file_size = 67108864",
      ["256 MiB in all"] = "limit_files_size = 268435456", ["8 KiB"] = "limit_headers_size = 8192" } do
      assert.is_truthy(rows:find(text, 1, true) and source:find(name, 1, true), name)
    end
  end)

  it("has the defaults of a cookie", function()
    assert.equal("a=b; " .. page:match("`(Path=/;[^`]*)`"), cookie.build("a", "b"))
  end)
end)
