-- SPDX-License-Identifier: MIT
-- The same as nap.c, in Lua.
local own = assert(io.open("/proc/self/stat")):read("n")

local function exists(name)
  local file = io.open(name)
  if file then
    file:close()
  end
  return file
end

return function(req)
  local word, value = (req.params.QUERY_STRING or ""):match "^(%w+)=(.*)$"
  if word == "gate" then
    assert(io.open(("%s.%d"):format(value, own), "w")):close()
    repeat
      os.execute "sleep 0.02"
    until exists(value)
  end
  return 200, { ["Content-Type"] = "text/plain" }, tostring(own)
end
