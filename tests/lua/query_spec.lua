-- SPDX-License-Identifier: MIT
-- Text of clients: UTF-8, URLs, HTML and query strings.
local html = require "fcgi.html"
local query = require "fcgi.query"
local text = require "fcgi.text"
local url = require "fcgi.url"

local function pairs_of(encoded, options)
  local list = {}
  for name, value in query.each(assert(query.decode(encoded, options))) do
    list[#list + 1] = name .. "=" .. value
  end
  return list
end

describe("text.scrub", function()
  -- A dot stands for U+FFFD. The long ones are of the Unicode Standard, table 3-8,
  -- and of the Encoding Standard's tests.
  for bytes, expected in pairs {
    [""] = "",
    ["plain\0\127"] = "plain\0\127",
    ["\u{80}\u{7FF}\u{800}\u{D7FF}\u{E000}\u{FFFD}\u{10000}\u{10FFFF}"] =
      "\u{80}\u{7FF}\u{800}\u{D7FF}\u{E000}\u{FFFD}\u{10000}\u{10FFFF}",
    ["\u{FEFF}a"] = "\u{FEFF}a",
    ["a\x80b"] = "a.b",
    ["\xC0\xAF"] = "..",
    ["\xC3"] = ".",
    ["\xC3("] = ".(",
    ["\xE0\x9F\xBF"] = "...",
    ["\xED\xA0\x80"] = "...",
    ["\xF4\x90\x80\x80"] = "....",
    ["\xF5\xFF"] = "..",
    ["\xF0\x80\x80A"] = "...A",
    ["\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"] = "....A",
    ["a\xF1\x80\x80\xE1\x80\xC2b\x80c\x80\xBFd"] = "a...b.c..d",
  } do
    it("makes " .. ("%q"):format(expected), function()
      local marked = text.scrub(bytes)
      assert.equal(expected, bytes == marked and marked or (marked:gsub("\u{FFFD}", ".")))
    end)
  end

  it("makes valid text of anything, and leaves valid text alone", function()
    math.randomseed(1)
    for _ = 1, 2000 do
      local bytes = {}
      for i = 1, math.random(0, 12) do
        bytes[i] = string.char(math.random() < 0.3 and math.random(0, 127) or math.random(128, 255))
      end
      local given = table.concat(bytes)
      local made = text.scrub(given)
      assert.is_truthy(utf8.len(made))
      assert.equal(utf8.len(given) ~= nil, made == given)
    end
  end)
end)

describe("text.trim", function()
  for given, expected in pairs {
    [""] = "", [" "] = "", ["a"] = "a", [" a b\r\n"] = "a b", ["\t\n\v\f\r a"] = "a", ["\0 \u{A0}"] = "\0 \u{A0}",
  } do
    it(("makes %q"):format(expected), function()
      assert.equal(expected, text.trim(given))
    end)
  end

  it("takes no longer for what is made to take long", function()
    local blank = (" "):rep(1000000)
    assert.equal("", text.trim(blank))
    assert.equal("a" .. blank .. "b", text.trim(blank .. "a" .. blank .. "b" .. blank))
  end)
end)

describe("url", function()
  it("decodes escapes and leaves the rest", function()
    for encoded, expected in pairs {
      ["%41%62%c3%A9"] = "Ab\xC3\xA9", ["a+b"] = "a+b", ["%"] = "%", ["%4"] = "%4", ["%zz%41"] = "%zzA",
      ["%2541"] = "%41", ["%00"] = "\0",
    } do
      assert.equal(expected, url.decode(encoded))
    end
  end)

  it("encodes each byte so that it is decoded again", function()
    for byte = 0, 255 do
      local char = string.char(byte)
      local encoded = url.encode(char)
      assert.equal(char, url.decode(encoded))
      assert.matches("^[%w._~-]$", char:find("^[%w._~-]$") and encoded or "a")
      assert.equal(char:find("^[%w._~-]$") ~= nil, encoded == char)
    end
    assert.equal("12", url.encode(12))
  end)

  it("keeps the slashes of a path, and what a URL may contain", function()
    assert.equal("/a%20b/%C3%A9%3F", url.encode_path("/a b/é?"))
    assert.equal("/a%20b?x=%2F&y=[1]#%22%C3%A9", url.encode_rest('/a b?x=%2F&y=[1]#"é'))
  end)

  it("knows a path of its own site", function()
    for target, is in pairs {
      ["/"] = true, ["/a/b?c=//d"] = true, ["//evil.example"] = false, ["/\\evil.example"] = false,
      ["/\t/evil.example"] = false, ["https://evil.example"] = false, ["a"] = false, [""] = false,
      ["/\n/evil.example"] = false, ["\\/evil.example"] = false, [" //evil.example"] = false,
    } do
      assert.equal(is, url.is_local(target), target)
    end
  end)
end)

describe("html.escape", function()
  it("escapes five characters", function()
    assert.equal("&lt;a href=&quot;&#x27;&amp;amp;&quot;&gt;é\0", html.escape('<a href="\'&amp;">é\0'))
    assert.equal("1", html.escape(1))
  end)

  it("wants a text", function()
    assert.has_error(function() html.escape(nil) end, "a text is needed (got a nil)")
    assert.has_error(function() html.escape({}) end, "a text is needed (got a table)")
  end)
end)

describe("query.decode", function()
  -- The rows with U+FFFD and with odd separators are of the URL Standard's tests.
  for encoded, expected in pairs {
    [""] = {},
    ["a=1&b=2"] = { "a=1", "b=2" },
    ["a=1&a=2&a="] = { "a=1", "a=2", "a=" },
    ["&&a&&b=&="] = { "a=", "b=", "=" },
    ["=a"] = { "=a" },
    ["a=b=c"] = { "a=b=c" },
    ["a+b=c+%2B"] = { "a b=c +" },
    ["a;b=c"] = { "a;b=c" },
    ["%61%3D=%26"] = { "a==&" },
    ["a=%"] = { "a=%" },
    ["a=%4&b=%zz"] = { "a=%4", "b=%zz" },
    ["a=\0b\n"] = { "a=\0b\n" },
    ["id=0&value=%EF%BB%BFx"] = { "id=0", "value=\u{FEFF}x" },
    ["b=%FE%FF"] = { "b=\u{FFFD}\u{FFFD}" },
    ["b=%C2x"] = { "b=\u{FFFD}x" },
    ["%C3\xA9=é"] = { "é=é" },
  } do
    it(("reads %q"):format(encoded), function()
      assert.same(expected, pairs_of(encoded))
    end)
  end

  it("has the first value by name, and all by query.all", function()
    local fields = assert(query.decode("tag=a&tag=b&all=c&names=d&__index=e"))
    assert.same({ "a", "c", "d", "e" }, { fields.tag, fields.all, fields.names, fields.__index })
    assert.same({ "a", "b" }, query.all(fields, "tag"))
    assert.same({}, query.all(fields, "none"))
    assert.is_nil(fields.none)
    local count = 0
    for _ in pairs(fields) do count = count + 1 end
    assert.equal(4, count)
  end)

  it("leaves bytes when it is asked to", function()
    assert.same({ "b=\xFE\xFF" }, pairs_of("b=%FE%FF", { bytes = true }))
  end)

  it("has limits", function()
    local many = ("a&"):rep(1000)
    assert.equal(1000, #pairs_of(many))
    assert.same({ nil, "fields: more than 1000", "LIMIT", 413 }, { query.decode(many .. "a") })
    assert.same({ nil, "fields: more than 2", "LIMIT", 413 }, { query.decode("a&b&c", { limit_fields = 2 }) })
    assert.equal(1001, #pairs_of(many .. "a", { limit_fields = math.huge }))
    assert.equal(1, #pairs_of("abcde", { limit_fields_size = 5 }))
    assert.same({ nil, "bytes of fields: more than 5", "LIMIT", 413 },
      { query.decode("abcdef", { limit_fields_size = 5 }) })
    assert.equal("LIMIT", select(3, query.decode(("a"):rep(1048577))))
  end)

  it("refuses options that it does not have", function()
    for what, options in pairs {
      ["unknown option 'limit'"] = { limit = 1 },
      ["option 'limit_fields' must be a number (got a string)"] = { limit_fields = "1" },
      ["option 'limit_fields' must not be negative"] = { limit_fields = -1 },
      ["option 'bytes' must be a boolean (got a number)"] = { bytes = 1 },
    } do
      assert.has_error(function() query.decode("", options) end, what)
    end
    assert.has_error(function() query.all({}, "a") end, "fields are needed, as query.decode returns them")
  end)

  it("never raises, and what it reads is encoded and read again", function()
    math.randomseed(2)
    local alphabet = { "a", "=", "&", "+", "%", "4", "1", "\xC3", "\xA9", "\0", " " }
    for _ = 1, 2000 do
      local parts = {}
      for i = 1, math.random(0, 20) do
        parts[i] = alphabet[math.random(#alphabet)]
      end
      local fields = assert(query.decode(table.concat(parts)))
      local list = pairs_of(query.encode(fields))
      local at = 0
      for name, value in query.each(fields) do
        at = at + 1
        assert.equal(name .. "=" .. value, list[at])
      end
      assert.equal(at, #list)
    end
  end)
end)

describe("query.encode", function()
  it("encodes as browsers do", function()
    assert.equal("a=1&b=x+y&b=%C3%A9%26%7E&c=*-._",
      query.encode { c = "*-._", b = { "x y", "é&~" }, a = 1 })
    assert.equal("", query.encode {})
  end)

  it("keeps the order of what was decoded", function()
    assert.equal("z=1&a=2&z=3", query.encode(assert(query.decode("z=1&a=2&&z=3"))))
  end)
end)
