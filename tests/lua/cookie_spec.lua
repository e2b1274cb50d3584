-- SPDX-License-Identifier: MIT
package.path = debug.getinfo(1, "S").source:match("^@(.*/)") .. "?.lua;" .. package.path
local cookie = require "fcgi.cookie"
local support = require "support"
local url = require "fcgi.url"

describe("cookie.parse", function()
  for header, expected in pairs {
    [""] = {},
    ["a=1"] = { a = "1" },
    ["a=1; b=2;c=3 ;\td = 4"] = { a = "1", b = "2", c = "3", d = "4" },
    ["a=1; a=2"] = { a = "1" },
    ["a="] = { a = "" },
    ["a=b=c=="] = { a = "b=c==" },
    ["a; =b; ; c=1"] = { c = "1" },
    ['a="x y"; b="; c="'] = { a = "x y", b = '"', c = '"' },
    ["a=%41+b"] = { a = "%41+b" },
    ["__proto__=1; a b=2; é=ü"] = { ["__proto__"] = "1", ["a b"] = "2", ["é"] = "ü" },
  } do
    it(("reads %q"):format(header), function()
      assert.same(expected, cookie.parse(header))
    end)
  end

  it("reads none where there is no header", function()
    assert.same({}, cookie.parse(nil))
  end)

  it("takes no longer for what is made to take long", function()
    local blank = (" "):rep(1000000)
    assert.same({ a = "b" }, cookie.parse(blank .. "a" .. blank .. "=" .. blank .. "b" .. blank))
    assert.same({}, cookie.parse(blank .. "a" .. blank .. "b" .. blank))
    assert.same({ a = blank .. "b" }, cookie.parse('a="' .. blank .. 'b"' .. blank))
  end)

  it("never raises", function()
    math.randomseed(3)
    for _ = 1, 1000 do
      local bytes = {}
      for i = 1, math.random(0, 30) do
        bytes[i] = math.random() < 0.5 and ('a=;" \t'):sub(math.random(6)):sub(1, 1) or string.char(math.random(0, 255))
      end
      for name, value in pairs(cookie.parse(table.concat(bytes))) do
        assert.is_true(name ~= "" and not name:find(";", 1, true) and not value:find(";", 1, true))
      end
    end
  end)
end)

describe("cookie.build", function()
  for expected, arguments in pairs {
    ["a=b; Path=/; HttpOnly; SameSite=Lax"] = { "a", "b" },
    ["a="] = { "a", "", { path = false, http_only = false, same_site = false } },
    ["a=b; Path=/x; Domain=example.com; Max-Age=60; Secure; SameSite=Strict; Partitioned"] = { "a", "b", {
      path = "/x", domain = "example.com", max_age = 60, secure = true, http_only = false, same_site = "strict",
      partitioned = true } },
    ["a=b; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"] = { "a", "b", { max_age = 0 } },
    ["a=b; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax"] = { "a", "b", { max_age = 31536000.0 } },
    ["a=b; Path=/; Secure; HttpOnly; SameSite=None"] = { "a", "b", { same_site = "None", secure = true } },
    ["__Host-a=b; Path=/; Secure; HttpOnly; SameSite=Lax"] = { "__Host-a", "b", { secure = true } },
    ["__Secure-a=b; Path=/x; Domain=a.example; Secure; HttpOnly; SameSite=Lax"] =
      { "__Secure-a", "b", { secure = true, path = "/x", domain = "a.example" } },
  } do
    it("makes " .. expected, function()
      assert.equal(expected, cookie.build(table.unpack(arguments, 1, 3)))
    end)
  end

  for why, arguments in pairs {
    ["a line break in the name"] = { "a\r\nX: y", "b" },
    ["no name"] = { "", "b" },
    ["an equals sign in the name"] = { "a=b", "b" },
    ["a space in the name"] = { "a b", "b" },
    ["a name that is no text"] = { 1, "b" },
    ["a line break"] = { "a", "b\r\nSet-Cookie: c=d" },
    ["a semicolon"] = { "a", "b; Domain=evil.example" },
    ["NUL"] = { "a", "b\0" },
    ["a tab"] = { "a", "b\tc" },
    ["a space"] = { "a", "b c" },
    ["a quote"] = { "a", '"b"' },
    ["a comma"] = { "a", "b,c" },
    ["a backslash"] = { "a", "b\\c" },
    ["what is not ASCII"] = { "a", "é" },
    ["a value that is no text"] = { "a", 1 },
    ["more than 4096 bytes"] = { "a", ("b"):rep(4096) },
    ["an unknown option"] = { "a", "b", { expires = 1 } },
    ["an option of another kind"] = { "a", "b", { secure = "yes" } },
    ["true for a path"] = { "a", "b", { path = true } },
    ["false for an age"] = { "a", "b", { max_age = false } },
    ["a path that is none"] = { "a", "b", { path = "x" } },
    ["a semicolon in the path"] = { "a", "b", { path = "/;Secure" } },
    ["a line break in the path"] = { "a", "b", { path = "/\n" } },
    ["a domain that is none"] = { "a", "b", { domain = "a b" } },
    ["a semicolon in the domain"] = { "a", "b", { domain = "a;b" } },
    ["half a second"] = { "a", "b", { max_age = 0.5 } },
    ["an age that has no end"] = { "a", "b", { max_age = math.huge } },
    ["an age that is no number"] = { "a", "b", { max_age = 0 / 0 } },
    ["another SameSite"] = { "a", "b", { same_site = "Some" } },
    ["SameSite=None that is not secure"] = { "a", "b", { same_site = "none" } },
    ["partitioned that is not secure"] = { "a", "b", { partitioned = true } },
    ["__Secure- that is not secure"] = { "__Secure-a", "b" },
    ["__Host- that is not secure"] = { "__Host-a", "b" },
    ["__Host- with a path"] = { "__Host-a", "b", { secure = true, path = "/x" } },
    ["__Host- without a path"] = { "__Host-a", "b", { secure = true, path = false } },
    ["__Host- with a domain"] = { "__Host-a", "b", { secure = true, domain = "example.com" } },
    ["__host- in small letters"] = { "__host-a", "b", { secure = true, domain = "example.com" } },
  } do
    it("refuses " .. why, function()
      local fine, message = pcall(cookie.build, table.unpack(arguments, 1, 3))
      assert.is_false(fine)
      assert.matches("cookie: ", message, 1, true)
    end)
  end

  it("says whose mistake it is", function()
    local _, message = pcall(function() cookie.build("a", ";") end)
    assert.matches("^[^:]*cookie_spec.lua:%d+: cookie: ", message)
  end)

  it("takes every byte that cookies can have, and no other", function()
    for byte = 0, 255 do
      local char = string.char(byte)
      local expected = char:find("^[!-~]$") ~= nil and not char:find('[",;\\]')
      assert.equal(expected, (pcall(cookie.build, "a", char)), byte)
    end
  end)
end)

describe("req:cookies", function()
  it("has what was built, encoded for any text", function()
    local sent = cookie.build("a", url.encode("é; =\r\n")):match("^[^;]*")
    local found
    support.ask(function(req)
      found = req:cookies()
      return 200
    end, { params = { HTTP_COOKIE = "x=1; " .. sent } })
    assert.same({ x = "1", a = "%C3%A9%3B%20%3D%0D%0A" }, found)
    assert.equal("é; =\r\n", url.decode(found.a))
  end)
end)
