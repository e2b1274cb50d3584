-- SPDX-License-Identifier: MIT
-- multipart/form-data (RFC 7578), part by part while it comes. What is in memory
-- does not grow with the body: the bytes of a part are handed out as soon as they
-- cannot be the beginning of a boundary.
local http = require "fcgi.http"
local limits = require "fcgi.limits"
local text = require "fcgi.text"
local url = require "fcgi.url"

--- multipart/form-data, part by part while it comes.
---@class fcgi.multipart
local multipart = {}

--- A limit may be math.huge.
---@class fcgi.multipart_options
---@field limit_parts? integer most parts: 1000
---@field limit_headers_size? integer most bytes of a part's headers: 8192
---@field bytes? boolean leave bytes of names that are not UTF-8 as they are, instead of U+FFFD

local DEFAULTS = { limit_parts = 1000, limit_headers_size = 8192, bytes = false }

--- Reads the parts of a form.
---@class fcgi.multipart.reader
local Reader = {}
Reader.__index = Reader

--- One part, which is readable until the next one is asked for.
---@class fcgi.multipart.part
---@field name string
---@field filename string? of a file: without directories and control characters
---@field raw_filename string? of a file: as the client has sent it
---@field type string its Content-Type: "text/plain"
---@field headers table<string, string> by their names in small letters
local Part = {}
Part.__index = Part

local function wrong(message)
  return limits.fail(message, "PROTOCOL")
end

--- A reader of a body. `source` returns its next bytes, nil at its end, or nil, a
--- message and a code.
---@param source fun(): string?, string?, fcgi.code?
---@param boundary string from the Content-Type
---@param options? fcgi.multipart_options
---@return fcgi.multipart.reader? reader
---@return string? message
---@return fcgi.code? code "PROTOCOL"
---@return integer? status that suits as an answer: 400
function multipart.reader(source, boundary, options)
  local chosen = limits.choose(options, DEFAULTS)
  if #boundary < 1 or #boundary > 70 or boundary:find("[%z\1-\31\127-\255]") then
    return wrong("the boundary of the form is none")
  end
  return setmetatable({
    source = source,
    options = chosen,
    delimiter = "\r\n--" .. boundary,
    buffer = "\r\n", -- As if a line had ended before the first boundary.
    at = 1, -- Where what is not yet read begins in `buffer`.
    place = "inside", -- Also "boundary", behind one, and "end", behind the last.
    count = 0, -- Of parts.
  }, Reader)
end

-- Get more bytes. A body that ends where some are missing is not whole.
local function fill(self)
  local bytes, message, code = self.source()
  if bytes then
    self.buffer = self.buffer:sub(self.at) .. bytes
    self.at = 1
    return true
  elseif message then
    return limits.fail(message, code)
  end
  return wrong("the form ends before its last boundary")
end

-- The next bytes of a part, or nil at the boundary that ends it.
local function piece(self)
  while self.place == "inside" do
    local found = self.buffer:find(self.delimiter, self.at, true)
    local last = found and found - 1 or #self.buffer - #self.delimiter + 1
    if last >= self.at then
      local bytes = self.buffer:sub(self.at, last)
      self.at = last + 1
      return bytes
    elseif found then
      self.at = found + #self.delimiter
      self.place = "boundary"
    else
      local filled, message, code, status = fill(self)
      if not filled then
        return nil, message, code, status
      end
    end
  end
  return nil
end

-- The headers behind a boundary once all of them are there: where they begin and
-- end. false where it is the last boundary, nil where bytes are missing, and an
-- error where something else follows.
local function find_headers(self)
  local buffer, at = self.buffer, self.at
  if buffer:find("^%-%-", at) then
    return false
  end
  local first = buffer:match("^[ \t]*\r\n()", at)
  if first then
    local found = buffer:find("\r\n\r\n", first - 2, true)
    return found and first, found
  elseif buffer:find("^[ \t]*\r?$", at) or buffer:find("^%-$", at) then
    return nil
  end
  return wrong("a boundary of the form does not end its line")
end

