-- SPDX-License-Identifier: MIT
-- Forks of the process that runs a spec.
local support = require "support"

-- The integration tests have it built.
local built = (os.getenv "FASTCGI_BUILD" or "") .. "/tests/integration/processes.so"
local open = package.loadlib(built, "luaopen_processes")
if not open then
  return false
end
local processes = open()

local forks = {}

--- What `work` returns in a fork of this process, or raises there, as text. The
--- fork ends without a word to anybody.
function forks.run(work)
  local path = os.tmpname()
  local child = processes.fork()
  if child == 0 then
    local _, said = pcall(work)
    support.write_file(path, tostring(said))
    processes._exit(0)
  end
  local status = processes.waitpid(child)
  local said = support.read_file(path)
  os.remove(path)
  assert(status == 0, "the fork has ended with " .. status)
  return said
end

--- Call `work` in a fork of this process, which closes its Lua state then.
function forks.close(work)
  local child = processes.fork()
  if child == 0 then
    pcall(work)
    os.exit(0, true)
  end
  assert(processes.waitpid(child) == 0)
end

forks.number = processes.getpid

return forks
