-- SPDX-License-Identifier: MIT
-- A program over the SWIG module that does as told.c says.
local fcgi = require "fcgi_swig"

local server = fcgi.Server()
if arg[1] then
  server:listen(arg[1])
else
  server:listen_inherited()
end
server:serve(function(request)
  local told = request:param "QUERY_STRING"
  if told == "fail" then
    error(("x"):rep(500))
  elseif told ~= "" then
    io.open(os.getenv "MARK", "w"):close()
  end
  while told == "loop" do end
  while told == "call" do -- A signal ends one.
    require "socket".sleep(1000)
  end
  if told == "code" then -- A call in C.
    string.find(("a"):rep(100000), ("a-"):rep(20) .. "b")
  end
  request:reply(200, "text/plain", "fine\n")
end)
