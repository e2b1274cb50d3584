-- SPDX-License-Identifier: MIT
-- Hello in a loop of its own: lua5.4 pull.lua [address]. Without an address it
-- serves what it inherits.
local fcgi = require "fcgi"

local server <close> = assert(fcgi.server())
assert(server:listen(fcgi.serve_address(arg)))
for req in server:requests() do
  req:reply(200, { ["Content-Type"] = "text/plain" }, "Hello\n")
end
