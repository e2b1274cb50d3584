-- SPDX-License-Identifier: MIT
package.path = debug.getinfo(1, "S").source:match("^@(.*/)") .. "?.lua;" .. package.path
-- A serving loop lends one block to request after request: what a program keeps
-- of one must never reach another.
local client = require "client"
local fcgi = require "fcgi"
local support = require "support"

local app = [[
local mode = "MODE"
if mode == "aggressive" then collectgarbage("incremental", 0, 1000, 1) else collectgarbage(mode) end
local saved, co, seen = {}, nil, nil
local actions = {}
function actions.hello(req) return 200, {}, req.params.QUERY_STRING end
function actions.save(req)
  saved = { req = req, params = req.params, lines = req:lines(), co = coroutine.running() }
  saved.next, saved.of = pairs(saved.params)
  saved.next(saved.of)
  return 200, {}, "saved"
end
local uses = {
  function() return saved.req:write("x") end, function() return saved.req:start(200) end,
  function() return saved.req:reply(200, {}, "x") end, function() return saved.req:read("a") end,
  function() return saved.req:read_some() end, function() return saved.req:flush() end,
  function() return saved.req:log("x") end, function() return saved.req.params end,
  function() return saved.req.method end, function() return saved.req:lines() end,
  function() return saved.req:allow {} end, function() return saved.req:read_data() end,
  function() return saved.req:send_file("/dev/null") end, function() return saved.lines() end,
  function() return saved.params.QUERY_STRING end, function() return #saved.params end,
  function() return saved.params:copy() end, function() return pairs(saved.params) end,
  function() return saved.next(saved.of) end,
}
function actions.use(req)
  local texts = { tostring(saved.req), tostring(saved.params) }
  for i, use in ipairs(uses) do
    local fine, message = pcall(use)
    if fine or not message:find("the request is finished", 1, true) then
      error(("use %d: %s"):format(i, tostring(message)))
    end
  end
  do local closed <close> = saved.req end
  texts[#texts + 1] = tostring(saved.req:finish(9))
  texts[#texts + 1] = tostring(saved.req:close())
  texts[#texts + 1] = tostring(saved.req == req)
  return 200, {}, table.concat(texts, " ") .. " " .. req.params.QUERY_STRING .. " " .. req:read("a")
end
function actions.resume()
  return 200, {}, tostring(coroutine.resume(saved.co))
end
function actions.line(req) return 200, {}, req:read("l") end
function actions.begun(req) req:start(200):write("begun"); error("in the middle") end
function actions.raise() error("at once") end
function actions.deep() return 1 + actions.deep() end
function actions.huge() return 200, {}, ("x"):rep(1 << 50) end
function actions.yield(req) saved.req = req; coroutine.yield() end
function actions.outlived(req)
  co = coroutine.create(function()
    req:reply(200, {}, function() coroutine.yield(); return "of another" end)
  end)
  assert(coroutine.resume(co))
  return 200, {}, "first"
end
function actions.resumed(req)
  local fine, message = coroutine.resume(co)
  return 200, {}, tostring(fine) .. " " .. message .. " " .. req.method
end
function actions.closing(req)
  local guard <close> = setmetatable({}, { __close = function() seen = tostring(req) end })
  if req.params.QUERY_STRING == "raise" then error("with a guard") end
  return 200, {}, "guarded"
end
function actions.seen() return 200, {}, seen end
function actions.same(req) return 200, {}, tostring(rawequal(req.params, req.params)) end
function actions.count()
  collectgarbage()
  collectgarbage()
  return 200, {}, ("%d"):format(collectgarbage("count") * 1024)
end
return function(req) return actions[req.params.ACTION](req) end
]]

for _, mode in ipairs { "incremental", "generational", "aggressive" } do
  describe("with " .. mode .. " collection, of an earlier request", function()
    local server, peer
    setup(function() server = support.launch((app:gsub("MODE", mode))) end)
    teardown(function() server:__close() end)
    before_each(function() peer = server:connect() end)
    after_each(function() peer:close() end)

    local function ask(action, query, body)
      peer:request { params = { ACTION = action, QUERY_STRING = query or "" }, body = body }
      return peer:response()
    end

    it("a value that is kept is finished for good", function()
      for _, between in ipairs { "hello", "raise", "yield" } do
        assert.equal("saved", ask("save", "1", "one\n").body)
        if between ~= "yield" then
          ask(between, "2")
        end
        assert.equal("fcgi.request (finished) fcgi.params (finished) true true false 3 own body",
          ask("use", "3", "own body").body)
      end
    end)

    it("a value that was never answered is finished as well", function()
      assert.equal("saved", ask("save").body)
      assert.equal(500, ask("yield").status)
      assert.matches("^fcgi.request %(finished%) .* 4 $", ask("use", "4", "").body)
    end)

    it("no parameter and no byte of the body is left", function()
      for i = 1, 20 do
        assert.equal("line " .. i, ask("line", "", ("line %d\nrest %d"):format(i, i)).body)
        assert.equal(tostring(i), ask("hello", tostring(i)).body)
        assert.equal("true", ask("same").body)
      end
    end)

    it("that failed half way nothing is left", function()
      for _ = 1, 5 do
        local response = ask("begun")
        assert.is_truthy(response.cut or response.app_status ~= 0)
        peer:close()
        peer = server:connect()
        for _, action in ipairs { "raise", "yield", "deep", "huge" } do
          assert.equal(500, ask(action).status)
          assert.equal(action, ask("hello", action).body)
        end
      end
    end)

    it("an iterator that outlives it cannot go on", function()
      assert.equal("first", ask("outlived").body)
      assert.matches("^false .*the body's iterator finished the request GET$", ask("resumed").body)
    end)

    it("the coroutine cannot be resumed", function()
      assert.equal("saved", ask("save").body)
      assert.equal("false", ask("resume").body)
      assert.equal("6", ask("hello", "6").body)
    end)

    it("a pending variable was closed while it could be used", function()
      assert.equal("guarded", ask("closing").body)
      assert.matches("^fcgi.request: 0x", ask("seen").body)
      assert.equal(500, ask("closing", "raise").status)
      assert.matches("^fcgi.request: 0x", ask("seen").body)
    end)

    it("nothing stays on the heap", function()
      local function some(count)
        for i = 1, count do
          ask(i % 50 == 0 and "raise" or "same")
        end
        return tonumber(ask("count").body)
      end
      some(200)
      local before = some(50)
      assert.is_true(some(2000) - before < 2048)
    end)
  end)
end

describe("a handler", function()
  -- Three answers on one connection.
  local function bodies(handler, options)
    local server <close> = support.launch(handler, options)
    local peer <close> = server:connect()
    local list = {}
    for i = 1, 3 do
      peer:request { params = { QUERY_STRING = tostring(i) } }
      local response = peer:response()
      list[i] = response.status == 200 and response.body or response.status
    end
    return table.concat(list, " ")
  end

  for _, options in ipairs { "--threads 1", "--threads 2" } do
    it("needs no parameter, " .. options, function()
      assert.equal("hi hi hi", bodies("return function() return 200, {}, 'hi' end", options))
      assert.equal("ab ab ab", bodies("return function() return 200, {}, { 'a', 'b' } end", options))
      assert.equal("ab ab ab", bodies([[return function()
        local left = { "b", "a" }
        return 200, {}, function() return table.remove(left) end
      end]], options))
    end)

    it("gets the request wherever it could look, " .. options, function()
      assert.equal("1 1 1", bodies("return function(...) return 200, {}, select('#', ...) end", options))
      assert.equal("1 2 3", bodies("return function(...) return 200, {}, (...).params.QUERY_STRING end", options))
      assert.equal("1 2 3", bodies([[return setmetatable({}, { __call = function(self, req)
        return 200, {}, req.params.QUERY_STRING
      end })]], options))
      assert.equal("1 2 3", bodies([[local first = true
      return function(req)
        if first then first = req end
        return 200, {}, { req.params.QUERY_STRING }
      end]], options))
    end)
  end

  it("may be a function of C", function()
    assert.equal("1 2 3", bodies([[return coroutine.wrap(function(req)
      while true do req = coroutine.yield(200, {}, req.params.QUERY_STRING) end
    end)]]))
  end)

  it("without a parameter fails as others do", function()
    for _, source in ipairs { "error('x')", "", "return nil, 'y'", "coroutine.yield()",
      "return 200, {}, function() error('z') end", "return 200, {}, { {} }",
      "return 200, { Status = '1' }" } do
      assert.equal("500 500 500", bodies(("return function() %s end"):format(source)))
    end
  end)
end)

describe("server:serve", function()
  -- One request with these parameters for each handler, on a server of its own.
  local function serve(params, handler)
    local response
    support.with_server({}, function(server, path)
      local peer <close> = client.connect(path)
      peer:request { params = params }
      assert(server:serve(function(req)
        server:stop()
        return handler(req)
      end))
      response = peer:response()
    end)
    return response.body
  end

  it("can run in a handler of another server", function()
    for _ = 1, 3 do
      local inner, kept
      local outer = serve({ X = "outer" }, function(req)
        inner = serve({ X = "inner" }, function(other)
          kept = other
          return 200, {}, req.params.X .. " " .. other.params.X
        end)
        assert.equal("fcgi.request (finished)", tostring(kept))
        return 200, {}, req.params.X
      end)
      assert.equal("outer inner", inner)
      assert.equal("outer", outer)
      assert.equal("fcgi.request (finished)", tostring(kept))
    end
  end)

  it("leaves finished requests, even when its server is gone", function()
    local kept, params
    serve({ X = "1" }, function(req)
      kept, params = req, req.params
      return 200
    end)
    for _ = 1, 2 do
      assert.has_error(function() kept:write("x") end, "the request is finished")
      assert.has_error(function() return params.X end, "the request is finished, and its params with it")
      assert.is_true(kept:finish())
      collectgarbage()
      serve({ X = "2" }, function() return 200 end)
    end
  end)

  it("leaves nothing behind", function()
    local server <close> = assert(fcgi.server { bind = "127.0.0.1:0" })
    server:stop()
    local function heap(count)
      for _ = 1, count do
        assert(server:serve(print))
        serve({}, function() return assert(server:serve(print)) and 200 end)
      end
      collectgarbage()
      collectgarbage()
      return collectgarbage("count")
    end
    heap(10)
    local before = heap(10)
    assert.is_true(heap(100) - before < 4)
  end)
end)
