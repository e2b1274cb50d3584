-- SPDX-License-Identifier: MIT
-- req:query and req:form: what requests bring, within limits, and what is left of
-- it afterwards.
package.path = debug.getinfo(1, "S").source:match("^@(.*/)") .. "?.lua;" .. package.path
local form = require "fcgi.form"
local query = require "fcgi.query"
local support = require "support"
local test = require "fcgi.test"

local ENCODED = "application/x-www-form-urlencoded"

local function field(name, value)
  return ('--B\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'):format(name, value)
end

local function file(name, filename, content, kind)
  return ('--B\r\nContent-Disposition: form-data; name="%s"; filename="%s"\r\nContent-Type: %s\r\n\r\n%s\r\n'):format(
    name, filename, kind or "application/octet-stream", content)
end

-- What `read` returns in the handler of one request.
local function posted(body, content_type, read, options)
  local results
  local setup = { handler = function(req)
    results = table.pack(read(req))
    return 200
  end }
  for name, value in pairs(options or {}) do
    setup[name] = value
  end
  local asked <close> = assert(test.client(setup))
  local response = assert(asked:post("/", body, { headers = { ["Content-Type"] = content_type } }))
  assert.equal(200, response.status, response.stderr)
  return table.unpack(results, 1, results.n)
end

local function multipart(body, read, options)
  return posted(body .. "--B--\r\n", "multipart/form-data; boundary=B", read, options)
end

local function nameless_files()
  return tonumber((support.shell("ls -l /proc/$PPID/fd | grep -c '(deleted)'")))
end

local inherited = nameless_files()

-- How many files without names this process has opened.
local function open_files()
  return nameless_files() - inherited
end

