-- SPDX-License-Identifier: MIT
package.path = debug.getinfo(1, "S").source:match("^@(.*/)") .. "?.lua;" .. package.path
local support = require "support"
local ask = support.ask

local function answer(...)
  local results = table.pack(...)
  return ask(function() return table.unpack(results, 1, results.n) end)
end

describe("what the head of an answer promises", function()
  -- Nothing has left when it is found: the request can still be answered.
  local function refused(expected, ...)
    local args = table.pack(...)
    support.pull({}, function(req)
      local fine, message = pcall(req.reply, req, table.unpack(args, 1, args.n))
      assert.is_false(fine)
      assert.matches(expected, message, 1, true)
      assert.is_true(req:reply(200))
    end)
    assert.equal(500, answer(...).status)
  end

  it("must be possible", function()
    local function piece() return nil end
    for _, body in ipairs { "abc", { "a", "bc" } } do
      refused("Content-Length says 50, the body has 3 bytes", 200, { ["Content-Length"] = 50 }, body)
      refused("'x' is not a number of bytes", 200, { ["Content-Length"] = "x" }, body)
      refused("says both 3 and '4'", 200, { ["Content-Length"] = { 3, 4 } }, body)
    end
    refused("'-1' is not a number of bytes", 200, { ["Content-Length"] = -1 }, piece)
    for _, length in ipairs { "0", "2" } do
      local expected = ("Content-Length says %s, the body has 3 bytes"):format(length)
      refused(expected, 200, { ["Content-Length"] = length }, function() return "abc" end)
    end
    for _, status in ipairs { 100, 101, 199 } do
      refused("from 200 to 599", status)
    end
    refused("'x' is not a number of bytes", 200, { ["content-length"] = "x" }, piece)
  end)

  it("needs a first piece that is a string", function()
    for _, first in ipairs { true, {}, print } do
      refused("it must return a string", 200, {}, function() return first end)
    end
  end)

  it("leaves the connection's headers out", function()
    local response = answer(200, { ["Transfer-Encoding"] = "chunked", Connection = "close", ["X-A"] = 1 }, "abc")
    assert.is_nil(response.headers["transfer-encoding"])
    assert.is_nil(response.headers["connection"])
    assert.equal("1", response.headers["x-a"])
    assert.equal("abc", response.body)
  end)

  it("is judged where it is written raw", function()
    local function raw(text)
      return ask(function(req) req:write(text, "abc") end)
    end
    support.pull({}, function(req)
      local why = "the answer is refused, as its head is not valid or promises another length: the log has the reason"
      assert.same({ nil, why, "INVALID", 0 }, { req:write("Status: 101 Odd\r\n\r\n") })
    end)
    assert.equal(500, raw("Content-Length: x\r\n\r\n").status)
    assert.equal(500, raw("Status: 101 Odd\r\n\r\n").status)
    local response = raw("TE: x\r\nContent-Length: 3\r\n\r\n")
    assert.is_nil(response.headers.te)
    assert.equal("abc", response.body)
  end)

  it("cuts a stream that breaks it", function()
    local function stream(length)
      local pieces = { "a", "bc" }
      return answer(200, { ["Content-Length"] = length }, function() return table.remove(pieces, 1) end)
    end
    assert.equal("abc", stream(3).body)
    assert.is_nil(stream(9).app_status)
    assert.is_nil(stream(2).app_status)
  end)

  it("bounds the rest of a file, and one without a size is read", function()
    local path = os.tmpname()
    support.write_file(path, "0123456789")
    local function send(file, length)
      return ask(function(req)
        req:start(200, { ["Content-Length"] = length })
        req:send_file(file)
      end)
    end
    assert.equal("0123", send(path, 4).body)
    assert.is_nil(send(path, 40).app_status)
    os.remove(path)
    if support.exists("/proc/sys/kernel/ostype") then
      assert.equal(support.read_file("/proc/sys/kernel/ostype"), send("/proc/sys/kernel/ostype").body)
    end
  end)
end)

