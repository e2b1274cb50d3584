-- SPDX-License-Identifier: MIT
-- Redirects, JSON and files, as clients get them.
package.path = debug.getinfo(1, "S").source:match("^@(.*/)") .. "?.lua;" .. package.path
local answer = require "fcgi.answer"
local http = require "fcgi.http"
local support = require "support"
local test = require "fcgi.test"

describe("answer.redirect", function()
  it("sends to another URL", function()
    local asked <close> = assert(test.client(function(req)
      return answer.redirect(req.params.QUERY_STRING, req.method == "PUT" and 308 or nil)
    end))
    local response = assert(asked:get("/?/a?b=c"))
    assert.same({ 303, "/a?b=c", "" }, { response.status, response.headers.Location, response.body })
    assert.equal(308, assert(asked:request { method = "PUT", uri = "/?/a" }).status)
  end)

  it("has five statuses", function()
    for _, status in ipairs { 301, 302, 303, 307, 308 } do
      assert.same({ status, { Location = "/" }, "" }, { answer.redirect("/", status) })
    end
    for _, status in ipairs { 200, 300, 304, "303" } do
      assert.has_error(function() answer.redirect("/", status) end)
    end
  end)

  it("encodes what cannot stand there", function()
    local _, headers = answer.redirect('https://example.com/é?a="b"&c=%20#<d>')
    assert.equal("https://example.com/%C3%A9?a=%22b%22&c=%20#%3Cd%3E", headers.Location)
  end)

  it("refuses control characters, and nothing", function()
    for _, location in ipairs { "/\r\nSet-Cookie: a=b", "/\n", "/\0", "/\t", "/\127", "" } do
      assert.has_error(function() answer.redirect(location) end, "a redirect needs a URL without control characters")
    end
    assert.has_error(function() answer.redirect(nil) end)
  end)
end)

describe("answer.json", function()
  it("is read again by the library that has made it", function()
    local asked <close> = assert(test.client(function()
      return answer.json({ name = "é\"\n", list = { 1, 2.5, true }, deep = { a = {} } }, 201, { ["X-A"] = "b" })
    end))
    local response = assert(asked:get("/"))
    assert.same({ 201, "application/json", "b" },
      { response.status, response.headers["Content-Type"], response.headers["X-A"] })
    assert.same({ name = "é\"\n", list = { 1, 2.5, true }, deep = { a = {} } },
      require("dkjson").decode(response.body))
  end)

  it("leaves a type and the table of headers as they are", function()
    local headers = { ["Content-Type"] = "application/problem+json" }
    local status, all = answer.json({}, nil, headers)
    assert.same({ 200, headers }, { status, all })
    assert.same({ ["Content-Type"] = "application/json" }, (select(2, answer.json {})))
    all.X = 1
    assert.is_nil(headers.X)
  end)

  it("raises for what is no JSON", function()
    assert.has_error(function() answer.json(print) end)
  end)

  -- In a process of its own, which cannot find some libraries.
  local function without(...)
    local script = ""
    for _, name in ipairs { ... } do
      script = script .. ("package.preload[%q] = function() error('hidden') end "):format(name)
    end
    script = script .. "print(pcall(function() return select(3, require('fcgi.answer').json({ a = 1 })) end))"
    return (support.shell(("lua5.4 -e %s 2>&1"):format("'" .. script:gsub("'", "'\\''") .. "'")))
  end

  it("is made by dkjson where there is no lua-cjson", function()
    assert.equal('true\t{"a":1}\n', without("cjson"))
  end)

  it("says what to install where there is neither", function()
    assert.equal("false\tJSON needs lua-cjson or dkjson, and neither is installed\n", without("cjson", "dkjson"))
  end)
end)

