-- SPDX-License-Identifier: MIT
-- Numbers the lines of a file that the web server sends along. A filter is a
-- responder with a second input, DATA: the file, with its length and the time
-- it was modified. It need not be read: where the browser has that version
-- already, nothing is sent.
-- fcgi-lua filter.lua --bind unix:filter.sock

-- The lines of the file as it comes, each with its number.
local function numbered_lines(req)
  local count = 0
  return function()
    local line, problem = req:read_data("l")
    if problem then
      error(problem, 0)
    end
    count = count + 1
    return line and ("%6d  %s\n"):format(count, line)
  end
end

local function number(req)
  local headers = { ["Content-Type"] = "text/plain" }
  if req.data_modified then
    headers["Last-Modified"] = os.date("!%a, %d %b %Y %H:%M:%S GMT", req.data_modified)
    if headers["Last-Modified"] == req.params.HTTP_IF_MODIFIED_SINCE then
      return 304, headers
    end
  end
  return 200, headers, numbered_lines(req)
end

return { roles = { filter = number }, stream = true }
