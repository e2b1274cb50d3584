-- SPDX-License-Identifier: MIT
-- retry = "safe": a request that fails because a resource broke runs once more.
local fcgi = require "fcgi"
local test = require "fcgi.test"

-- A resource whose first `fails` users find that it is broken.
local function breaking(fails, retry)
  local made, runs = 0, 0
  local db = assert(fcgi.resource {
    retry = retry,
    open = function()
      made = made + 1
      return { number = made }
    end,
    broken = function(problem) return tostring(problem):find("gone", 1, true) end,
  })
  local function work()
    local connection <close> = db:get()
    runs = runs + 1
    if runs <= fails then
      error "it is gone"
    end
    return ("run %d of %d"):format(runs, connection.number)
  end
  return work, function() return runs end, db
end

local function ask(handler, method, body)
  local client <close> = assert(test.client { handler = handler, status_path = "/status" })
  local answer = assert(client:request { method = method or "GET", uri = "/page", body = body })
  local status = assert(client:get("/status?openmetrics")).body
  return answer, tonumber(status:match("\nfastcgi_requests_retried_total (%d+)\n"))
end

local kinds = {
  ["raises"] = function(work)
    return function() return 200, {}, work() end
  end,
  ["returns 500"] = function(work)
    return function()
      local fine, text = pcall(work)
      return fine and 200 or 500, {}, text
    end
  end,
  ["returns a list with 500"] = function(work)
    return function()
      local fine, text = pcall(work)
      return fine and 200 or 500, {}, { text }
    end
  end,
  ["returns a function with 500"] = function(work)
    return function()
      local fine, text = pcall(work)
      return fine and 200 or 500, {}, coroutine.wrap(function() coroutine.yield(text) end)
    end
  end,
  ["returns nil and a message"] = function(work)
    return function()
      local fine, text = pcall(work)
      if not fine then
        return nil, text
      end
      return 200, {}, text
    end
  end,
}

for name, kind in pairs(kinds) do
  describe("a handler that " .. name, function()
    it("runs once more on a new connection", function()
      for _, method in ipairs { "GET", "HEAD" } do
        local work, runs = breaking(1, "safe")
        local answer, retried = ask(kind(work), method)
        assert.same({ 200, 2, 1 }, { answer.status, runs(), retried })
        if method == "GET" then
          assert.equal("run 2 of 2", answer.body)
        end
      end
    end)

    it("runs once more and not again", function()
      local work, runs = breaking(9, "safe")
      local answer, retried = ask(kind(work))
      assert.same({ 500, 2, 1 }, { answer.status, runs(), retried })
    end)

    it("does not by default", function()
      local work, runs = breaking(1)
      local answer, retried = ask(kind(work))
      assert.same({ 500, 1, 0 }, { answer.status, runs(), retried })
    end)

    it("does not for a POST", function()
      local work, runs = breaking(1, "safe")
      local answer, retried = ask(kind(work), "POST")
      assert.same({ 500, 1, 0 }, { answer.status, runs(), retried })
    end)
  end)
end

describe("a retry", function()
  it("is asked for by a handler", function()
    local work, runs = breaking(1, "never")
    local answer, retried = ask(function(req)
      assert(req:want_retry())
      return 200, {}, work()
    end)
    assert.same({ 200, 2, 1 }, { answer.status, runs(), retried })
  end)

  it("has the body from its beginning", function()
    local work, runs = breaking(1, "safe")
    local seen = {}
    local answer = ask(function(req)
      seen[#seen + 1] = req:read("l")
      return 200, {}, work()
    end, "GET", "one\ntwo\n")
    assert.same({ 200, 2, { "one", "one" } }, { answer.status, runs(), seen })
  end)

  it("has a request of its own", function()
    local work = breaking(1, "safe")
    local first
    local answer = ask(function(req)
      if first then
        assert.is_false((pcall(first.read, first)))
      end
      first = first or req
      return 200, {}, work()
    end)
    assert.equal(200, answer.status)
  end)

  it("is none once the answer has begun", function()
    local work, runs = breaking(1, "safe")
    local client <close> = assert(test.client { handler = function(req)
      req:start(200, {})
      req:write("x")
      return 200, {}, work()
    end })
    pcall(client.get, client, "/")
    assert.equal(1, runs())
  end)

  -- Only the end of the request shows whether something broke.
  it("is none for a body that is a function and may use what the handler has", function()
    for _, how in ipairs { "text", "function" } do
      local runs = 0
      local db = assert(fcgi.resource {
        retry = "safe",
        open = function() return { number = 7 } end,
        reset = function() return false end,
      })
      local answer = ask(function()
        runs = runs + 1
        local value = db:get()
        if how == "text" then
          return 500, {}, "no"
        end
        local left = 2
        return 500, {}, function()
          left = left - 1
          return left >= 0 and value.number or nil
        end
      end)
      assert.same({ 500, how == "text" and 2 or 1 }, { answer.status, runs }, how)
      assert.equal(how == "text" and "no" or "77", answer.body)
    end
  end)

  it("calls a function that makes a page no more once it is decided", function()
    local work, runs = breaking(1, "safe")
    local called = 0
    local answer = ask(function()
      local fine, text = pcall(work)
      return fine and 200 or 500, {}, fine and text or function() called = called + 1 end
    end)
    assert.same({ 200, 2, 0 }, { answer.status, runs(), called })
  end)

  it("is none for other errors", function()
    local work, runs = breaking(0, "safe")
    local answer, retried = ask(function() error("fault: " .. work()) end)
    assert.same({ 500, 1, 0 }, { answer.status, runs(), retried })
  end)

  it("is never or safe", function()
    local fine, message = pcall(fcgi.resource, { open = print, retry = "always" })
    assert.is_false(fine)
    assert.matches("option 'retry' must be \"never\" or \"safe\"", message, 1, true)
  end)
end)
