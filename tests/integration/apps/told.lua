-- SPDX-License-Identifier: MIT
-- An application that does as told.c says; "code" is a call in C.
return function(req)
  local told = req.params.QUERY_STRING or ""
  if told == "fail" then
    error(("x"):rep(500))
  elseif told ~= "" then
    io.open(os.getenv "MARK", "w"):close()
  end
  while told == "loop" do end
  if told == "call" then
    require "socket".sleep(1000)
  elseif told == "code" then
    string.find(("a"):rep(100000), ("a-"):rep(20) .. "b")
  end
  return 200, { ["Content-Type"] = "text/plain" }, "fine\n"
end
