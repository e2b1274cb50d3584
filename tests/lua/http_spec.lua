-- SPDX-License-Identifier: MIT
-- Dates, preconditions and ranges (RFC 9110).
local http = require "fcgi.http"

local function request(method, headers)
  local params = {}
  for name, value in pairs(headers) do
    params["HTTP_" .. name:upper():gsub("-", "_")] = value
  end
  return { method = method, params = params }
end

local T = 784111777
local DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
local BEFORE, AFTER = "Sun, 06 Nov 1994 08:49:36 GMT", "Sun, 06 Nov 1994 08:49:38 GMT"

describe("http.date and http.time", function()
  it("are the inverse of each other", function()
    assert.equal(DATE, http.date(T))
    assert.equal(DATE, http.date(T + 0.9))
    for time = 0, 4.1e9, 7654321 do
      assert.equal(time, http.time(http.date(time)))
    end
    for _, time in ipairs { 0, 951782399, 951782400, 951868799, 951868800, 1709164800, 4107542400 } do
      assert.equal(time, http.time(http.date(time)))
      assert.equal(os.date("!%Y-%m-%d", time), os.date("!%Y-%m-%d", http.time(http.date(time))))
    end
  end)

  it("has three formats", function()
    assert.equal(T, http.time("Sunday, 06-Nov-94 08:49:37 GMT"))
    assert.equal(T, http.time("Sun Nov  6 08:49:37 1994"))
    local this = os.date("!*t").year
    for years, century in pairs { [0] = 0, [49] = 0, [52] = -100 } do
      local year = this + years
      local day = ("Monday, 01-Jan-%02d 00:00:00 GMT"):format(year % 100)
      assert.equal(year + century, os.date("!*t", http.time(day)).year)
    end
  end)

  for _, text in ipairs {
    "", "yesterday", "0", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 CET", "Sun, 31 Feb 1994 08:49:37 GMT",
    "Sun, 29 Feb 1900 08:49:37 GMT", "Sun, 00 Nov 1994 08:49:37 GMT", "Sun, 06 Foo 1994 08:49:37 GMT",
    "Sun, 06 Nov 1994 24:00:00 GMT", "Sun, 06 Nov 1994 08:60:37 GMT", "Sun, 06 Nov 1994 08:49:61 GMT",
    DATE .. "\n", DATE .. "; x",
  } do
    it(("is nil for %q"):format(text), function()
      assert.is_nil(http.time(text))
    end)
  end

  it("is nil for nothing", function()
    assert.is_nil(http.time(nil))
  end)
end)

