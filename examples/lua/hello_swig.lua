-- SPDX-License-Identifier: MIT
-- The smallest application with the SWIG module: lua5.4 hello_swig.lua [address].
-- Without an address it serves the listener that it inherits.
local fcgi = require "fcgi_swig"

local server = fcgi.Server()
if arg[1] then
  server:listen(arg[1])
else
  server:listen_inherited()
end
server:serve(function(request)
  request:reply(200, "text/plain", "Hello\n")
end)
