-- SPDX-License-Identifier: MIT
package.path = debug.getinfo(1, "S").source:match("^@(.*/)") .. "?.lua;" .. package.path
local support = require "support"

-- A process of its own, so that the heap is nobody else's.
local script = [[
local fcgi, client = require "fcgi", require "client"
local server <close> = assert(fcgi.server { bind = "unix:" .. arg[1] })
local peer <close> = client.connect(arg[1])
local one = client.record(1, 1, "\0\1\1\0\0\0\0\0") ..
  client.record(4, 1, client.pair("REQUEST_METHOD", "POST") .. client.pair("QUERY_STRING", "a=1")) ..
  client.record(4, 1, "") .. client.record(5, 1, "one\ntwo") .. client.record(5, 1, "")

local function round()
  peer:send(one)
  local req = server:accept(5)
  assert(req.params.QUERY_STRING == "a=1" and req:read("l") == "one")
  req:reply(200, { ["Content-Type"] = "text/plain" }, "x")
  server:accept(0)
  assert(peer:response().body == "x")
end

local function rounds(count)
  for _ = 1, count do round() end
  collectgarbage()
  collectgarbage()
  for line in io.lines("/proc/self/status") do
    local kib = line:match("VmRSS:%s+(%d+)")
    if kib then return tonumber(kib), collectgarbage("count") end
  end
end

local rss, heap = rounds(20000)
local rss_after, heap_after = rounds(100000)
print(rss_after - rss, math.ceil(heap_after - heap))
]]

describe("100,000 requests", function()
  it("leave neither memory nor values behind", function()
    local directory = support.directory()
    local file = support.write_file(directory .. "/x.lua",
      ("package.path = %q .. package.path\n"):format(support.source .. "/tests/lua/?.lua;") .. script)
    local output, status = support.shell(("lua5.4 %s %s/s 2>&1"):format(file, directory))
    support.remove(directory)
    assert.equal(0, status, output)
    local rss, heap = output:match("^(%-?%d+)\t(%-?%d+)\n$")
    assert.is_true(tonumber(rss) < 1024, "RSS grew by " .. rss .. " KiB")
    assert.is_true(tonumber(heap) < 4, "Lua's heap grew by " .. heap .. " KiB")
  end)
end)