describe("http.precondition", function()
  local cases = {
    -- What is asked, the status for GET, and for PUT; of a file with the tag "a" that was modified at DATE.
    { {}, nil, nil },
    { { ["If-None-Match"] = '"a"' }, 304, 412 },
    { { ["If-None-Match"] = 'W/"a"' }, 304, 412 },
    { { ["If-None-Match"] = '"b", W/"a" ,"c"' }, 304, 412 },
    { { ["If-None-Match"] = '"b,\\"a"' }, nil, nil },
    { { ["If-None-Match"] = '"b"' }, nil, nil },
    { { ["If-None-Match"] = '"A"' }, nil, nil },
    { { ["If-None-Match"] = "a" }, nil, nil },
    { { ["If-None-Match"] = "" }, nil, nil },
    { { ["If-None-Match"] = "*" }, 304, 412 },
    { { ["If-None-Match"] = '"*"' }, nil, nil },
    { { ["If-Modified-Since"] = DATE }, 304, nil },
    { { ["If-Modified-Since"] = AFTER }, 304, nil },
    { { ["If-Modified-Since"] = BEFORE }, nil, nil },
    { { ["If-Modified-Since"] = "yesterday" }, nil, nil },
    { { ["If-None-Match"] = '"b"', ["If-Modified-Since"] = DATE }, nil, nil },
    { { ["If-None-Match"] = '"a"', ["If-Modified-Since"] = BEFORE }, 304, 412 },
    { { ["If-Match"] = '"a"' }, nil, nil },
    { { ["If-Match"] = '"b", "a"' }, nil, nil },
    { { ["If-Match"] = "*" }, nil, nil },
    { { ["If-Match"] = 'W/"a"' }, 412, 412 },
    { { ["If-Match"] = '"b"' }, 412, 412 },
    { { ["If-Match"] = "" }, 412, 412 },
    { { ["If-Unmodified-Since"] = DATE }, nil, nil },
    { { ["If-Unmodified-Since"] = AFTER }, nil, nil },
    { { ["If-Unmodified-Since"] = BEFORE }, 412, 412 },
    { { ["If-Unmodified-Since"] = "never" }, nil, nil },
    { { ["If-Match"] = '"a"', ["If-Unmodified-Since"] = BEFORE }, nil, nil },
    { { ["If-Match"] = '"b"', ["If-None-Match"] = '"a"' }, 412, 412 },
    { { ["If-Match"] = '"a"', ["If-None-Match"] = '"a"' }, 304, 412 },
    { { ["If-Unmodified-Since"] = BEFORE, ["If-None-Match"] = '"a"' }, 412, 412 },
  }
  for _, case in ipairs(cases) do
    local words = {}
    for name, value in pairs(case[1]) do
      words[#words + 1] = name .. ": " .. value
    end
    it("judges " .. table.concat(words, ", "), function()
      assert.equal(case[2], http.precondition(request("GET", case[1]), '"a"', T))
      assert.equal(case[2], http.precondition(request("HEAD", case[1]), '"a"', T + 0.5))
      assert.equal(case[3], http.precondition(request("PUT", case[1]), '"a"', T))
    end)
  end

  it("takes no longer for what is made to take long", function()
    for _, list in ipairs { (" "):rep(1000000), ('"'):rep(1000001), ('"a'):rep(500001), ("W/"):rep(500000),
      '"' .. ("a"):rep(1000000) } do
      assert.is_nil(http.precondition(request("GET", { ["If-None-Match"] = list }), '"b"', T))
      assert.is_nil(http.precondition(request("GET", { ["If-Modified-Since"] = list }), '"b"', T))
      assert.is_nil((http.range(request("GET", { Range = "bytes=" .. list }), 10)))
    end
  end)

  it("knows of weak tags, and of what has none", function()
    assert.equal(304, http.precondition(request("GET", { ["If-None-Match"] = '"a"' }), 'W/"a"'))
    assert.equal(412, http.precondition(request("GET", { ["If-Match"] = '"a"' }), 'W/"a"'))
    assert.equal(412, http.precondition(request("GET", { ["If-Match"] = '"a"' })))
    assert.is_nil(http.precondition(request("GET", { ["If-Match"] = "*" })))
    assert.is_nil(http.precondition(request("GET", { ["If-None-Match"] = '"a"' })))
    assert.is_nil(http.precondition(request("GET", { ["If-Modified-Since"] = AFTER }), '"a"'))
    assert.is_nil(http.precondition(request("GET", { ["If-Unmodified-Since"] = BEFORE }), '"a"'))
  end)
end)

describe("http.range", function()
  local function range(text, size, condition, etag, method)
    local req = request(method or "GET", { Range = text, ["If-Range"] = condition })
    return { http.range(req, size or 100, etag or '"a"', T) }
  end

  for text, expected in pairs {
    ["bytes=0-0"] = { 0, 0 },
    ["bytes=10-19"] = { 10, 19 },
    ["bytes=10-"] = { 10, 99 },
    ["bytes=99-"] = { 99, 99 },
    ["bytes=0-99"] = { 0, 99 },
    ["bytes=0-1000"] = { 0, 99 },
    ["bytes=0-99999999999999999999999"] = { 0, 99 },
    ["bytes=-1"] = { 99, 99 },
    ["bytes=-100"] = { 0, 99 },
    ["bytes=-101"] = { 0, 99 },
    ["bytes=-99999999999999999999999"] = { 0, 99 },
    ["Bytes= 1-2 "] = { 1, 2 },
    ["bytes=100-"] = { false },
    ["bytes=100-200"] = { false },
    ["bytes=99999999999999999999999-"] = { false },
    ["bytes=-0"] = { false },
    ["bytes=2-1"] = { nil },
    ["bytes=-"] = { nil },
    ["bytes="] = { nil },
    ["bytes"] = { nil },
    ["bytes=a-b"] = { nil },
    ["bytes=1-2,4-5"] = { nil },
    ["bytes=1 -2"] = { nil },
    ["bytes=+1-2"] = { nil },
    ["bytes=0x1-2"] = { nil },
    ["items=1-2"] = { nil },
  } do
    it("reads " .. text, function()
      assert.same(expected, range(text))
    end)
  end

  it("has nothing of a file without bytes", function()
    assert.same({ false }, range("bytes=0-", 0))
    assert.same({ nil }, range("bytes=-1", 0))
    assert.same({ false }, range("bytes=-0", 0))
  end)

  it("is for GET alone", function()
    assert.same({ nil }, range("bytes=0-1", 100, nil, nil, "HEAD"))
    assert.same({ nil }, range("bytes=0-1", 100, nil, nil, "POST"))
  end)

  it("is of the file that the client has, or of none", function()
    for condition, is in pairs {
      ['"a"'] = true, ['"b"'] = false, ['W/"a"'] = false, ['"a", "b"'] = false, ["*"] = false, [DATE] = true,
      [BEFORE] = false, [AFTER] = false, ["yesterday"] = false,
    } do
      assert.same(is and { 0, 1 } or { nil }, range("bytes=0-1", 100, condition), condition)
    end
    assert.same({ nil }, range("bytes=0-1", 100, 'W/"a"', 'W/"a"'))
    local req = request("GET", { Range = "bytes=0-1", ["If-Range"] = DATE })
    assert.same({ nil }, { http.range(req, 100, '"a"') })
    local now = os.time()
    req = request("GET", { Range = "bytes=0-1", ["If-Range"] = http.date(now) })
    assert.same({ nil }, { http.range(req, 100, '"a"', now) })
  end)
end)
