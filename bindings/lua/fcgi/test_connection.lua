-- SPDX-License-Identifier: MIT
-- What fcgi.test has for one connection: requests go out, answers come in.

local ROLES = { responder = 1, authorizer = 2, filter = 3 }
local DEFAULTS = {
  GATEWAY_INTERFACE = "CGI/1.1", HTTP_HOST = "localhost", REMOTE_ADDR = "127.0.0.1", REMOTE_PORT = "0",
  REQUEST_SCHEME = "http", SCRIPT_NAME = "", SERVER_ADDR = "127.0.0.1", SERVER_NAME = "localhost",
  SERVER_PORT = "80", SERVER_PROTOCOL = "HTTP/1.1", SERVER_SOFTWARE = "fcgi.test",
}

local function unescape(path)
  return (path:gsub("%%(%x%x)", function(digits) return string.char(tonumber(digits, 16)) end))
end

--- What a request is made of; all can be left out.
---@class fcgi.test.request
---@field method? string "GET", or "POST" where there is a body
---@field uri? string path and query: "/"
---@field headers? table<string, string|number> of the HTTP request
---@field params? table<string, string|number|false> further parameters; they replace the usual ones, false removes one
---@field body? string goes out on STDIN
---@field data? string goes out on DATA, for a filter
---@field role? string|integer "responder", "authorizer", "filter", a name of `roles`, or a number: "responder"
---@field keep? boolean the connection stays open after the answer: false
---@field split? integer at most so many bytes in one send

local KNOWN = {
  method = 1, uri = 1, headers = 1, params = 1, body = 1,
  data = 1, role = 1, keep = 1, split = 1, id = 1,
}

local function check_names(request)
  for name in pairs(request) do
    if not KNOWN[name] then
      error(("a request has no field '%s'"):format(tostring(name)), 4)
    end
  end
end

-- The parameters a web server sends for a request.
local function params_of(request)
  local method = request.method or (request.body and "POST" or "GET")
  local uri = request.uri or "/"
  local path, query = uri:match("^([^?]*)%??(.*)$")
  local params = { REQUEST_METHOD = method, REQUEST_URI = uri, PATH_INFO = unescape(path), QUERY_STRING = query }
  for name, value in pairs(DEFAULTS) do
    params[name] = value
  end
  if request.body then
    params.CONTENT_LENGTH = #request.body
  end
  if request.data then
    params.FCGI_DATA_LENGTH = #request.data
  end
  for name, value in pairs(request.headers or {}) do
    local upper = name:upper():gsub("-", "_")
    params[(upper == "CONTENT_TYPE" or upper == "CONTENT_LENGTH") and upper or "HTTP_" .. upper] = value
  end
  for name, value in pairs(request.params or {}) do
    params[name] = value or nil
  end
  return params
end

--- The headers of an answer: a list of {name, value} in their order; by name,
--- in any case, the first value.
---@alias fcgi.test.headers table<string, string>|string[][]

local headers_class = {}

function headers_class.__index(headers, wanted)
  if type(wanted) ~= "string" then
    return nil
  end
  for _, header in ipairs(headers) do
    if header[1]:lower() == wanted:lower() then
      return header[2]
    end
  end
end

--- What an application answered to one request.
---@class fcgi.test.response
---@field status integer of the Status header; 302 for a bare Location, else 200
---@field headers fcgi.test.headers
---@field body string
---@field stdout string all of STDOUT, headers included
---@field stderr string
---@field app_status integer? of END_REQUEST
---@field protocol_status integer? of END_REQUEST: 0 for a request that was served

-- Fill in status, headers and body from STDOUT (RFC 3875, 6).
local function parse(response)
  local head, body = response.stdout:match("^(.-\r?\n)\r?\n(.*)$")
  response.headers = setmetatable({}, headers_class)
  response.body = body or ""
  for line in (head or response.stdout):gmatch("[^\r\n]+") do
    local name, value = line:match("^(.-):%s*(.-)%s*$")
    table.insert(response.headers, { name or line, value or "" })
  end
  local status = response.headers.Status
  if not status and response.headers.Location then
    status = "302"
  end
  response.status = tonumber((status or "200"):match("^%d+"))
  return response
