-- SPDX-License-Identifier: MIT
-- Parts of URLs (RFC 3986).

--- Parts of URLs.
---@class fcgi.url
local url = {}

local function from_hex(digits)
  return string.char(tonumber(digits, 16))
end

local function to_hex(byte)
  return ("%%%02X"):format(byte:byte())
end

--- Decode `%41` and the like; whatever is no such thing stays.
---@param text string
---@return string
function url.decode(text)
  return (text:gsub("%%(%x%x)", from_hex))
end

--- Encode a part of a URL, such as a value or a segment of a path: all but
--- letters, digits and `-._~`.
---@param text string|number
---@return string
function url.encode(text)
  return (tostring(text):gsub("[^A-Za-z0-9._~-]", to_hex))
end

--- Encode a path, whose slashes stay.
---@param path string
---@return string
function url.encode_path(path)
  return (path:gsub("[^A-Za-z0-9._~/-]", to_hex))
end

--- Encode what cannot stand in a URL, and leave all that can.
---@param text string
---@return string
function url.encode_rest(text)
  return (text:gsub("[^A-Za-z0-9._~!#$%%&'()*+,/:;=?@%[%]-]", to_hex))
end

--- Whether it is a path of this site. A browser takes `//host/` and `/\host/`
--- for another one, and ignores tabs and line breaks.
---@param text string
---@return boolean
function url.is_local(text)
  return text:find("^/") ~= nil and not text:find("^/[/\\]") and not text:find("[%z\1-\31\127]")
end

return url
