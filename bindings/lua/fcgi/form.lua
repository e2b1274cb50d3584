-- SPDX-License-Identifier: MIT
-- The form that a request brings: its fields in memory, its files in temporary
-- files that have no name.
local http = require "fcgi.http"
local limits = require "fcgi.limits"
local multipart = require "fcgi.multipart"
local query = require "fcgi.query"
local text = require "fcgi.text"

--- The form that a request brings.
---@class fcgi.form
local form = {}

--- Sizes are bytes. A limit may be math.huge.
---@class fcgi.form_options
---@field limit_fields? integer most fields: 1000
---@field limit_fields_size? integer most bytes of all fields together: 1 MiB
---@field limit_files? integer most files: 20
---@field limit_file_size? integer largest file: 64 MiB
---@field limit_files_size? integer most bytes of all files together: 256 MiB
---@field limit_headers_size? integer most bytes of the headers of a part: 8192
---@field tmpfile? fun(): file*?, string? opens a temporary file: io.tmpfile
---@field bytes? boolean leave bytes that are not UTF-8 as they are, instead of U+FFFD

local DEFAULTS = {
  limit_fields = 1000,
  limit_fields_size = 1048576,
  limit_files = 20,
  limit_file_size = 67108864,
  limit_files_size = 268435456,
  limit_headers_size = 8192,
  tmpfile = io.tmpfile,
  bytes = false,
}

local BLOCK = 65536 -- Bytes that are copied at once.

--- A file that was sent with a form. It is closed, and so deleted, when the request
--- ends.
---@class fcgi.upload
---@field name string of the field
---@field filename string the file's own, without directories and control characters; may be ""
---@field raw_filename string as the client has sent it
---@field type string what the client says it is, "text/plain" where it says nothing
---@field size integer in bytes
---@field file file* at its beginning
local Upload = {}
Upload.__index = Upload

local function copy_all(from, to)
  local bytes, message = from:read(BLOCK)
  while bytes do
    local written
    written, message = to:write(bytes)
    if not written then
      return nil, message
    end
    bytes, message = from:read(BLOCK)
  end
  return not message, message
end

--- Copy it to a file of the program's own, over one that is there. After a failure
--- a part of it may be there.
---@param path string
---@return true? done
---@return string? message
---@return fcgi.code? code "SYSTEM"
function Upload:save(path)
  local to, message = io.open(path, "wb")
  if not to then
    return nil, message, "SYSTEM"
  end
  self.file:seek("set")
  local done, why = copy_all(self.file, to)
  local closed, problem = to:close()
  self.file:seek("set")
  if done and closed then
    return true
  end
  return nil, path .. ": " .. (why or problem), "SYSTEM"
end

-- Write what is left of a part, and go back to its beginning; returns its size.
local function write_part(part, file, most)
  local size, bytes, message, code, status = 0, part:read()
  while bytes do
    size = size + #bytes
    if size > most then
      return limits.exceed("bytes of a file", most)
    end
    local written, why = file:write(bytes)
    if not written then
      return limits.fail(why, "SYSTEM")
    end
    bytes, message, code, status = part:read()
  end
  if message then
    return nil, message, code, status
  end
  local flushed, why = file:flush()
  if not flushed then
    return limits.fail(why, "SYSTEM")
  end
  file:seek("set")
  return size
end

-- A file, in a temporary one.
local function keep(part, most, tmpfile)
  local file, reason = tmpfile()
  if not file then
    return limits.fail(reason, "SYSTEM")
  end
  local size, message, code, status = write_part(part, file, most)
  if not size then
    file:close()
    return nil, message, code, status
  end
  return setmetatable({
    name = part.name,
    filename = part.filename,
    raw_filename = part.raw_filename,
    type = part.type,
    size = size,
    file = file,
  }, Upload)
end

-- What has been read so far, and what its limits leave.
local Reading = {}
Reading.__index = Reading

local function new_reading(options, files)
  return setmetatable({
    options = options,
    fields = query.new(),
    files = files,
    fields_count = 0,
    fields_size = 0,
    files_count = 0,
    files_size = 0,
  }, Reading)
end

function Reading:take_field(part)
  local options = self.options
  self.fields_count = self.fields_count + 1
  if self.fields_count > options.limit_fields then
    return limits.exceed("fields", options.limit_fields)
  end
  local left = options.limit_fields_size - self.fields_size - #part.name
  local value, message, code, status = part:text(left)
  if code == "LIMIT" then
    return limits.exceed("bytes of fields", options.limit_fields_size)
  elseif not value then
    return nil, message, code, status
  end
  self.fields_size = options.limit_fields_size - left + #value
  query.add(self.fields, part.name, options.bytes and value or text.scrub(value))
  return true
