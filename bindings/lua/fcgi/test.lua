-- SPDX-License-Identifier: MIT
-- Test an application in process, over real records, without a web server.
local Connection = require "fcgi.test_connection"
local client = require "fcgi.client"
local fcgi = require "fcgi"

--- Tests of applications over real records, without a web server:
---
---     local test = require "fcgi.test"
---     local client <close> = assert(test.client(function(req)
---       return 200, { ["Content-Type"] = "text/plain" }, "Hello " .. req.params.QUERY_STRING .. "\n"
---     end))
---     local response = assert(client:get("/hello?x"))
---     assert(response.status == 200 and response.body == "Hello x\n")
---
--- A handler runs on the calling thread, in the caller's state, while an answer
--- is waited for; an application file runs in states and on threads of its own
--- all the time. What fails at run time returns nil, a message and a code.
---@class fcgi.test
local test = {}

--- The bytes of one record, for `connection:raw`. `length` is what its header
--- says of the content, wrong ones too.
---@param kind integer the record's type
---@param id integer
---@param content? string
---@param padding? integer
---@param length? integer
---@return string
function test.record(kind, id, content, padding, length)
  content, padding = content or "", padding or 0
  return string.pack(">BBI2I2BB", 1, kind, id, length or #content, padding, 0) .. content .. ("\0"):rep(padding)
end

local function length_of(text)
  return #text < 128 and string.char(#text) or string.pack(">I4", #text | 0x80000000)
end

--- Names and values as the content of PARAMS.
---@param params table<string, string>
---@return string
function test.pairs(params)
  local parts = {}
  for name, value in pairs(params) do
    parts[#parts + 1] = length_of(name) .. length_of(value) .. name .. value
  end
  return table.concat(parts)
end

--- An application, and requests to it. It closes at the end of a `<close>`
--- scope.
---@class fcgi.test.client
---@field address string where the application listens
---@field server fcgi.server? the one that a handler of this state is served by
local Client = {}
Client.__index = Client

--- Further fields are options of fcgi.server, such as `stream`.
---@class fcgi.test.options: fcgi.server_options
---@field handler? fcgi.handler answers on this thread, while an answer is waited for
---@field app? string a file that returns the handler, as for fcgi.serve
---@field args? string[] arguments of that file
---@field threads? integer threads that serve it, with a state each: 1
---@field address? string where an application runs already
---@field timeout? number seconds for anything that is waited for: 10

-- Serve `options` at a socket of its own: on threads, or in this state.
local function serve(self, options)
  self.name = os.tmpname()
  self.address = "unix:" .. self.name .. ".sock"
  options.bind = self.address
  local message, code
  if options.app then
    self.service, message, code = client.start(options)
  else
    self.handler, options.handler = options.handler, nil
    self.server, message, code = fcgi.server(options)
  end
  if self.service or self.server then
    return self
  end
  os.remove(self.name)
  return nil, message, code
end

local function is_callable(value)
  local meta = type(value) ~= "function" and getmetatable(value)
  return type(value) == "function" or type(meta) == "table" and meta.__call ~= nil
end

--- A client of an application: of a handler, which may be given alone, of a
--- file, or of one that listens at `address`.
---@param options fcgi.test.options|fcgi.handler
---@return fcgi.test.client? client
---@return string? message
---@return fcgi.code? code
function test.client(options)
  if is_callable(options) then
    options = { handler = options }
  elseif type(options) ~= "table" then
    error(("a handler or a table of options is needed (got a %s)"):format(type(options)), 2)
  end
  local rest = {}
  for name, value in pairs(options) do
    rest[name] = value
  end
  local self = setmetatable({ address = rest.address, timeout = rest.timeout or 10, roles = rest.roles or {} }, Client)
  rest.address, rest.timeout = nil, nil
  if self.address then
    if next(rest) then
      error(("option '%s' does not go with 'address'"):format(tostring(next(rest))), 2)
    end
    return self
  elseif rest.app and (rest.handler or rest.roles) then
    error("give either 'handler' and 'roles', or 'app', not both", 2)
  elseif not (rest.app or rest.roles or is_callable(rest.handler)) then
    error("a 'handler' function, 'roles', an 'app' file or an 'address' is needed", 2)
  end
  return serve(self, rest)
end

--- A connection of its own.
---@param split? integer at most so many bytes in one send
---@return fcgi.test.connection? connection
---@return string? message
---@return fcgi.code? code
function Client:connection(split)
  local options = { timeout = self.timeout, split = split }
  local core, message, code = client.connect(self.address, options, self.server, self.handler)
  if not core then
    return nil, message, code
  end
  return Connection.new(core, self.roles)
end

--- Send one request on a connection of its own and wait for its answer.
---@param request? fcgi.test.request
---@return fcgi.test.response? response
---@return string? message why there is no whole answer
---@return fcgi.code? code
---@return fcgi.test.response? part what had come of it
function Client:request(request)
  request = request or {}
  local connection <close>, message, code = self:connection(request.split)
  if not connection then
    return nil, message, code
  end
  local id
  id, message, code = connection:queue(request)
  if not id then
    return nil, message, code
  end
  return connection:response(id)
end

local function with(method, uri, body, request)
  local copy = { method = method, uri = uri, body = body }
  for name, value in pairs(request or {}) do
    copy[name] = value
  end
  return copy
end

--- GET; `request` gives the rest.
---@param uri string
---@param request? fcgi.test.request
---@return fcgi.test.response? response
---@return string? message
---@return fcgi.code? code
function Client:get(uri, request)
  return self:request(with("GET", uri, nil, request))
end

--- HEAD; `request` gives the rest.
---@param uri string
---@param request? fcgi.test.request
---@return fcgi.test.response? response
---@return string? message
---@return fcgi.code? code
function Client:head(uri, request)
  return self:request(with("HEAD", uri, nil, request))
end

--- POST; `request` gives the rest.
---@param uri string
---@param body? string
---@param request? fcgi.test.request
---@return fcgi.test.response? response
---@return string? message
---@return fcgi.code? code
function Client:post(uri, body, request)
  return self:request(with("POST", uri, body or "", request))
end

--- Ask for values on a connection of its own.
---@param names? string[] all that the specification knows
---@return table<string, string>? values
---@return string? message
---@return fcgi.code? code
function Client:get_values(names)
  local connection <close>, message, code = self:connection()
  if not connection then
    return nil, message, code
  end
  return connection:get_values(names)
end

--- Stop serving. Threads finish what runs, for `timeout` seconds, and are
--- aborted then; what had made one of them fail is returned.
---@return true? done
---@return string? message
---@return fcgi.code? code
function Client:close()
  local done, message, code = true, nil, nil
  if self.service then
    done, message, code = self.service:close(self.timeout)
  elseif self.server then
    self.server:close()
  end
  if self.name then
    os.remove(self.name)
  end
  self.name, self.service, self.server = nil, nil, nil
  return done, message, code
end

function Client:__close()
  self:close()
end

function Client:__gc()
  self:close()
end

return test
