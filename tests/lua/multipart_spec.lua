-- SPDX-License-Identifier: MIT
-- multipart/form-data: what browsers send, cut anywhere, and what nobody sends.
local http = require "fcgi.http"
local multipart = require "fcgi.multipart"

-- A source of bytes that come in pieces of a size, or in the pieces of a list.
local function source_of(body, size)
  local at = 1
  return function()
    if type(body) == "table" then
      at = at + 1
      return body[at - 1]
    end
    local piece = body:sub(at, at + size - 1)
    at = at + size
    return piece ~= "" and piece or nil
  end
end

-- Every part as a table; or nil, a message, a code and a status.
local function parts_of(source, boundary, options)
  local reader, parts = assert(multipart.reader(source, boundary, options)), {}
  local part, message, code, status = reader:next()
  while part do
    local body
    body, message, code, status = part:text(math.huge)
    if not body then
      break
    end
    parts[#parts + 1] = { name = part.name, filename = part.filename, type = part.type, body = body }
    part, message, code, status = reader:next()
  end
  if message then
    return nil, message, code, status
  end
  return parts
end

local function lines(...)
  return table.concat({ ... }, "\r\n")
end

-- What Chromium sends for two fields, a file whose name has quotes, a backslash, a
-- percent sign and a line break, and a field in which no file was chosen.
local CHROMIUM = lines("------WebKitFormBoundaryQ5pXwKCqJ2jHnbdZ", 'Content-Disposition: form-data; name="na%22me"', "",
  "J\u{F8}rgen", "------WebKitFormBoundaryQ5pXwKCqJ2jHnbdZ", 'Content-Disposition: form-data; name="text"', "",
  "one", "two", "", "------WebKitFormBoundaryQ5pXwKCqJ2jHnbdZ",
  'Content-Disposition: form-data; name="file"; filename="a %22\u{E9}\\x\\%%0A.bin"',
  "Content-Type: application/octet-stream", "", "\0\r\n------WebKitForm\r\n--\r\r\n\xFF\r\n",
  "------WebKitFormBoundaryQ5pXwKCqJ2jHnbdZ", 'Content-Disposition: form-data; name="none"; filename=""',
  "Content-Type: application/octet-stream", "", "", "------WebKitFormBoundaryQ5pXwKCqJ2jHnbdZ--", "")
local CHROMIUM_PARTS = {
  { name = 'na"me', type = "text/plain", body = "J\u{F8}rgen" },
  { name = "text", type = "text/plain", body = "one\r\ntwo\r\n" },
  { name = "file", filename = "%_.bin", type = "application/octet-stream",
    body = "\0\r\n------WebKitForm\r\n--\r\r\n\xFF\r\n" },
  { name = "none", filename = "", type = "application/octet-stream", body = "" },
}

-- What Firefox sends.
local FIREFOX = lines("-----------------------------735323031399963166993862150",
  'Content-Disposition: form-data; name="a"', "", "1", "-----------------------------735323031399963166993862150",
  'Content-Disposition: form-data; name="f"; filename="\u{65E5}\u{672C}.txt"', "Content-Type: text/plain", "", "x\n",
  "-----------------------------735323031399963166993862150--", "")

describe("the parts of a form", function()
  it("are those that Chromium has sent, however they are cut", function()
    local boundary = "----WebKitFormBoundaryQ5pXwKCqJ2jHnbdZ"
    for cut = 1, #CHROMIUM do
      local pieces = { CHROMIUM:sub(1, cut), CHROMIUM:sub(cut + 1) }
      assert.same(CHROMIUM_PARTS, parts_of(source_of(pieces), boundary))
    end
    for size = 1, 200 do
      assert.same(CHROMIUM_PARTS, parts_of(source_of(CHROMIUM, size), boundary))
    end
  end)

  it("are those that Firefox has sent", function()
    assert.same({ { name = "a", type = "text/plain", body = "1" },
      { name = "f", filename = "\u{65E5}\u{672C}.txt", type = "text/plain", body = "x\n" } },
      parts_of(source_of(FIREFOX, 1), "---------------------------735323031399963166993862150"))
  end)

  it("have a preamble and an epilogue that nobody reads", function()
    local body = lines("pre", "--Bx", "-", "--B \t", "content-disposition: FORM-DATA; NAME=a", "", "1", "--B--", "--B",
      "x")
    assert.is_nil((parts_of(source_of(body, 1000), "B")))
    body = body:gsub("%-%-Bx", "--b")
    for size = 1, #body do
      assert.same({ { name = "a", type = "text/plain", body = "1" } }, parts_of(source_of(body, size), "B"))
    end
  end)

  it("may be none", function()
    for size = 1, 10 do
      assert.same({}, parts_of(source_of("--B--\r\n", size), "B"))
      assert.same({}, parts_of(source_of("--B--", size), "B"))
    end
  end)

  it("may be passed over, and are not read afterwards", function()
    local reader = assert(multipart.reader(source_of(CHROMIUM, 7), "----WebKitFormBoundaryQ5pXwKCqJ2jHnbdZ"))
    local first = assert(reader:next())
    local second = assert(reader:next())
    assert.same({ nil, "the part has been passed over", "STATE", 500 }, { first:read() })
    assert.equal("text", second.name)
    assert.equal("file", assert(reader:next()).name)
    assert.equal("none", assert(reader:next()).name)
    assert.is_nil(reader:next())
    assert.is_nil(reader:next())
  end)

  it("come in pieces, while no more of the body is in memory", function()
    local head = '--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n'
    local step, count = ("x\r\n--"):rep(13000), 0
    local reader = assert(multipart.reader(function()
      count = count + 1
      return count == 1 and head or count < 300 and step or count == 300 and "\r\n--B--" or nil
    end, "B"))
    local part = assert(reader:next())
    local size, most = 0, 0
    for bytes in function() return part:read() end do
      size, most = size + #bytes, math.max(most, #bytes, #reader.buffer)
    end
    assert.equal(298 * #step, size)
    assert.is_true(most <= #step + 100, most)
    assert.is_nil(reader:next())
  end)

  it("come again where a read had to wait", function()
    local body, at, waits = CHROMIUM, 0, 0
    local reader = assert(multipart.reader(function()
      if waits < at then
        waits = waits + 1
        return nil, "would block", "AGAIN"
      end
      at = at + 1
      return body:sub(at, at)
    end, "----WebKitFormBoundaryQ5pXwKCqJ2jHnbdZ"))
    local function patiently(call)
      local result, message, code
      repeat
        result, message, code = call()
      until result or not message
      return result, code
    end
    local parts = {}
    for part in function() return patiently(function() return reader:next() end) end do
      local pieces = {}
      for bytes in function() return patiently(function() return part:read() end) end do
        pieces[#pieces + 1] = bytes
      end
      parts[#parts + 1] = { name = part.name, filename = part.filename, type = part.type, body = table.concat(pieces) }
    end
    assert.same(CHROMIUM_PARTS, parts)
  end)
end)

local function one(disposition, rest)
  local body = "--B\r\nContent-Disposition: " .. disposition .. "\r\n" .. (rest or "") .. "\r\nx\r\n--B--"
  local reader = assert(multipart.reader(source_of(body, 1000), "B"))
  return reader:next()
end

describe("the name of a file", function()
  for sent, expected in pairs {
    ['filename="a.txt"'] = "a.txt",
    ["filename=a.txt"] = "a.txt",
    ['filename="a;b=c.txt"; x="y"'] = "a;b=c.txt",
    ['filename="a%22b.txt"'] = 'a"b.txt',
    ['filename="a\\"b.txt"'] = "a\"b.txt",
    ['filename="a%41.txt"'] = "a%41.txt",
    ['filename="C:\\dir\\a.txt"'] = "a.txt",
    ['filename="dir\\"'] = "",
    ['filename="../../etc/passwd"'] = "passwd",
    ['filename=".."'] = "",
    ['filename="a/."'] = "",
    ['filename=".a"'] = ".a",
    ['filename="a%0D%0Ab\1"'] = "a__b_",
    ['filename="\xE9.txt"'] = "\u{FFFD}.txt",
    ["filename*=UTF-8''%C3%A9%20a.txt"] = "é a.txt",
    ["filename*=utf-8'de'%2Fx%2Fa.txt"] = "a.txt",
    ["filename=\"a\"; filename*=UTF-8''b"] = "a",
    ["filename*=latin1''b"] = false,
  } do
    it("is safe: " .. sent, function()
      local part = assert(one('form-data; name="f"; ' .. sent))
      assert.equal(expected or nil, part.filename)
    end)
  end

  it("is there as it was sent, too", function()
    assert.equal('C:\\dir\\é\r\n".txt', one('form-data; name="f"; filename="C:\\dir\\é%0D%0A%22.txt"').raw_filename)
  end)
end)

describe("a form that is none", function()
  for why, body in pairs {
    ["has no bytes"] = "",
    ["has no boundary"] = "hello\r\n",
    ["has another boundary"] = "--C\r\n\r\nx\r\n--C--",
    ["ends in a boundary"] = "--B",
    ["ends after a boundary"] = "--B\r\n",
    ["ends after half of the last boundary"] = "--B\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n--B-",
    ["ends in headers"] = "--B\r\nContent-Disposition: form-data; name=a\r\n",
    ["ends in a body"] = "--B\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n",
    ["has no last boundary"] = "--B\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n--B\r\n",
    ["goes on behind a boundary"] = "--B\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n--BC\r\n",
    ["has one dash behind a boundary"] = "--B-x\r\n",
    ["has lines that end in LF"] = "--B\nContent-Disposition: form-data; name=a\n\nx\n--B--\n",
    ["has a part without headers"] = "--B\r\n\r\nx\r\n--B--",
    ["has a part without a disposition"] = "--B\r\nContent-Type: text/plain\r\n\r\nx\r\n--B--",
    ["has a header without a name"] = "--B\r\n: x\r\n\r\nx\r\n--B--",
    ["has a header that is none"] = "--B\r\nhello\r\n\r\nx\r\n--B--",
    ["has a CR in a header"] = "--B\r\nContent-Disposition: form-data; name=a\rb\r\n\r\nx\r\n--B--",
    ["has NUL in a header"] = "--B\r\nContent-Disposition: form-data; name=a\0\r\n\r\nx\r\n--B--",
    ["has a header twice"] = "--B\r\nContent-Disposition: form-data; name=a\r\ncontent-disposition: form-data; name=b"
      .. "\r\n\r\nx\r\n--B--",
  } do
    it(why, function()
      for size = 1, #body + 1 do
        local parts, message, code, status = parts_of(source_of(body, size), "B")
        assert.same({ true, "string", "PROTOCOL", 400 }, { parts == nil, type(message), code, status })
      end
    end)
  end

  for why, disposition in pairs {
    ["has no name"] = "form-data",
    ["is an attachment"] = 'attachment; name="a"',
    ["has a name twice"] = 'form-data; name="a"; name="b"',
    ["has a quote that is not closed"] = 'form-data; name="a',
    ["has something behind a quote"] = 'form-data; name="a"b',
    ["has a parameter without a value"] = 'form-data; name="a"; filename',
    ["is empty"] = "",
  } do
    it("has a disposition that " .. why, function()
      assert.equal("PROTOCOL", select(3, one(disposition)))
    end)
  end

  it("has a boundary that is none", function()
    for _, boundary in ipairs { "", ("B"):rep(71), "a\r\nb", "a\0", "é" } do
      assert.same({ nil, "the boundary of the form is none", "PROTOCOL", 400 },
        { multipart.reader(source_of("", 1), boundary) })
    end
    assert(multipart.reader(source_of("", 1), ("B"):rep(70)))
  end)

  it("tells what the source has told", function()
    for at = 1, 60 do
      local body = '--B\r\nContent-Disposition: form-data; name="a"\r\n\r\nbody body\r\n--B--'
      local source = source_of(body:sub(1, at), 1)
      local parts, message, code, status = parts_of(function()
        local bytes = source()
        if bytes then return bytes end
        return nil, "the body is cut", "TRUNCATED"
      end, "B")
      assert.same({ nil, "the body is cut", "TRUNCATED", 400 }, { parts, message, code, status })
    end
  end)
end)

describe("a form with limits", function()
  it("has no more parts", function()
    local part = '--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n'
    assert.equal(1000, #assert(parts_of(source_of(part:rep(1000) .. "--B--", 65536), "B")))
    assert.same({ nil, "parts of the form: more than 1000", "LIMIT", 413 },
      { parts_of(source_of(part:rep(1001) .. "--B--", 65536), "B") })
    assert.equal("LIMIT", select(3, parts_of(source_of(part:rep(3) .. "--B--", 9), "B", { limit_parts = 2 })))
  end)

  it("has no longer headers, which are not kept to find that out", function()
    local count = 0
    for _, start in ipairs { "--B\r\nX: ", "--B" } do
      local reader = assert(multipart.reader(function()
        count = count + 1
        return count == 1 and start or (" "):rep(1000)
      end, "B"))
      count = 0
      assert.same({ nil, "bytes of a part's headers: more than 8192", "LIMIT", 413 }, { reader:next() })
      assert.is_true(count < 12)
    end
    local header = "Content-Disposition: form-data; name=a\r\nX: " .. ("y"):rep(100)
    local body = "--B\r\n" .. header .. "\r\n\r\n\r\n--B--"
    assert.is_truthy(parts_of(source_of(body, 9), "B", { limit_headers_size = 150 }))
    assert.equal("LIMIT", select(3, parts_of(source_of(body, 900), "B", { limit_headers_size = 140 })))
  end)

  it("takes no longer for headers that are made to take long", function()
    local long, blank = ("x"):rep(1000000), (" "):rep(1000000)
    for disposition, filename in pairs {
      ['form-data; name="a"; filename="/' .. long .. '/b"'] = "b",
      ['form-data; name="a"; filename="' .. ("/"):rep(1000000) .. '"'] = "",
      ['form-data; name="a"; filename="' .. ("\\\""):rep(500000) .. '"'] = ('"'):rep(500000),
      ['form-data; name="a"; filename="' .. ("\\"):rep(999999) .. '"'] = "",
      [blank .. "form-data" .. blank .. "; name=a" .. blank .. "; filename=b" .. blank] = "b",
    } do
      local body = "--B\r\nContent-Disposition: " .. disposition .. "\r\nX: a" .. blank .. "b\r\nY:" .. blank ..
        "\r\n\r\nx\r\n--B--"
      local reader = assert(multipart.reader(source_of(body, 10000000), "B", { limit_headers_size = math.huge }))
      assert.equal(filename, assert(reader:next()).filename)
    end
  end)

  it("has no more text than is wanted", function()
    local part = one("form-data; name=a")
    assert.same({ nil, "bytes of a field: more than 0", "LIMIT", 413 }, { part:text(0) })
    assert.equal("x", one("form-data; name=a"):text(1))
  end)
end)

describe("any bytes", function()
  it("are read or refused, and never raise", function()
    math.randomseed(4)
    local words = { "\r\n", "--B", "--", "B", "\r", "\n", "-", ": ", "Content-Disposition: form-data; name=\"a\"",
      "; filename=\"", "\"", "\\", "\0", "\xFF", "x", "\r\n\r\n", "\r\n--B\r\n", "\r\n--B--", "=", ";" }
    local read = 0
    for _ = 1, 4000 do
      local list = { math.random() < 0.7 and "--B\r\nContent-Disposition: form-data; name=a\r\n\r\n" or "" }
      for _ = 1, math.random(0, 25) do
        list[#list + 1] = words[math.random(#words)]
      end
      local body = table.concat(list)
      local parts, message, code, status = parts_of(source_of(body, math.random(1, 40)), "B")
      assert.is_true(parts ~= nil or type(message) == "string" and code == "PROTOCOL" and status == 400)
      assert.same({ parts, message }, { (parts_of(source_of(body, 100000), "B")), message })
      read = read + (parts and 1 or 0)
    end
    assert.is_true(read > 100, read)
  end)

  it("of a part come back as they were sent", function()
    math.randomseed(5)
    local words = { "\r\n", "\r", "\n", "-", "--", "\r\n--", "\r\n--Boundar", "\r\n-", "a", "\0", "\255", "Boundary" }
    for _ = 1, 1000 do
      local list = {}
      for i = 1, math.random(0, 30) do
        list[i] = words[math.random(#words)]
      end
      local sent = table.concat(list)
      if not ("\r\n" .. sent):find("\r\n--Boundary", 1, true) then
        local body = lines("--Boundary", "Content-Disposition: form-data; name=a", "", sent, "--Boundary--")
        local parts = assert(parts_of(source_of(body, math.random(1, 50)), "Boundary"))
        assert.same({ 1, sent }, { #parts, parts[1].body })
      end
    end
  end)
end)

describe("http.parameters", function()
  for header, expected in pairs {
    ["text/html"] = { "text/html", {} },
    ["Text/HTML;charset=UTF-8"] = { "text/html", { charset = "UTF-8" } },
    [' a ; B = c'] = false,
    ['a; b="c;d" ; E=f ;'] = { "a", { b = "c;d", e = "f" } },
    ['a; b="\\"\\\\\\c"'] = { "a", { b = '"\\\\c' } },
    ['a; b=""'] = { "a", { b = "" } },
    ['a; b="c\\"'] = { "a", { b = "c\\" } },
    ['a b'] = false,
    ['a; "b"=c'] = false,
    ['a; b=c d'] = false,
    ['; b=c'] = false,
    [''] = false,
  } do
    it(("reads %q"):format(header), function()
      local value, found = http.parameters(header)
      assert.same(expected, value and { value, found } or false)
    end)
  end
end)