-- The lines of the headers; false at the end of the form.
local function read_headers(self)
  while true do
    local first, last, code, status = find_headers(self)
    if code then
      return nil, last, code, status
    elseif first == false then
      self.place = "end"
      return false
    elseif (last or #self.buffer) - self.at > self.options.limit_headers_size then
      return limits.exceed("bytes of a part's headers", self.options.limit_headers_size)
    elseif first then
      local lines = self.buffer:sub(first, last + 1)
      self.at = last + 4
      self.place = "inside"
      return lines
    end
    local filled, message
    filled, message, code, status = fill(self)
    if not filled then
      return nil, message, code, status
    end
  end
end

-- Headers by name; nil where a line is none.
local function parse_headers(lines)
  local headers = {}
  for line in lines:gsub("\r\n[ \t]+", " "):gmatch("(.-)\r\n") do
    local name, value = line:match("^([A-Za-z0-9!#-'*+.^_`|~-]+):(.*)$")
    if not name or value:find("[%z\r\n]") or headers[name:lower()] then
      return nil
    end
    headers[name:lower()] = text.trim(value)
  end
  return headers
end

-- A name as browsers write it (the HTML Standard, "multipart/form-data encoding
-- algorithm"): three characters are escaped, and a percent sign is not.
local function decode_name(name, bytes)
  name = name:gsub("%%22", '"'):gsub("%%0D", "\r"):gsub("%%0A", "\n")
  return bytes and name or text.scrub(name)
end

-- The name of a file, which some clients send as RFC 5987 has it.
local function filename_of(parameters, bytes)
  local extended = (parameters["filename*"] or ""):match("^[Uu][Tt][Ff]%-8'[^']*'(.*)$")
  if parameters.filename then
    return decode_name(parameters.filename, bytes)
  elseif extended then
    return bytes and url.decode(extended) or text.scrub(url.decode(extended))
  end
  return nil
end

-- Nothing that means something in a path.
local function plain_name(filename)
  local name = (filename:match("^.*[/\\](.*)$") or filename):gsub("[%z\1-\31\127]", "_")
  return name:find("^%.%.?$") and "" or name
end

local function new_part(self, lines)
  local bytes = self.options.bytes
  local headers = parse_headers(lines)
  if not headers then
    return wrong("a header of the form is none")
  end
  local kind, parameters = http.parameters(headers["content-disposition"] or "")
  if kind ~= "form-data" or not parameters.name then
    return wrong("a part of the form has no name")
  end
  local filename = filename_of(parameters, bytes)
  return setmetatable({
    reader = self,
    name = decode_name(parameters.name, bytes),
    raw_filename = filename,
    filename = filename and plain_name(filename),
    type = headers["content-type"] or "text/plain",
    headers = headers,
  }, Part)
end

--- The next part; what is left of the one before it is passed over. nil at the end
--- of the form, or nil, a message, a code and a status: 413 or 400.
---@return fcgi.multipart.part? part
---@return string? message
---@return fcgi.code? code
---@return integer? status that suits as an answer
function Reader:next()
  local bytes, message, code, status
  self.part = nil
  repeat
    bytes, message, code, status = piece(self)
  until not bytes
  if message or self.place == "end" then
    return nil, message, code, status
  end
  local lines
  lines, message, code, status = read_headers(self)
  if not lines then
    return nil, message, code, status
  end
  self.count = self.count + 1
  if self.count > self.options.limit_parts then
    return limits.exceed("parts of the form", self.options.limit_parts)
  end
  self.part, message, code, status = new_part(self, lines)
  return self.part, message, code, status
end

--- The next bytes of the part; nil at its end.
---@return string? bytes
---@return string? message
---@return fcgi.code? code
---@return integer? status
function Part:read()
  if self.reader.part ~= self then
    return limits.fail("the part has been passed over", "STATE")
  end
  return piece(self.reader)
end

--- All bytes of the part that are left, at most `most`.
---@param most number
---@return string? bytes
---@return string? message
---@return fcgi.code? code
---@return integer? status
function Part:text(most)
  local parts, size = {}, 0
  local bytes, message, code, status = self:read()
  while bytes do
    size = size + #bytes
    if size > most then
      break
    end
    parts[#parts + 1] = bytes
    bytes, message, code, status = self:read()
  end
  if message then
    return nil, message, code, status
  elseif size > most then
    return limits.exceed("bytes of a field", most)
  end
  return table.concat(parts)
end

return multipart
