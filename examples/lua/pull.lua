-- SPDX-License-Identifier: MIT
-- Hello in a loop of its own: lua5.4 pull.lua [address]. Without an address it
-- serves what it inherits. A CGI server puts words of the client's on the
-- command line: they are no address.
local fcgi = require "fcgi"

local server <close> = assert(fcgi.server())
assert(server:listen(not os.getenv "GATEWAY_INTERFACE" and arg[1] or nil))
for req in server:requests() do
  req:reply(200, { ["Content-Type"] = "text/plain" }, "Hello\n")
end
