-- SPDX-License-Identifier: MIT
-- The probe over the SWIG module: swig_probe.lua [ADDRESS [OPTION=VALUE...]].
local fcgi = require "fcgi_swig"

local TYPE = "text/plain"
local block = ("x"):rep(100000)

local function tell(line)
  io.stderr:write("probe: " .. line .. "\n")
end

local function begin(request, status)
  request:header("Content-Type", TYPE)
  request:start(status or 200)
end

local function is_there(path)
  local file = io.open(path)
  return file and file:close()
end

local paths = {}

function paths.gate(request)
  local query = request:param "QUERY_STRING"
  tell(query .. " began")
  while not is_there(os.getenv "GATE") do
    os.execute "sleep 0.02"
  end
  request:reply(200, TYPE, query .. "\n")
end

function paths.write(request)
  begin(request)
  local _ <close> = setmetatable({}, { __close = function() tell "write ended" end })
  while true do
    request:write(block)
  end
end

function paths.fault(request)
  begin(request)
  repeat
    local fine = pcall(request.write, request, block)
  until not fine
  error "a fault of its own"
end

function paths.complain(request)
  local count = request:param "QUERY_STRING"
  for number = 0, tonumber(count) - 1 do
    request:log(("complaint %029d"):format(number))
  end
  request:reply(200, TYPE, count .. "\n")
end

function paths.reply(request)
  request:reply(math.tointeger(request:param "QUERY_STRING"), TYPE, "abc")
end

function paths.start(request)
  begin(request, math.tointeger(request:param "QUERY_STRING"))
  request:write "abc"
end

function paths.promise(request)
  request:header("Content-Length", request:param "QUERY_STRING")
  begin(request)
  request:write "a"
  request:flush()
  request:write "bc"
end

function paths.length(request)
  request:reply(200, TYPE, request:content_length() .. " " .. #request:read())
end

function paths.file(request)
  local length = request:param "LENGTH"
  if length then
    request:header("Content-Length", length)
  end
  begin(request)
  request:send_file(request:param "FILE")
end

local ways = { system = os.execute }
function ways.popen(command)
  local pipe = assert(io.popen(command))
  pipe:read "a"
  pipe:close()
end

function paths.run(request)
  ways[request:param "WAY"](request:param "COMMAND")
  request:reply(200, TYPE, "done\n")
end

local function free(request)
  request:reply(200, TYPE, "QUERY_STRING=" .. request:param "QUERY_STRING" .. "\n")
end

local server = fcgi.Server()
for i = 2, #arg do
  server:set_text(arg[i]:match "^([%w_]+)=(.*)$")
end
if arg[1] then
  server:listen(arg[1])
else
  server:listen_inherited()
end
server:serve(function(request)
  local answer = paths[request:path():match "[^/]*$"] or free
  answer(request)
end)
