-- SPDX-License-Identifier: MIT
-- Hello on wsapi.fastcgi, for Lua 5.1; the listener is descriptor 0.
require("wsapi.fastcgi").run(function()
  local text = "Hello\n"
  return 200, { ["Content-Type"] = "text/plain" }, function()
    local piece = text
    text = nil
    return piece
  end
end)