end

-- What has come of the answer to a request so far.
local function answer_of(connection, id)
  local found = connection.answers[id]
  if not found then
    found = { stdout = {}, stderr = {} }
    connection.answers[id] = found
  end
  return found
end

-- Take the answer to a request, whole or not.
local function take_answer(connection, id)
  local found = answer_of(connection, id)
  connection.answers[id] = nil
  found.stdout, found.stderr = table.concat(found.stdout), table.concat(found.stderr)
  return parse(found)
end

--- One connection to an application, for single records and faults. Each method
--- sends at once and returns the connection, unless it says otherwise; or nil,
--- a message and a code. It closes at the end of a `<close>` scope.
---@class fcgi.test.connection
local Connection = {}
Connection.__index = Connection

-- Send what a method of the core has queued.
local function sent(self, done, message, code)
  if not done then
    return nil, message, code
  end
  local flushed, problem, name = self.core:flush()
  if not flushed then
    return nil, problem, name
  end
  return self
end

-- The number of a role given by name.
local function role_number(self, role)
  local own = self.roles[role]
  local number = math.tointeger(role) or ROLES[role or "responder"] or (type(own) == "table" and own.number)
  return number or error(("role '%s' is not known; give its number"):format(tostring(role)), 3)
end

-- Queue BEGIN_REQUEST and PARAMS; returns the id, or nil, message, code.
local function queue_begin(self, request)
  local core = self.core
  check_names(request)
  local id, message, code = core:begin(role_number(self, request.role), request.keep, request.id)
  if not id then
    return nil, message, code
  end
  for name, value in pairs(params_of(request)) do
    core:param(id, name, tostring(value))
  end
  core:params_end(id)
  return id
end

--- Send BEGIN_REQUEST and all of PARAMS. `body` and `data` only give their
--- lengths: send them with `stdin` and `data`. `id` may name the request.
---@param request? fcgi.test.request
---@return integer? id
---@return string? message
---@return fcgi.code? code
function Connection:begin(request)
  local id, message, code = queue_begin(self, request or {})
  if not id then
    return nil, message, code
  end
  local flushed, problem, name = self.core:flush()
  if not flushed then
    return nil, problem, name
  end
  return id
end

--- Send BEGIN_REQUEST only; `param` and `params_end` go on.
---@param role? string|integer "responder"
---@param keep? boolean
---@param id? integer
---@return integer? id
---@return string? message
---@return fcgi.code? code
function Connection:open(role, keep, id)
  local message, code
  id, message, code = self.core:begin(role_number(self, role), keep, id)
  if not id then
    return nil, message, code
  end
  self.core:flush()
  return id
end

--- Send one parameter.
---@param name string
---@param value string
---@param id? integer 1
---@return fcgi.test.connection? self
---@return string? message
---@return fcgi.code? code
function Connection:param(name, value, id)
  return sent(self, self.core:param(id or 1, name, value))
end

--- End PARAMS.
---@param id? integer 1
---@return fcgi.test.connection? self
---@return string? message
---@return fcgi.code? code
function Connection:params_end(id)
  return sent(self, self.core:params_end(id or 1))
end

-- Queue bytes of a stream; nil only ends it.
local function queue_stream(core, id, stream, bytes)
  if bytes == nil then
    return core:write_end(id, stream)
  end
  return core:write(id, stream, bytes)
end

--- Send bytes of the body; nil ends it.
---@param bytes? string
---@param id? integer 1
---@return fcgi.test.connection? self
---@return string? message
---@return fcgi.code? code
function Connection:stdin(bytes, id)
  return sent(self, queue_stream(self.core, id or 1, "stdin", bytes))
end

