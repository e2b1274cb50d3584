-- SPDX-License-Identifier: MIT
-- The echo application in Lua; README.md says what it answers.
local names = {
  "REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING",
  "CONTENT_LENGTH", "SERVER_PROTOCOL", "HTTP_X_TEST",
}

local function list_params(request)
  local lines = {}
  for i, name in ipairs(names) do
    lines[i] = name .. "=" .. (request.params[name] or "") .. "\n"
  end
  return 200, { ["Content-Type"] = "text/plain" }, lines
end

local function filled(value, otherwise)
  return value and value ~= "" and value or otherwise
end

return function(request)
  if request.method == "GET" or request.method == "HEAD" then
    return list_params(request)
  end
  local params = request.params
  assert(request:start(200, {
    ["Content-Type"] = filled(params.CONTENT_TYPE, "application/octet-stream"),
    ["X-Echo-Length"] = params.CONTENT_LENGTH or "",
  }))
  while true do
    local data, message, code = request:read_some(65536)
    if code then error(message) end
    if not data then return end
    assert(request:write(data))
  end
end
