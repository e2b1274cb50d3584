-- SPDX-License-Identifier: MIT
package.path = debug.getinfo(1, "S").source:match("^@(.*/)") .. "?.lua;" .. package.path
-- Every other spec once more with another garbage collection: values that are
-- freed too early, or finalised in another order, show themselves.
local support = require "support"

local others = {}
for name in support.shell("ls " .. support.source .. "/tests/lua/*_spec.lua"):gmatch("[^\n]+") do
  if not name:match("/gc_spec%.lua$") and not name:match("/leak_spec%.lua$") then
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