end

-- A field for a file in which none was chosen is sent without a name and bytes.
function Reading:take_file(part)
  local options = self.options
  self.files_count = self.files_count + 1
  if self.files_count > options.limit_files then
    return limits.exceed("files", options.limit_files)
  end
  local left = options.limit_files_size - self.files_size
  local upload, message, code, status = keep(part, math.min(options.limit_file_size, left), options.tmpfile)
  if code == "LIMIT" and left < options.limit_file_size then
    return limits.exceed("bytes of files", options.limit_files_size)
  elseif not upload then
    return nil, message, code, status
  elseif upload.raw_filename == "" and upload.size == 0 then
    upload.file:close()
    return true
  end
  self.files_size = self.files_size + upload.size
  query.add(self.files, part.name, upload)
  return true
end

function Reading:take(part)
  if part.filename then
    return self:take_file(part)
  end
  return self:take_field(part)
end

local function media_type(req)
  local told = req.params.CONTENT_TYPE
  if not told or told == "" then
    return nil
  end
  return http.parameters(told)
end

--- Reads the parts of a form of the type multipart/form-data while they come, so
--- that nothing is kept.
---@param req fcgi.request
---@param options? fcgi.multipart_options
---@return fcgi.multipart.reader? reader
---@return string? message
---@return fcgi.code? code "UNSUPPORTED": it is no such form; "PROTOCOL"
---@return integer? status that suits as an answer: 415 or 400
function form.reader(req, options)
  local kind, parameters = media_type(req)
  if kind ~= "multipart/form-data" then
    return limits.fail("the body is not multipart/form-data", "UNSUPPORTED")
  end
  return multipart.reader(function() return req:read_some() end, parameters.boundary or "", options)
end

local function read_parts(req, options, files)
  local reader, message, code, status = form.reader(req, {
    limit_parts = options.limit_fields + options.limit_files,
    limit_headers_size = options.limit_headers_size,
    bytes = options.bytes,
  })
  if not reader then
    return nil, message, code, status
  end
  local reading = new_reading(options, files)
  local part
  part, message, code, status = reader:next()
  while part do
    local taken
    taken, message, code, status = reading:take(part)
    if not taken then
      return nil, message, code, status
    end
    part, message, code, status = reader:next()
  end
  if message then
    return nil, message, code, status
  end
  return reading.fields
end

-- At most one byte more than the limit is read.
local function read_encoded(req, options)
  local most = options.limit_fields_size
  local body, message, code = req:read(most == math.huge and "a" or most + 1)
  if message then
    return limits.fail(message, code)
  end
  return query.decode(body or "", {
    limit_fields = options.limit_fields,
    limit_fields_size = most,
    bytes = options.bytes,
  })
end

local function read_any(req, options, files)
  local kind = media_type(req)
  if kind == "multipart/form-data" then
    return read_parts(req, options, files)
  elseif kind == "application/x-www-form-urlencoded" then
    return read_encoded(req, options)
  elseif (req.content_length or 0) == 0 then
    return query.new()
  end
  return limits.fail("the body is no form", "UNSUPPORTED")
end

local function close_files(files)
  for _, upload in query.each(files) do
    if io.type(upload.file) == "file" then
      upload.file:close()
    end
  end
end

-- What a request has kept of its form; a request closes it when it ends.
local Kept = {}

function Kept:__close()
  close_files(self.files)
end

--- The fields of a form, and its files, each the first of its name; `query.all` and
--- `query.each` find the others. A body without bytes has neither. Called once more,
--- it returns the same; `req:form(options)` is this function.
---@param req fcgi.request
---@param options? fcgi.form_options
---@return fcgi.fields? fields
---@return table<string, fcgi.upload>|string files or a message
---@return fcgi.code? code
---@return integer? status that suits as an answer: 400, 408, 413, 415 or 500
function form.read(req, options)
  local chosen, ctx = limits.choose(options, DEFAULTS), req.ctx
  local kept = ctx[form]
  if not kept then
    kept = setmetatable({ files = query.new() }, Kept)
    ctx[form] = kept
    kept.fields, kept.message, kept.code, kept.status = read_any(req, chosen, kept.files)
    if not kept.fields then
      close_files(kept.files)
    end
  end
  if kept.fields then
    return kept.fields, kept.files
  end
  return nil, kept.message, kept.code, kept.status
end

return form