describe("req:query", function()
  it("is the decoded query string", function()
    local fields
    support.ask(function(req)
      fields = req:query()
      return 200
    end, { params = { QUERY_STRING = "a=1&a=%C3%A9&b" } })
    assert.same({ a = "1", b = "" }, fields)
    assert.same({ "1", "é" }, query.all(fields, "a"))
  end)

  it("may be missing, and has limits", function()
    local results = {}
    for _, text in ipairs { false, "a&b&c" } do
      support.ask(function(req)
        results[#results + 1] = { req:query { limit_fields = 2 } }
        return 200
      end, { params = { QUERY_STRING = text } })
    end
    assert.same({ { {} }, { nil, "fields: more than 2", "LIMIT", 413 } }, results)
  end)
end)

describe("req:form", function()
  it("reads fields of either type", function()
    local function read(req)
      local fields, files = req:form()
      return fields, files, query.all(fields, "b")
    end
    local fields, files, all = posted("a=%C3%A9+x&b=1&b=2", ENCODED .. "; charset=UTF-8", read)
    assert.same({ { a = "é x", b = "1" }, {}, { "1", "2" } }, { fields, files, all })
    fields, files, all = multipart(field("a", "é x") .. field("b", "1") .. field("b", "2"), read)
    assert.same({ { a = "é x", b = "1" }, {}, { "1", "2" } }, { fields, files, all })
  end)

  it("reads files", function()
    local content = ("\0\r\n--C"):rep(30000, "x")
    multipart(field("a", "1") .. file("f", "C:\\d\\é.bin", content) .. file("f", "2", "two", "text/x") ..
      file("g", "", ""), function(req)
      local fields, files = req:form()
      assert.same({ a = "1" }, fields)
      assert.is_nil(files.g)
      local first, second = table.unpack(query.all(files, "f"))
      assert.equal(first, files.f)
      assert.same({ "f", "é.bin", "C:\\d\\é.bin", "application/octet-stream", #content },
        { first.name, first.filename, first.raw_filename, first.type, first.size })
      assert.equal(content, first.file:read("a"))
      assert.same({ "2", "text/x", 3, "two" }, { second.filename, second.type, second.size, second.file:read("a") })
    end)
  end)

  it("reads a file without a name, if it has bytes", function()
    multipart(file("f", "", "x"), function(req)
      local _, files = req:form()
      assert.same({ "", 1 }, { files.f.filename, files.f.size })
    end)
  end)

  it("saves files", function()
    local directory = support.directory()
    multipart(file("f", "a", "some bytes"), function(req)
      local _, files = req:form()
      files.f.file:read(3)
      assert.is_true(files.f:save(directory .. "/a"))
      assert.equal("some bytes", files.f.file:read("a"))
      local done, message, code = files.f:save(directory .. "/none/a")
      assert.same({ "nil", "SYSTEM" }, { tostring(done), code })
      assert.matches("/none/a", message, 1, true)
      done, message, code = files.f:save("/dev/full")
      assert.same({ "nil", "/dev/full: No space left on device", "SYSTEM" }, { tostring(done), message, code })
    end)
    assert.equal("some bytes", support.read_file(directory .. "/a"))
    support.remove(directory)
  end)

  it("is the same when it is asked for again", function()
    multipart(field("a", "1") .. file("f", "a", "x"), function(req)
      local fields, files = req:form()
      local again, and_files = req:form { limit_fields = 0 }
      assert.equal(fields, again)
      assert.equal(files, and_files)
      assert.equal("x", files.f.file:read("a"))
    end)
    posted("x", "text/plain", function(req)
      assert.same({ req:form() }, { req:form() })
    end)
  end)

  it("replaces what is not UTF-8, unless bytes are wanted", function()
    local function read(options)
      return function(req) return req:form(options) end
    end
    for _, body in ipairs { field("a\xFF", "\xFE") } do
      assert.same({ ["a\u{FFFD}"] = "\u{FFFD}" }, (multipart(body, read())))
      assert.same({ ["a\xFF"] = "\xFE" }, (multipart(body, read { bytes = true })))
    end
    assert.same({ ["a\xFF"] = "\xFE" }, (posted("a%FF=%FE", ENCODED, read { bytes = true })))
  end)

  it("has no fields where there is no body", function()
    local results
    support.ask(function(req)
      results = { req:form() }
      return 200
    end)
    assert.same({ {}, {} }, results)
    assert.same({ {}, {} }, { posted("", "", function(req) return req:form() end) })
    assert.same({ {}, {} }, { posted("", ENCODED, function(req) return req:form() end) })
  end)

  for what, case in pairs {
    ["of another type"] = { "{}", "application/json", { nil, "the body is no form", "UNSUPPORTED", 415 } },
    ["without a type"] = { "a=b", "", { nil, "the body is no form", "UNSUPPORTED", 415 } },
    ["of a type that is none"] = { "a=b", ";", { nil, "the body is no form", "UNSUPPORTED", 415 } },
    ["without a boundary"] = { "a=b", "multipart/form-data",
      { nil, "the boundary of the form is none", "PROTOCOL", 400 } },
    ["without a last boundary"] = { "--B\r\n", "multipart/form-data; boundary=B",
      { nil, "the form ends before its last boundary", "PROTOCOL", 400 } },
  } do
    it("refuses a body " .. what, function()
      assert.same(case[3], { posted(case[1], case[2], function(req) return req:form() end) })
    end)
  end

  it("tells of a body that is cut", function()
    for _, content_type in ipairs { ENCODED, "multipart/form-data; boundary=B" } do
      local failure
      support.with_server({ stream = true }, function(server, path)
        local peer <close> = require("client").connect(path)
        peer:begin { method = "POST", params = { CONTENT_LENGTH = "100", CONTENT_TYPE = content_type } }
        peer:stdin(field("a", "1"))
        peer:stdin("")
        local req = assert(server:accept(5))
        failure = { req:form() }
        req:reply(failure[4])
      end)
      assert.same({ "nil", "TRUNCATED", 400 }, { tostring(failure[1]), failure[3], failure[4] })
    end
  end)
end)

describe("the limits of req:form", function()
  local two = field("a", "123") .. field("b", "456")
  local files = file("f", "a", ("x"):rep(100)) .. file("g", "b", ("y"):rep(100))
  for _, case in ipairs {
    { "a=1&b=2", { limit_fields = 2 }, { limit_fields = 1 }, "fields: more than 1" },
    { "a=1&b=2", { limit_fields_size = 7 }, { limit_fields_size = 6 }, "bytes of fields: more than 6" },
    { two, { limit_fields = 2 }, { limit_fields = 1 }, "fields: more than 1" },
    { two, { limit_fields_size = 8 }, { limit_fields_size = 7 }, "bytes of fields: more than 7" },
    { field(("n"):rep(50), ""), { limit_fields_size = 50 }, { limit_fields_size = 49 },
      "bytes of fields: more than 49" },
    { files, { limit_files = 2 }, { limit_files = 1 }, "files: more than 1" },
    { files, { limit_file_size = 100 }, { limit_file_size = 99 }, "bytes of a file: more than 99" },
    { files, { limit_files_size = 200 }, { limit_files_size = 199 }, "bytes of files: more than 199" },
    { files, { limit_headers_size = 200 }, { limit_headers_size = 50 }, "bytes of a part's headers: more than 50" },
    { two, { limit_fields = math.huge, limit_fields_size = math.huge, limit_file_size = math.huge },
      { limit_fields = 0 }, "fields: more than 0" },
  } do
    it("hold: " .. case[4], function()
      local ask = case[1]:find("^%-%-") and multipart or function(body, read) return posted(body, ENCODED, read) end
      assert.is_truthy((ask(case[1], function(req) return req:form(case[2]) end)))
      assert.same({ nil, case[4], "LIMIT", 413 }, { ask(case[1], function(req) return req:form(case[3]) end) })
    end)
  end

  it("bound the fields that are not encoded, too", function()
    local function read(req) return req:form { limit_fields_size = math.huge } end
    assert.equal(3000000, #posted("a=" .. ("x"):rep(3000000), ENCODED, read).a)
    assert.equal("LIMIT", (select(3, posted("a=" .. ("x"):rep(1048576), ENCODED, function(req) return req:form() end))))
  end)

  it("are known by name", function()
    posted("", ENCODED, function(req)
      assert.has_error(function() req:form { limit_size = 1 } end, "unknown option 'limit_size'")
      assert.has_error(function() req:form { tmpfile = "/tmp" } end)
    end)
  end)
end)

describe("the files of a form", function()
  it("are closed when the request has ended, however it ends", function()
    local kept = {}
    local asked <close> = assert(test.client(function(req)
      local fields, files = req:form { limit_files = 2 }
      if not fields then
        return 413
      end
      kept[#kept + 1] = files.f.file
      assert.equal("file", io.type(files.f.file))
      assert(fields.how ~= "raise", "raised on purpose")
      return 200, {}, fields.how == "pieces" and coroutine.wrap(function()
        coroutine.yield(files.f.file:read("a"))
      end) or files.f.file:read("a")
    end))
    local headers = { ["Content-Type"] = "multipart/form-data; boundary=B" }
    local function ask(how, count)
      local body = field("how", how) .. file("f", "a", "bytes"):rep(count) .. "--B--"
      return assert(asked:post("/", body, { headers = headers }))
    end
    assert.equal("bytes", ask("return", 2).body)
    assert.equal("bytes", ask("pieces", 2).body)
    assert.equal(500, ask("raise", 2).status)
    assert.equal(413, ask("return", 3).status)
    assert.equal(0, open_files())
    assert.equal(3, #kept)
    for _, one in ipairs(kept) do
      assert.equal("closed file", io.type(one))
    end
  end)

  it("have no names while they are open", function()
    multipart(file("f", "a", "x"), function(req)
      req:form()
      assert.equal(1, open_files())
    end)
  end)

  it("are where the program wants them", function()
    local opened = 0
    multipart(file("f", "a", "x"), function(req)
      local _, files = req:form { tmpfile = function()
        opened = opened + 1
        return io.tmpfile()
      end }
      assert.equal("x", files.f.file:read("a"))
    end)
    assert.equal(1, opened)
  end)

  it("fail where there is no room", function()
    local function full() return io.open("/dev/full", "wb") end
    local function none() return nil, "no file" end
    for expected, tmpfile in pairs { ["No space left on device"] = full, ["no file"] = none } do
      assert.same({ nil, expected, "SYSTEM", 500 },
        { multipart(file("f", "a", ("x"):rep(100000)), function(req) return req:form { tmpfile = tmpfile } end) })
    end
  end)
end)

describe("an upload of 20 MB", function()
  local app = [[
    local form = require "fcgi.form"
    local function peak()
      return tonumber(io.open("/proc/self/status"):read("a"):match("VmHWM:%s+(%d+)"))
    end
    local function read(req)
      if req.path == "/form" then
        local fields, files, code, status = req:form()
        return fields and files.f.size, files, code, status
      end
      local size, reader = 0, assert(form.reader(req))
      for part in function() return reader:next() end do
        for bytes in function() return part:read() end do size = size + #bytes end
      end
      return size
    end
    return function(req)
      local before = peak()
      local size, message = read(req)
      return 200, {}, ("%s %d"):format(size or message, peak() - before)
    end]]

  for way, options in pairs { streamed = "--stream", collected = "" } do
    it("takes no memory: " .. way, function()
      local server <close> = support.launch(app, options)
      local asked <close> = assert(test.client { address = "unix:" .. server.path, timeout = 60 })
      local headers = { ["Content-Type"] = "multipart/form-data; boundary=B" }
      for _, path in ipairs { "/form", "/parts" } do
        assert(asked:post(path, file("f", "a", "x") .. "--B--", { headers = headers }))
        local body = file("f", "a", ("0123456789\r\n--C\r"):rep(1250000)) .. "--B--"
        local response = assert(asked:post(path, body, { headers = headers }))
        local size, grown = response.body:match("^(%d+) (%-?%d+)$") -- The kernel may count less, too.
        assert.equal(20000000, tonumber(size), response.body)
        assert.is_true(tonumber(grown) < 4096, grown .. " KiB")
      end
    end)
  end
end)

describe("form.reader", function()
  it("reads parts while they come", function()
    support.with_server({ stream = true }, function(server, path)
      local peer <close> = require("client").connect(path)
      local body = file("f", "a", "one")
      peer:begin { method = "POST", params = { CONTENT_TYPE = "multipart/form-data; boundary=B" } }
      peer:stdin(body:sub(1, -4))
      local req = assert(server:accept(5))
      local reader = assert(form.reader(req))
      local part = assert(reader:next())
      assert.equal("a", part.filename)
      peer:stdin(body:sub(-3) .. "--B--")
      peer:stdin("")
      assert.equal("one", part:text(10))
      assert.is_nil(reader:next())
      req:reply(200)
    end)
  end)

  it("is for forms in parts", function()
    posted("a=b", ENCODED, function(req)
      assert.same({ nil, "the body is not multipart/form-data", "UNSUPPORTED", 415 }, { form.reader(req) })
    end)
  end)
end)

describe("any body", function()
  it("is read or refused, and never raises", function()
    math.randomseed(6)
    local parts = { field("a", "1"), file("f", "a", "x") }
    local words = { parts[1], parts[2], "--B--", "--B", "\r\n", "a=", "&b", "%", "\0", "\xFF", "--" }
    local statuses = {}
    local asked <close> = assert(test.client(function(req)
      local fields, _, code, status = req:form { limit_fields = 2, limit_files = 2 }
      return fields and 200 or status, {}, code or ""
    end))
    for _ = 1, 500 do
      local from, list = math.random() < 0.5 and parts or words, {}
      for i = 1, math.random(0, 8) do
        list[i] = from[math.random(#from)]
      end
      list[#list + 1] = math.random() < 0.8 and "--B--" or nil
      local content_type = math.random() < 0.2 and ENCODED or "multipart/form-data; boundary=B"
      local response = assert(asked:post("/", table.concat(list), { headers = { ["Content-Type"] = content_type } }))
      statuses[response.status] = (statuses[response.status] or 0) + 1
    end
    for _, status in ipairs { 200, 400, 413 } do
      assert.is_true(statuses[status] and statuses[status] > 5, status)
      statuses[status] = nil
    end
    assert.same({}, statuses)
  end)
end)
