-- SPDX-License-Identifier: MIT
-- Hello on fcgi-lua.
return function()
  return 200, { ["Content-Type"] = "text/plain" }, "Hello\n"
end
