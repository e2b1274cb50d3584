-- SPDX-License-Identifier: MIT
-- An application whose handlers hang until a file is there, or answer at once.
local gate = assert(os.getenv "GATE")

local function is_open()
  local file = io.open(gate)
  if file then
    file:close()
  end
  return file
end

local function wait_for_the_gate()
  while not is_open() do
    os.execute "sleep 0.02"
  end
end

return function(req)
  if req.params.PATH_INFO:find("/hang", 1, true) then
    wait_for_the_gate()
  end
  return 200, { ["Content-Type"] = "text/plain" }, "None\n"
end
