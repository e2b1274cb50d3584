-- SPDX-License-Identifier: MIT
-- Cookies (RFC 6265, and its revision for SameSite, Partitioned and prefixes).
local text = require "fcgi.text"

--- Cookies: read leniently, built strictly.
---@class fcgi.cookie
local cookie = {}

--- Time is in seconds. `false` leaves out what has a default.
---@class fcgi.cookie_options
---@field path? string|false "/"
---@field domain? string for subdomains too; without it the cookie is for this host alone
---@field max_age? integer seconds; 0 deletes it, and without one it lasts as long as the browser runs
---@field secure? boolean over HTTPS only
---@field http_only? boolean out of the reach of scripts: true
---@field same_site? "Strict"|"Lax"|"None"|false whether other sites' requests have it: "Lax"
---@field partitioned? boolean one for each site that embeds this one; needs `secure`

local MOST_BYTES = 4096 -- Of name and value; browsers drop a longer cookie.
local SAME_SITE = { strict = "Strict", lax = "Lax", none = "None" }
local KINDS = {
  path = "string or false",
  domain = "string",
  max_age = "number",
  secure = "boolean",
  http_only = "boolean",
  same_site = "string or false",
  partitioned = "boolean",
}

--- The cookies of a Cookie header by name. Of several with one name the first
--- counts, which is the one with the longest path. What is no pair is passed
--- over. A value is not decoded, but quotes around it are taken off.
---@param header string?
---@return table<string, string>
function cookie.parse(header)
  local found = {}
  for pair in (header or ""):gmatch("[^;]+") do
    local name, value = pair:match("^([^=]*)=(.*)$")
    name = text.trim(name or "")
    if name ~= "" and found[name] == nil then
      value = text.trim(value)
      found[name] = value:match('^"(.*)"$') or value
    end
  end
  return found
end

--- The cookies of a request; `req:cookies()` is the same.
---@param req fcgi.request
---@return table<string, string>
function cookie.read(req)
  return cookie.parse(req.params.HTTP_COOKIE)
end

local function refuse(why, ...)
  error(("cookie: " .. why):format(...), 4)
end

local function check_name(name)
  if type(name) ~= "string" or not name:find("^[A-Za-z0-9!#$%%&'*+.^_`|~-]+$") then
    refuse("a name is letters, digits and !#$%%&'*+-.^_`|~ (got %q)", tostring(name))
  end
end

local function check_value(name, value)
  if type(value) ~= "string" or value:find('[%z\1-\32",;\92\127-\255]') then
    refuse("the value of '%s' must be visible ASCII without quotes, commas, semicolons and "
      .. "backslashes; url.encode makes one of any text", name)
  elseif #name + #value > MOST_BYTES then
    refuse("'%s' has more than %d bytes", name, MOST_BYTES)
  end
end

local function check_kinds(options)
  for name, value in pairs(options) do
    local kind = KINDS[name]
    if not kind then
      refuse("unknown option '%s'", tostring(name))
    elseif not kind:find(type(value), 1, true) and not (value == false and kind:find("false", 1, true)) then
      refuse("option '%s' must be a %s (got a %s)", name, kind, type(value))
    end
  end
end

local function check_numbers(options)
  local age = options.max_age
  if age and (age ~= math.floor(age) or age >= 2 ^ 53 or age <= -2 ^ 53) then
    refuse("option 'max_age' must be a whole number of seconds")
  end
end

local function check_texts(options)
  if options.path and not options.path:find("^/[ -:<-~]*$") then
    refuse("option 'path' begins with a slash and is ASCII without semicolons")
  elseif options.domain and not options.domain:find("^%.?[A-Za-z0-9][A-Za-z0-9.-]*$") then
    refuse("option 'domain' is the name of a host")
  elseif options.same_site and not SAME_SITE[options.same_site:lower()] then
    refuse("option 'same_site' is \"Strict\", \"Lax\" or \"None\"")
  end
end

-- What browsers refuse without a word.
local function check_together(name, options)
  local prefix = name:lower():match("^__%a+%-")
  if options.same_site and options.same_site:lower() == "none" and not options.secure then
    refuse("'%s' with SameSite=None needs 'secure'", name)
  elseif options.partitioned and not options.secure then
    refuse("'%s' with 'partitioned' needs 'secure'", name)
  elseif (prefix == "__secure-" or prefix == "__host-") and not options.secure then
    refuse("'%s' needs 'secure', because of the prefix of its name", name)
  elseif prefix == "__host-" and (options.path ~= "/" or options.domain) then
    refuse("'%s' needs the path \"/\" and no domain, because of the prefix of its name", name)
  end
end

local function with_defaults(options)
  local chosen = { path = "/", http_only = true, same_site = "Lax" }
  for name, value in pairs(options or {}) do
    chosen[name] = value
  end
  return chosen
end

local function attributes(options)
  local parts = {}
  local function add(name, value)
    if value then
      parts[#parts + 1] = "; " .. name .. (value == true and "" or "=" .. value)
    end
  end
  add("Path", options.path)
  add("Domain", options.domain)
  add("Max-Age", options.max_age and ("%.0f"):format(options.max_age))
  add("Secure", options.secure)
  add("HttpOnly", options.http_only)
  add("SameSite", options.same_site and SAME_SITE[options.same_site:lower()])
  add("Partitioned", options.partitioned)
  return table.concat(parts)
end

--- The value of a Set-Cookie header. What a browser would refuse, or take for
--- something else, raises an error.
---@param name string
---@param value string visible ASCII; url.encode makes that of any text
---@param options? fcgi.cookie_options
---@return string
function cookie.build(name, value, options)
  check_name(name)
  check_value(name, value)
  local chosen = with_defaults(options)
  check_kinds(chosen)
  check_numbers(chosen)
  check_texts(chosen)
  check_together(name, chosen)
  return name .. "=" .. value .. attributes(chosen)
end

return cookie
