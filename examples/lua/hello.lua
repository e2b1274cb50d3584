#!/usr/bin/env fcgi-lua
-- SPDX-License-Identifier: MIT
-- The smallest application: fcgi-lua hello.lua --bind unix:hello.sock
return function()
  return 200, { ["Content-Type"] = "text/plain" }, "Hello\n"
end
