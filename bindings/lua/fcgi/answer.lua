-- SPDX-License-Identifier: MIT
-- Answers that a handler returns: `return answer.redirect("/")`.
local http = require "fcgi.http"
local url = require "fcgi.url"

--- Answers that a handler returns: redirects, JSON and files.
---@class fcgi.answer
local answer = {}

local REDIRECTS = { [301] = true, [302] = true, [303] = true, [307] = true, [308] = true }

--- Send the client to another URL. 303 makes the next request a GET, as it should
--- be after a form; 307 and 308 repeat the method and the body; 301 and 308 are
--- remembered. A line break, or another control character, raises an error; what
--- cannot stand in a URL is encoded.
---@param location string
---@param status? 301|302|303|307|308 303
---@return fcgi.status status
---@return fcgi.headers headers
---@return string body
function answer.redirect(location, status)
  status = status or 303
  if not REDIRECTS[status] then
    error(("a redirect is 301, 302, 303, 307 or 308 (got %s)"):format(tostring(status)), 2)
  elseif type(location) ~= "string" or location == "" or location:find("[%z\1-\31\127]") then
    error("a redirect needs a URL without control characters", 2)
  end
  return status, { Location = url.encode_rest(location) }, ""
end

-- The JSON library that is installed.
local function encoder()
  for _, name in ipairs { "cjson", "dkjson" } do
    local found, library = pcall(require, name)
    if found then
      return library.encode
    end
  end
  error("JSON needs lua-cjson or dkjson, and neither is installed", 0)
end

local encode

local function copy(headers)
  local made = {}
  for name, value in pairs(headers or {}) do
    made[name] = value
  end
  return made
end

--- A value as JSON, by lua-cjson or dkjson, whichever is installed. One that
--- cannot be JSON raises an error. An empty table is `{}` in the former and `[]` in
--- the latter.
---@param value any
---@param status? fcgi.status 200
---@param headers? fcgi.headers
---@return fcgi.status status
---@return fcgi.headers headers
---@return string body
function answer.json(value, status, headers)
  encode = encode or encoder()
  local text, message = encode(value)
  if not text then
    error(message, 2)
  end
  local all = copy(headers)
  all["Content-Type"] = all["Content-Type"] or "application/json"
  return status or 200, all, text
end

--- What is known of a file. With LuaFileSystem installed, `modified` and `etag`
--- are found where a path is given.
---@class fcgi.file_options
---@field type? string its Content-Type: "application/octet-stream"
---@field headers? fcgi.headers further ones, such as Cache-Control
---@field modified? number when it was modified, in seconds since 1970
---@field etag? string with its quotes, such as `"a1"` or `W/"a1"`

-- When the file was modified, or nil.
local function modified_at(path)
  local found, files = pcall(require, "lfs")
  return found and files.attributes(path, "modification") or nil
end

-- A file that has changed just now may change again in the same second, and have
-- the same length.
local function etag_of(modified, size)
  local weak = os.time() - modified < 2 and "W/" or ""
  return ('%s"%x-%x"'):format(weak, modified, size)
end

local function validators(path, size, options)
  local modified, etag = options.modified, options.etag
  if not modified and not etag then
    modified = modified_at(path)
    etag = modified and etag_of(modified, size)
  end
  return etag, modified
end

local function size_of(file)
  local _, message = file:read(0)
  if message then -- It is a directory.
    return nil, message
  end
  return file:seek("end")
end

local function headers_of(options, etag, modified)
  local headers = copy(options.headers)
  headers["ETag"] = etag
  headers["Last-Modified"] = modified and http.date(modified)
  return headers
end

-- The status of a part, and its first and last byte; only the status where there
-- is nothing to send.
local function choose(req, size, etag, modified, headers)
  local status = http.precondition(req, etag, modified)
  if status then
    return status
  end
  local first, last = http.range(req, size, etag, modified)
  headers["Accept-Ranges"] = "bytes"
  if first == false then
    headers["Content-Range"] = ("bytes */%.0f"):format(size)
    return 416
  elseif first then
    headers["Content-Range"] = ("bytes %.0f-%.0f/%.0f"):format(first, last, size)
    return 206, first, last
  end
  return 200, 0, size - 1
end

local function send(req, file, path, options)
  local size, message = size_of(file)
  if not size then
    return nil, path .. ": " .. message, "SYSTEM"
  end
  local etag, modified = validators(path, size, options)
  local headers = headers_of(options, etag, modified)
  local status, first, last = choose(req, size, etag, modified, headers)
  if not first then
    return status, headers, ""
  end
  headers["Content-Type"] = options.type or "application/octet-stream"
  headers["Content-Length"] = ("%.0f"):format(last - first + 1)
  local begun, why, code = req:start(status, headers)
  if not begun or req.method == "HEAD" then
    return begun, why, code
  end
  return req:send_file(file, first, last - first + 1)
end

--- Send a file to a GET or HEAD, or what its conditions ask for instead: 304, 412,
--- one range of bytes (206), or 416. Other methods get 405. For `return` in a
--- handler; a file that cannot be read is nil, a message and "SYSTEM".
---@param req fcgi.request
---@param path string
---@param options? fcgi.file_options
---@return fcgi.status|fcgi.request|nil status
---@return fcgi.headers|string|nil headers
---@return string? body
function answer.file(req, path, options)
  if req.method ~= "GET" and req.method ~= "HEAD" then
    return 405, { Allow = "GET, HEAD" }, ""
  end
  local file, message = io.open(path, "rb")
  if not file then
    return nil, message, "SYSTEM"
  end
  local status, headers, body = send(req, file, path, options or {})
  file:close()
  return status, headers, body
end

return answer
