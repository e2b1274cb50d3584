-- SPDX-License-Identifier: MIT
package.path = debug.getinfo(1, "S").source:match("^@(.*/)") .. "?.lua;" .. package.path
-- Other specs once more with another garbage collection: values that are freed
-- too early, or finalised in another order, show themselves. Those that take
-- long and keep no value that others do not are spared.
local support = require "support"
local spared = { gc = true, leak = true, resource_servers = true }

local others = {}
for name in support.shell("ls " .. support.source .. "/tests/lua/*_spec.lua"):gmatch("[^\n]+") do
  if not spared[name:match("/([%w_]+)_spec%.lua$")] then
    others[#others + 1] = name
  end
end

describe("all specs pass", function()
  for _, mode in ipairs { "generational", "aggressive" } do
    it("with " .. mode .. " garbage collection", function()
      local output, status = support.shell(("FCGI_TEST_GC=%s lua5.4 /usr/bin/busted --helper=%s %s 2>&1"):format(
        mode, support.source .. "/tests/lua/gc_helper.lua", table.concat(others, " ")))
      assert.equal(0, status, output)
      assert.matches("0 failures / 0 errors", output, 1, true)
    end)
  end
end)
