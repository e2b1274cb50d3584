-- SPDX-License-Identifier: MIT
-- application/x-www-form-urlencoded, as the URL Standard of the WHATWG has it.
local limits = require "fcgi.limits"
local text = require "fcgi.text"
local url = require "fcgi.url"

--- Query strings and forms of the type application/x-www-form-urlencoded.
---@class fcgi.query
local query = {}

--- What a client sent, by name: the first value of each. `query.all` and
--- `query.each` find the others.
---@class fcgi.fields: table<string, string>

--- A limit may be math.huge.
---@class fcgi.query_options
---@field limit_fields? integer most fields: 1000
---@field limit_fields_size? integer most bytes of all fields as they are sent: 1 MiB
---@field bytes? boolean leave bytes that are not UTF-8 as they are, instead of U+FFFD

local DEFAULTS = { limit_fields = 1000, limit_fields_size = 1048576, bytes = false }

-- Fields know all that came by a metatable, so that no name is taken from them.
local Fields = {}

--- New fields, which `query.add` fills.
---@return fcgi.fields
function query.new()
  return setmetatable({}, { kind = Fields, names = {}, values = {}, count = 0 })
end

local function record(fields)
  local meta = getmetatable(fields)
  if type(meta) ~= "table" or meta.kind ~= Fields then
    error("fields are needed, as query.decode returns them", 3)
  end
  return meta
end

--- Add a value to those of a name.
---@param fields fcgi.fields
---@param name string
---@param value any
function query.add(fields, name, value)
  local all = record(fields)
  local count = all.count + 1
  all.count, all.names[count], all.values[count] = count, name, value
  if fields[name] == nil then
    fields[name] = value
  end
end

--- All values of a name, in the order in which they were sent.
---@param fields fcgi.fields
---@param name string
---@return string[]
function query.all(fields, name)
  local all, found = record(fields), {}
  for i = 1, all.count do
    if all.names[i] == name then
      found[#found + 1] = all.values[i]
    end
  end
  return found
end

--- Iterate over names and values, in the order in which they were sent.
---@param fields fcgi.fields
---@return fun(): string?, string?
function query.each(fields)
  local all, at = record(fields), 0
  return function()
    at = at + 1
    return all.names[at], all.values[at]
  end
end

local function decode_part(part, bytes)
  local decoded = url.decode((part:gsub("%+", " ")))
  return bytes and decoded or text.scrub(decoded)
end

--- Decode the text of a query string or form. What exceeds a limit is an error.
---@param encoded string
---@param options? fcgi.query_options
---@return fcgi.fields? fields
---@return string? message
---@return fcgi.code? code "LIMIT"
---@return integer? status that suits as an answer: 413
function query.decode(encoded, options)
  local chosen = limits.choose(options, DEFAULTS)
  if #encoded > chosen.limit_fields_size then
    return limits.exceed("bytes of fields", chosen.limit_fields_size)
  end
  local fields, count = query.new(), 0
  for part in encoded:gmatch("[^&]+") do
    count = count + 1
    if count > chosen.limit_fields then
      return limits.exceed("fields", chosen.limit_fields)
    end
    local name, value = part:match("^([^=]*)=?(.*)$")
    query.add(fields, decode_part(name, chosen.bytes), decode_part(value, chosen.bytes))
  end
  return fields
end

--- Decode the query string of a request; `req:query(options)` is the same.
---@param req fcgi.request
---@param options? fcgi.query_options
---@return fcgi.fields? fields
---@return string? message
---@return fcgi.code? code "LIMIT"
---@return integer? status that suits as an answer: 413
function query.read(req, options)
  return query.decode(req.params.QUERY_STRING or "", options)
end

-- Letters, digits and *-._ stay, and a space becomes a plus.
local function encode_part(value)
  return (tostring(value):gsub("[^A-Za-z0-9*._ -]", function(byte)
    return ("%%%02X"):format(byte:byte())
  end):gsub(" ", "+"))
end

local function add_encoded(parts, name, value)
  if type(value) ~= "table" then
    parts[#parts + 1] = encode_part(name) .. "=" .. encode_part(value)
    return
  end
  for _, one in ipairs(value) do
    add_encoded(parts, name, one)
  end
end

local function sorted_names(fields)
  local names = {}
  for name in pairs(fields) do
    names[#names + 1] = name
  end
  table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
  return names
end

--- Encode names and values; a list sends its name several times. Fields that
--- were decoded keep their order, other tables are sorted by name.
---@param fields table<string, string|number|(string|number)[]>|fcgi.fields
---@return string
function query.encode(fields)
  local parts = {}
  local meta = getmetatable(fields)
  if type(meta) == "table" and meta.kind == Fields then
    for name, value in query.each(fields) do
      add_encoded(parts, name, value)
    end
    return table.concat(parts, "&")
  end
  for _, name in ipairs(sorted_names(fields)) do
    add_encoded(parts, name, fields[name])
  end
  return table.concat(parts, "&")
end

return query
