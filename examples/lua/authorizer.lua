-- SPDX-License-Identifier: MIT
-- Asks who is there before the web server serves anything: an authorizer gets
-- each request first. Its yes names variables that the web server hands on;
-- its no goes to the browser, which asks for a name and password. The same
-- program answers as a responder too, and greets whom it has let in.
-- fcgi-lua authorizer.lua --bind 127.0.0.1:9000
-- How lighttpd and Apache ask it is in ../python/authorizer.py.

-- A real table has hashes of passwords.
local users = { ann = "wonder:land", bob = "builder" }

local alphabet = {}
for i = 1, 64 do
  local letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
  alphabet[letters:byte(i)] = i - 1
end

local function decode_base64(text)
  local bytes, bits, count = {}, 0, 0
  for i = 1, #text:gsub("=+$", "") do
    local value = alphabet[text:byte(i)]
    if not value then
      return ""
    end
    bits, count = (bits << 6 | value) & 0xffff, count + 6
    if count >= 8 then
      count = count - 8
      bytes[#bytes + 1] = string.char(bits >> count & 0xff)
    end
  end
  return table.concat(bytes)
end

-- What the browser sent; Apache has taken its header apart already.
local function credentials(params)
  if params.REMOTE_PASSWD then
    return params.REMOTE_USER or "", params.REMOTE_PASSWD
  end
  local encoded = (params.HTTP_AUTHORIZATION or ""):match("^[Bb][Aa][Ss][Ii][Cc] +(%S+)$")
  return decode_base64(encoded or ""):match("^([^:]*):(.*)$")
end

-- Takes the same time wherever two texts differ.
local function same(a, b)
  local difference = #a ~ #b
  for i = 1, math.min(#a, #b) do
    difference = difference | a:byte(i) ~ b:byte(i)
  end
  return difference == 0
end

local function authorize(req)
  local user, password = credentials(req.params)
  if user and users[user] and same(users[user], password) then
    return req:allow { AUTH_USER = user }
  end
  return 401, { ["Content-Type"] = "text/plain", ["WWW-Authenticate"] = 'Basic realm="members"' },
    "Who are you?\n"
end

local function greet(req)
  return 200, { ["Content-Type"] = "text/plain" }, "Hello " .. (req.params.AUTH_USER or "nobody") .. "\n"
end

return { handler = greet, roles = { authorizer = authorize } }
