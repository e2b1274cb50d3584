-- SPDX-License-Identifier: MIT
-- One query of a kept connection.
local fcgi = require "fcgi"
local luasql = require("luasql.postgres").postgres()

local db = assert(fcgi.resource {
  open = function() return luasql:connect(os.getenv "OUTAGE_DATABASE") end,
  acquire_timeout = tonumber(os.getenv "OUTAGE_WAIT"),
  retry = os.getenv "OUTAGE_RETRY",
  name = "db",
})

return function()
  local seven = assert(db:with(function(connection)
    local cursor, why = connection:execute "SELECT 7 FROM pg_sleep(0.002)"
    if not cursor then
      return nil, why
    end
    local value = cursor:fetch()
    cursor:close()
    return tostring(value)
  end))
  return 200, { ["Content-Type"] = "text/plain" }, seven
end