describe("answer.file", function()
  local directory, path, text, asked, options
  setup(function()
    directory = support.directory()
    text = ("0123456789"):rep(1000)
    path = support.write_file(directory .. "/a b.txt", text)
    support.shell(("touch -d @784111777 '%s'"):format(path))
    asked = assert(test.client(function(req)
      return answer.file(req, directory .. req.path, options)
    end))
  end)
  before_each(function() options = { type = "text/plain", etag = '"v1"', modified = 784111777 } end)
  teardown(function()
    asked:close()
    support.remove(directory)
  end)

  local function ask(headers, method)
    return assert(asked:request { uri = "/a%20b.txt", headers = headers, method = method })
  end

  it("sends all of it", function()
    options.headers = { ["Cache-Control"] = "max-age=60" }
    local response = ask()
    assert.same({ 200, "text/plain", "10000", '"v1"', "Sun, 06 Nov 1994 08:49:37 GMT", "bytes", "max-age=60" },
      { response.status, response.headers["Content-Type"], response.headers["Content-Length"], response.headers.ETag,
        response.headers["Last-Modified"], response.headers["Accept-Ranges"], response.headers["Cache-Control"] })
    assert.equal(text, response.body)
    assert.same({ ["Cache-Control"] = "max-age=60" }, options.headers)
  end)

  it("has a head without a body", function()
    local response = ask({ Range = "bytes=0-1" }, "HEAD")
    assert.same({ 200, "10000", "" }, { response.status, response.headers["Content-Length"], response.body })
  end)

  it("sends a range", function()
    for range, expected in pairs {
      ["bytes=0-0"] = { "bytes 0-0/10000", text:sub(1, 1) },
      ["bytes=5-14"] = { "bytes 5-14/10000", text:sub(6, 15) },
      ["bytes=9990-"] = { "bytes 9990-9999/10000", text:sub(9991) },
      ["bytes=-3"] = { "bytes 9997-9999/10000", "789" },
      ["bytes=0-99999"] = { "bytes 0-9999/10000", text },
    } do
      local response = ask { Range = range }
      assert.same({ 206, expected[1], tostring(#expected[2]), expected[2] }, { response.status,
        response.headers["Content-Range"], response.headers["Content-Length"], response.body })
    end
  end)

  it("tells of its size where a range has nothing", function()
    local response = ask { Range = "bytes=10000-" }
    assert.same({ 416, "bytes */10000", "" }, { response.status, response.headers["Content-Range"], response.body })
  end)

  it("sends all where several ranges are asked for, or those of another file", function()
    for _, headers in ipairs { { Range = "bytes=0-1,3-4" }, { Range = "bytes=2-1" },
      { Range = "bytes=0-1", ["If-Range"] = '"v0"' } } do
      local response = ask(headers)
      assert.same({ 200, text }, { response.status, response.body })
      assert.is_nil(response.headers["Content-Range"])
    end
    assert.equal(206, ask({ Range = "bytes=0-1", ["If-Range"] = '"v1"' }).status)
  end)

  it("is not sent again", function()
    for _, headers in ipairs { { ["If-None-Match"] = '"v0", W/"v1"' },
      { ["If-Modified-Since"] = "Sun, 06 Nov 1994 08:49:37 GMT", Range = "bytes=0-1" } } do
      for _, method in ipairs { "GET", "HEAD" } do
        local response = ask(headers, method)
        assert.same({ 304, '"v1"', "" }, { response.status, response.headers.ETag, response.body })
        assert.is_nil(response.headers["Content-Length"])
      end
    end
    assert.equal(412, ask({ ["If-Match"] = '"v0"' }).status)
  end)

  it("finds out when a file was modified", function()
    options = nil
    local found = pcall(require, "lfs")
    local response = ask()
    assert.equal(200, response.status)
    assert.equal("application/octet-stream", response.headers["Content-Type"])
    assert.is_true(found, "lua-filesystem comes with busted")
    assert.equal("Sun, 06 Nov 1994 08:49:37 GMT", response.headers["Last-Modified"])
    assert.equal(304, ask({ ["If-None-Match"] = response.headers.ETag }).status)
    assert.equal(206, ask({ Range = "bytes=0-1", ["If-Range"] = response.headers.ETag }).status)
    support.write_file(directory .. "/new", "x")
    local fresh = assert(asked:get("/new"))
    assert.matches('^W/"%x+%-1"$', fresh.headers.ETag)
    assert.equal(304, assert(asked:get("/new", { headers = { ["If-None-Match"] = fresh.headers.ETag } })).status)
    assert.is_truthy(http.time(fresh.headers["Last-Modified"]))
  end)

  it("has no validators where none are known", function()
    local script = ([[package.preload.lfs = function() error("hidden") end
      local answer = require "fcgi.answer"
      return function(req) return answer.file(req, %q) end]]):format(path)
    local server <close> = support.launch(script)
    local response = server:ask { params = { HTTP_RANGE = "bytes=-2" } }
    assert.same({ 206, "89" }, { response.status, response.body })
    assert.same({}, { response.headers.etag, response.headers["last-modified"] })
  end)

  it("may have no bytes", function()
    support.write_file(directory .. "/empty", "")
    local response = assert(asked:get("/empty"))
    assert.same({ 200, "0", "" }, { response.status, response.headers["Content-Length"], response.body })
    assert.equal(416, assert(asked:get("/empty", { headers = { Range = "bytes=0-" } })).status)
  end)

  it("is for GET and HEAD", function()
    local response = ask({}, "DELETE")
    assert.same({ 405, "GET, HEAD" }, { response.status, response.headers.Allow })
  end)

  it("fails for what is no file", function()
    for _, name in ipairs { "/none", "/" } do
      local failure
      support.ask(function(req)
        failure = { answer.file(req, directory .. name) }
        return 404
      end)
      assert.same({ nil, "SYSTEM" }, { failure[1], failure[3] })
      assert.matches(directory, failure[2], 1, true)
    end
  end)
end)
