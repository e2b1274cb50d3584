-- SPDX-License-Identifier: MIT
-- children.c in Lua; the module `processes` is made of processes.c.
local processes = require "processes"

local ways = {}
function ways.exit() os.exit(7) end
function ways._exit() processes._exit(7) end
function ways.raise() error("in the child") end
function ways.use(req)
  local result, message = req:write("child")
  if result or not message then
    processes._exit(1)
  end
  pcall(req.reply, req, 200, {}, "child")
  pcall(req.flush, req)
  processes._exit(0)
end
function ways.hang()
  while true do
    processes.pause()
  end
end
ways["return"] = function() return 200, {}, "child" end

return function(req)
  local path, command = req.params.SCRIPT_NAME, req.params.COMMAND
  if command then
    local pipe = assert(io.popen(command))
    local text = pipe:read "a"
    pipe:close()
    return 200, {}, text
  end
  local way = path:match "^/child/(.*)"
  if not way then
    return 200, {}, ("pid %d\n"):format(processes.getpid())
  end
  local child = processes.fork(req.params.DELAY)
  if child == 0 then
    return ways[way](req)
  elseif way == "hang" then
    return 200, {}, ("pid %d\n"):format(child)
  end
  return 200, {}, ("status %d\n"):format(processes.waitpid(child))
end