describe("what a handler returns", function()
  it("can be a string", function()
    local response = answer(200, { ["Content-Type"] = "text/plain" }, "hello\0\255")
    assert.equal(200, response.status)
    assert.equal("text/plain", response.headers["content-type"])
    assert.equal("7", response.headers["content-length"])
    assert.equal("hello\0\255", response.body)
    assert.equal(0, response.app_status)
  end)

  it("gets a Content-Length unless it has one", function()
    assert.equal("5", answer(200, {}, "hello").headers["content-length"])
    assert.equal("0", answer(200).headers["content-length"])
    assert.equal("7", answer(200, {}, { "abc", 12, "de" }).headers["content-length"])
    local own = ask(function() return 200, { ["content-length"] = 5 }, "hello" end, { method = "HEAD" })
    assert.equal("5", own.headers["content-length"])
    assert.is_nil(answer(204).headers["content-length"])
    assert.is_nil(answer(304).headers["content-length"])
  end)

  it("can be a list of strings and numbers", function()
    local list, whole = {}, {}
    for i = 1, 100 do
      list[i] = i % 2 == 0 and i or "<" .. i .. ">"
      whole[i] = tostring(list[i])
    end
    assert.equal(table.concat(whole), answer(200, {}, list).body)
    assert.equal("", answer(200, {}, {}).body)
    assert.equal("integer", math.type(list[2]))
  end)

  it("can be an iterator", function()
    local n = 0
    local response = answer(200, {}, function()
      n = n + 1
      return n <= 300 and "piece " .. n .. "\n" or nil
    end)
    local _, lines = response.body:gsub("piece %d+\n", "")
    assert.equal(300, lines)
    assert.is_nil(response.headers["content-length"])
  end)

  it("can be a coroutine", function()
    local response = answer(200, {}, coroutine.wrap(function()
      coroutine.yield("a")
      coroutine.yield("")
      coroutine.yield("b")
    end))
    assert.equal("ab", response.body)
  end)

  it("answers 500 when an iterator fails before its first piece", function()
    local response = answer(200, { ["X-A"] = "b" }, function() error("no rows", 0) end)
    assert.equal(500, response.status)
    assert.is_nil(response.headers["x-a"])
    assert.equal(200, answer(200, {}, function() end).status)
  end)

  it("can be a callable table", function()
    local left = 2
    local body = setmetatable({}, { __call = function()
      left = left - 1
      return left >= 0 and "x" or nil
    end })
    assert.equal("xx", answer(200, {}, body).body)
  end)

  it("can be nothing after the handler wrote itself", function()
    local response = ask(function(req)
      req:start(201, { ["X-A"] = "b" })
      req:write("one ", 2, " ", 3.5)
    end)
    assert.equal(201, response.status)
    assert.equal("one 2 3.5", response.body)
  end)

  it("can be the request itself", function()
    local response = ask(function(req) return req:start(200):write("x") end)
    assert.equal("x", response.body)
    assert.equal(0, response.app_status)
  end)

  it("sends a header several times", function()
    local response = answer(200, { ["Set-Cookie"] = { "a=1", "b=2" }, ["X-Number"] = 7 }, "")
    local cookies = {}
    for _, line in ipairs(response.lines) do
      if line:match("^Set%-Cookie: ") then
        cookies[#cookies + 1] = line
      end
    end
    assert.same({ "Set-Cookie: a=1", "Set-Cookie: b=2" }, cookies)
    assert.equal("7", response.headers["x-number"])
  end)

  it("sends many headers", function()
    local headers = {}
    for i = 1, 200 do
      headers["X-" .. i] = i
    end
    local response = answer(200, headers, "")
    for i = 1, 200 do
      assert.equal(tostring(i), response.headers["x-" .. i])
    end
  end)

  it("sends no body for HEAD", function()
    local response = ask(function() return 200, {}, "hello" end, { method = "HEAD" })
    assert.equal("5", response.headers["content-length"])
    assert.equal("", response.body)
  end)

  it("draws no more from an iterator that nobody reads", function()
    for _, case in ipairs { { 200, "HEAD" }, { 204, "GET" }, { 304, "GET" } } do
      local drawn = 0
      local function tick()
        drawn = drawn + 1
        return drawn < 1000 and "tick" or nil
      end
      local response = ask(function() return case[1], {}, tick end, { method = case[2] })
      assert.equal(case[1], response.status)
      assert.equal("", response.body)
      assert.is_true(drawn <= 2)
    end
  end)
end)

describe("wrong answers", function()
  local function raises(pattern, ...)
    local args = table.pack(...)
    support.pull({}, function(req)
      local fine, message = pcall(req.reply, req, table.unpack(args, 1, args.n))
      assert.is_false(fine)
      assert.matches(pattern, message, 1, true)
      assert.is_true(req:reply(200))
    end)
  end

  it("are told by what is wrong with them", function()
    raises("the status must be a number from 200 to 599 (got 99)", 99)
    raises("header 'Status' is given as the status, not as a header", 200, { status = "404" }, "x")
    raises("the status must be a number from 200 to 599 (got 200)", "200")
    raises("the status must be a number from 200 to 599 (got nil)", nil)
    raises("the headers must be a table (got a string)", 200, "text/plain")
    raises("header 'X-A' is a boolean", 200, { ["X-A"] = true })
    raises("header 'X-A' has a line break or NUL in its value", 200, { ["X-A"] = "b\r\nSet-Cookie: c" })
    raises("header 'X-A' has a line break or NUL in its value", 200, { ["X-A"] = { "ok", "b\0" } })
    raises("'X A' is not a header name", 200, { ["X A"] = "b" })
    raises("'' is not a header name", 200, { [""] = "b" })
    raises("a header's name must be a string (got a number)", 200, { "X-A: b" })
    raises("the body must be a string, a list of strings or an iterator (got a boolean)", 200, {}, true)
    raises("body[2] is a boolean; it must be a string or a number", 200, {}, { "a", false })
  end)

  it("are answered 500 when a handler gives them", function()
    local response = answer(200, { ["X-A"] = "b\r\n\r\n<script>" }, "x")
    assert.equal(500, response.status)
    assert.is_nil(response.stdout:find("script", 1, true))
    assert.equal(500, answer("200", {}, "x").status)
    assert.equal(500, answer().status)
    assert.equal(500, answer(nil, "no luck").status)
    assert.equal(500, answer(200, {}, io.stdout).status)
  end)

  it("cannot follow an answer that has begun", function()
    support.pull({}, function(req)
      req:start(200)
      assert.has_error(function() req:start(200) end, "the answer has begun already")
      assert.has_error(function() req:reply(200) end, "the answer has begun already")
    end)
  end)
end)

describe("req:write", function()
  it("takes many values and big ones", function()
    local big = ("z"):rep(50000)
    local response = support.pull({}, function(req)
      local args = {}
      for i = 1, 100 do
        args[i] = i
      end
      assert.equal(req, req:start(200))
      assert.equal(req, req:write(table.unpack(args)))
      assert.equal(req, req:write(big, "", big))
      assert.equal(req, req:write())
      assert.equal(req, req:flush())
    end)
    local numbers = {}
    for i = 1, 100 do
      numbers[i] = i
    end
    assert.equal(table.concat(numbers) .. big .. big, response.body)
  end)

  it("refuses other values before it writes any", function()
    local response = support.pull({}, function(req)
      req:start(200)
      assert.has_error(function() req:write("lost", {}) end)
      assert.has_error(function() req:write(nil) end)
      req:write("kept")
    end)
    assert.equal("kept", response.body)
  end)

  it("passes raw CGI output on", function()
    local response = support.pull({}, function(req)
      req:write("Status: 202\r\nX-Raw: 1\r\n\r\n", "body")
    end)
    assert.equal(202, response.status)
    assert.equal("body", response.body)
  end)
end)

describe("req:log", function()
  it("reaches STDERR as a line", function()
    local response = support.pull({}, function(req)
      assert.equal(req, req:log("first"))
      req:log("second\n")
      req:reply(200, {}, "x")
    end)
    assert.equal("first\nsecond\n", response.stderr)
    assert.equal("x", response.body)
  end)
end)

describe("req:send_file", function()
  local directory, path
  setup(function()
    directory = support.directory()
    path = support.write_file(directory .. "/file", "0123456789")
  end)
  teardown(function() support.remove(directory) end)

  local function sent(...)
    local args = table.pack(...)
    return support.pull({}, function(req)
      req:start(200)
      assert.equal(req, req:send_file(table.unpack(args, 1, args.n)))
    end).body
  end

  it("sends a file by its path", function()
    assert.equal("0123456789", sent(path))
    assert.equal("56789", sent(path, 5))
    assert.equal("345", sent(path, 3, 3))
    assert.equal("", sent(path, 10))
    assert.equal("", sent(path, 99))
    assert.equal("", sent(path, 0, 0))
  end)

  it("sends an open file", function()
    local file <close> = assert(io.open(path))
    assert.equal("0123456789", sent(file))
    assert.equal("01", sent(file, 0, 2))
  end)

  it("sends what has been written to a file", function()
    local file <close> = assert(io.open(directory .. "/written", "w+"))
    file:write("abcdef")
    assert.equal("abcdef", sent(file))
    file:seek("set", 2)
    file:write("XY")
    assert.equal("bXYe", sent(file, 1, 4))
  end)

  it("reads what has no size", function()
    local function pipe() return assert(io.popen("cat '" .. path .. "'")) end
    assert.equal("0123456789", sent(pipe()))
    assert.equal("012", sent(pipe(), 0, 3))
    assert.equal("", sent(pipe(), 0, 0))
    local begun = pipe()
    begun:read(4)
    assert.equal("456789", sent(begun))
    assert.equal(200000, #sent(assert(io.popen("head -c 200000 /dev/zero"))))
  end)

  it("reads nothing endless for HEAD", function()
    local pipe <close> = assert(io.popen("cat /dev/zero"))
    local response = ask(function(req)
      req:start(200)
      req:send_file(pipe)
    end, { method = "HEAD" })
    assert.equal(200, response.status)
  end)

  it("says what it cannot read", function()
    support.pull({}, function(req)
      req:start(200)
      local unread <close> = assert(io.open(directory .. "/unread", "w"))
      assert.same({ nil, "Bad file descriptor", "SYSTEM" }, { req:send_file(unread) })
      local pipe <close> = assert(io.popen("cat '" .. path .. "'"))
      assert.same({ nil, "Illegal seek", "SYSTEM" }, { req:send_file(pipe, 3) })
      assert.same({ nil, "No data available", "SYSTEM" }, { req:send_file(pipe, 0, 11) })
    end)
  end)

  it("says which file it cannot send", function()
    support.pull({}, function(req)
      req:start(200)
      assert.same({ nil, directory .. "/none: No such file or directory", "SYSTEM" },
        { req:send_file(directory .. "/none") })
      assert.same({ nil, directory .. ": Is a directory", "SYSTEM" }, { req:send_file(directory) })
      assert.has_error(function() req:send_file(path, -1) end)
      assert.has_error(function() req:send_file(path, 0, -1) end)
      local closed = assert(io.open(path))
      closed:close()
      assert.has_error(function() req:send_file(closed) end)
      assert.has_error(function() req:send_file({}) end)
    end)
  end)
end)
