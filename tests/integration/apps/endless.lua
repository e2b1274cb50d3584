-- SPDX-License-Identifier: MIT
-- Answers without an end; stderr says what has ended.
local function tell(word)
  io.stderr:write("endless: ", word, "\n")
end

return function(req)
  if req.path:find "/iterate$" then
    return 200, { ["Content-Type"] = "text/plain" }, function() return "tick\n" end
  end
  if req.path:find "/write$" then
    assert(req:start(200, { ["Content-Type"] = "text/plain" }))
    repeat
      local taken = req:write "tick\n"
    until not taken
    tell "write ended"
    return
  end
  return 200, {}, "free\n"
end