--- Send bytes of a filter's file; nil ends it.
---@param bytes? string
---@param id? integer 1
---@return fcgi.test.connection? self
---@return string? message
---@return fcgi.code? code
function Connection:data(bytes, id)
  return sent(self, queue_stream(self.core, id or 1, "data", bytes))
end

--- Send ABORT_REQUEST; the application still has to end the request.
---@param id? integer 1
---@return fcgi.test.connection? self
---@return string? message
---@return fcgi.code? code
function Connection:abort(id)
  return sent(self, self.core:abort(id or 1))
end

--- Send bytes as they are, such as `test.record` makes, to break the rules.
---@param bytes string
---@return fcgi.test.connection? self
---@return string? message
---@return fcgi.code? code
function Connection:raw(bytes)
  return sent(self, self.core:raw(bytes))
end

--- What an application can say. "end" or "close" is the last of a request;
--- "close" means that the connection was lost before its end.
---@class fcgi.test.event
---@field type "stdout"|"stdout_end"|"stderr"|"stderr_end"|"end"|"close"|"values"|"unknown_type"
---@field id integer the request, 0 for "values" and "unknown_type"
---@field data string? of "stdout" and "stderr"
---@field app_status integer? of "end"
---@field protocol_status integer? of "end"
---@field values table<string, string>? of "values"
---@field unknown integer? of "unknown_type": the type of the record refused

--- Wait for the next thing the application says; nil alone when nothing is
--- open. `response` does not see what was taken here.
---@param seconds? number the client's `timeout`
---@return fcgi.test.event? event
---@return string? message
---@return fcgi.code? code
function Connection:event(seconds)
  return self.core:event(seconds)
end

--- Wait for the answer to a request; answers to others that come meanwhile are
--- kept for later calls.
---@param id? integer 1
---@return fcgi.test.response? response
---@return string? message why there is no whole answer
---@return fcgi.code? code
---@return fcgi.test.response? part what had come of it
function Connection:response(id)
  id = id or 1
  while not answer_of(self, id).closed do
    local event, message, code = self.core:event()
    if not event then
      return nil, message or ("request %d is not open"):format(id), code or "STATE", take_answer(self, id)
    end
    local found = answer_of(self, event.id)
    if event.data then
      table.insert(found[event.type], event.data)
    elseif event.type == "end" or event.type == "close" then
      found.closed = event.type
      found.app_status, found.protocol_status = event.app_status, event.protocol_status
    end
  end
  local response = take_answer(self, id)
  if response.closed == "end" then
    response.closed = nil
    return response
  end
  local _, message, code = self.core:event()
  return nil, message or "the connection was closed", code or "CLOSED", response
end

--- Ask for values, FCGI_MPXS_CONNS and its like.
---@param names? string[] all that the specification knows
---@return table<string, string>? values
---@return string? message
---@return fcgi.code? code
function Connection:get_values(names)
  local done, message, code = self.core:get_values(names)
  while done do
    local event
    event, message, code = self.core:event()
    if not event or event.type == "values" then
      return event and event.values, message, code
    end
  end
  return nil, message, code
end

--- Close the connection, also in the midst of a request.
function Connection:close()
  self.core:close()
end

function Connection:__close()
  self.core:close()
end

-- Queue a whole request and return its id, or nil, message, code; a later
-- failure is told by the answer.
---@package
function Connection:queue(request)
  local id, message, code = queue_begin(self, request)
  if not id then
    return nil, message, code
  end
  local core = self.core
  if request.role ~= "authorizer" or request.body then
    core:write(id, "stdin", request.body or "")
    core:write_end(id, "stdin")
  end
  if request.role == "filter" or request.data then
    core:write(id, "data", request.data or "")
    core:write_end(id, "data")
  end
  return id
end

--- A connection over one of fcgi.client, which knows roles by name.
---@package
function Connection.new(core, roles)
  return setmetatable({ core = core, roles = roles, answers = {} }, Connection)
end

return Connection
