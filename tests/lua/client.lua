-- SPDX-License-Identifier: MIT
-- The web server's side of FastCGI for the specs, on LuaSocket.
local socket = require "socket"
local unix = require "socket.unix"

local client = { sleep = socket.sleep }
client.__index = client

local BEGIN, ABORT, END, PARAMS, STDIN, STDOUT, STDERR, DATA = 1, 2, 3, 4, 5, 6, 7, 8

--- A connection to the socket at `path`, or nil when nobody listens.
function client.try(path)
  local stream = (type(unix) == "table" and unix.stream or unix)()
  if not stream:connect(path) then
    stream:close()
    return nil
  end
  stream:settimeout(60)
  return setmetatable({ stream = stream, pending = {} }, client)
end

function client.connect(path)
  return client.try(path) or error("nobody listens at " .. path, 2)
end

function client:close()
  self.stream:close()
end
client.__close = client.close

function client:send(bytes)
  local sent = 0
  while sent < #bytes do
    sent = assert(self.stream:send(bytes, sent + 1))
  end
end

--- The bytes of one record, or of several when the content is long.
function client.record(kind, id, content)
  local records = {}
  repeat
    local part = content:sub(1, 65528)
    content = content:sub(65529)
    records[#records + 1] = string.pack(">BBI2I2BB", 1, kind, id, #part, 0, 0) .. part
  until content == ""
  return table.concat(records)
end

local function length(n)
  return n < 128 and string.char(n) or string.pack(">I4", n | 0x80000000)
end

function client.pair(name, value)
  return length(#name) .. length(#value) .. name .. value
end

local function encode_params(request)
  local list = {}
  for name, value in pairs(request.params or {}) do
    list[#list + 1] = client.pair(name, tostring(value))
  end
  for _, pair in ipairs(request.list or {}) do
    list[#list + 1] = client.pair(pair[1], pair[2])
  end
  return table.concat(list)
end

--- BEGIN_REQUEST and all of PARAMS. Fields: id, role, keep, method, params (a
--- table), list (pairs in order, for duplicates), body (for CONTENT_LENGTH).
function client:begin(request)
  local id = request.id or 1
  local params = { REQUEST_METHOD = request.method or (request.body and "POST" or "GET"), REQUEST_URI = "/" }
  if request.body and not request.chunked then
    params.CONTENT_LENGTH = #request.body
  end
  for name, value in pairs(request.params or {}) do
    params[name] = value or nil
  end
  local content = encode_params { params = params, list = request.list }
  self:send(client.record(BEGIN, id, string.pack(">I2BI5", request.role or 1, request.keep == false and 0 or 1, 0))
    .. client.record(PARAMS, id, content) .. client.record(PARAMS, id, ""))
end

--- STDIN records; an empty text ends the body.
function client:stdin(content, id)
  self:send(client.record(STDIN, id or 1, content))
end

--- DATA records of a filter; an empty text ends its file.
function client:data(content, id)
  self:send(client.record(DATA, id or 1, content))
end

function client:abort(id)
  self:send(client.record(ABORT, id or 1, ""))
end

--- A whole request.
function client:request(request)
  self:begin(request)
  if request.body and request.body ~= "" then
    self:stdin(request.body, request.id)
  end
  self:stdin("", request.id)
end

local function read_record(self)
  local header, problem = self.stream:receive(8)
  if not header then
    return nil, problem
  end
  local _, kind, id, len, padding = string.unpack(">BBI2I2B", header)
  local content = len > 0 and assert(self.stream:receive(len)) or ""
  if padding > 0 then
    assert(self.stream:receive(padding))
  end
  return kind, id, content
end

--- Some bytes of STDOUT as they come, "" at its end; nil when cut.
function client:stdout()
  while true do
    local kind, _, content = read_record(self)
    if not kind then
      return nil
    elseif kind == STDOUT then
      return content
    end
  end
end

local function parse(response)
  local head, body = response.stdout:match("^(.-)\r\n\r\n(.*)$")
  response.headers, response.lines = {}, {}
  for line in ((head or "") .. "\r\n"):gmatch("(.-)\r\n") do
    local name, value = line:match("^(.-): *(.*)$")
    if name then
      response.lines[#response.lines + 1] = line
      response.headers[name:lower()] = value
    end
  end
  response.status = tonumber((response.headers.status or ""):match("^%d+"))
  response.body = body
  return response
end

--- The whole response to a request: stdout, stderr, app_status,
--- protocol_status, status, headers, lines, body; `cut` when the connection
--- ended before it.
function client:response(id)
  id = id or 1
  local out, err = {}, {}
  while true do
    local kind, which, content = read_record(self)
    if not kind then
      return parse { cut = which or true, stdout = table.concat(out), stderr = table.concat(err) }
    elseif which ~= id then
      error("a record for request " .. which)
    elseif kind == STDOUT then
      out[#out + 1] = content
    elseif kind == STDERR then
      err[#err + 1] = content
    elseif kind == END then
      local app_status, protocol_status = string.unpack(">I4B", content)
      return parse { stdout = table.concat(out), stderr = table.concat(err),
        app_status = app_status, protocol_status = protocol_status }
    end
  end
end

return client
