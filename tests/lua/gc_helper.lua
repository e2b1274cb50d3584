-- SPDX-License-Identifier: MIT
-- Sets how this process collects garbage, for gc_spec.lua.
local modes = {}

function modes.generational()
  collectgarbage("generational")
end

-- A new cycle begins as soon as the last has ended, in the smallest steps.
function modes.aggressive()
  collectgarbage("incremental", 0, 1000, 1)
end

modes[os.getenv("FCGI_TEST_GC")]()
