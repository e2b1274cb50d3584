-- SPDX-License-Identifier: MIT
-- Dates, validators, preconditions and ranges of HTTP (RFC 9110).

--- Dates, preconditions and ranges of HTTP.
---@class fcgi.http
local http = {}

local DAYS = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" }
local MONTHS = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" }
local MONTH_OF = {}
for number, name in ipairs(MONTHS) do
  MONTH_OF[name] = number
end

--- A time as headers have it: `Sun, 06 Nov 1994 08:49:37 GMT`.
---@param time number seconds since 1970
---@return string
function http.date(time)
  local at = os.date("!*t", math.floor(time))
  return ("%s, %02d %s %04d %02d:%02d:%02d GMT"):format(
    DAYS[at.wday], at.day, MONTHS[at.month], at.year, at.hour, at.min, at.sec)
end

-- Days from 1970-01-01 to a day of the Gregorian calendar, whose years begin in
-- March here, so that a leap day is the last of one.
local function days_to(year, month, day)
  if month < 3 then
    year, month = year - 1, month + 12
  end
  return 365 * year + math.floor(year / 4) - math.floor(year / 100) + math.floor(year / 400)
    + math.floor((153 * (month - 3) + 2) / 5) + day - 719469
end

local function is_leap(year)
  return year % 4 == 0 and (year % 100 ~= 0 or year % 400 == 0)
end

local LENGTHS = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 }

local function is_day(year, month, day)
  local length = LENGTHS[month] + (month == 2 and is_leap(year) and 1 or 0)
  return day >= 1 and day <= length
end

local function seconds(year, month_name, day, hour, minute, second)
  local month = MONTH_OF[month_name]
  year, day, hour, minute, second = tonumber(year), tonumber(day), tonumber(hour), tonumber(minute), tonumber(second)
  if not month or not is_day(year, month, day) or hour > 23 or minute > 59 or second > 60 then
    return nil
  end
  return ((days_to(year, month, day) * 24 + hour) * 60 + minute) * 60 + second
end

-- Two digits of a year that is at most 50 years ahead (RFC 9110, section 5.6.7).
local function whole_year(digits)
  local this = os.date("!*t").year
  local year = this - this % 100 + tonumber(digits)
  return year > this + 50 and year - 100 or year
end

--- The time that a header tells, in any of the three formats of HTTP; nil for
--- anything else.
---@param text string?
---@return integer? time seconds since 1970
function http.time(text)
  local day, month, year, clock = (text or ""):match("^%a%a%a, (%d%d) (%a%a%a) (%d%d%d%d) (%d%d:%d%d:%d%d) GMT$")
  if not day then
    day, month, year, clock = (text or ""):match("^%a+day, (%d%d)%-(%a%a%a)%-(%d%d) (%d%d:%d%d:%d%d) GMT$")
    year = year and whole_year(year)
  end
  if not day then
    month, day, clock, year = (text or ""):match("^%a%a%a (%a%a%a) ([ %d]%d) (%d%d:%d%d:%d%d) (%d%d%d%d)$")
  end
  if not day then
    return nil
  end
  return seconds(year, month, day, clock:match("^(%d%d):(%d%d):(%d%d)$"))
end

-- The text of a quoted string that begins at `from`, and what follows its end. A
-- backslash stands for itself before all but quotes and backslashes, because
-- browsers send it as it is in the name of a file; hence the last quote may follow
-- one.
local function quoted(text, from)
  local at = from
  repeat
    local mark = text:match('()["\\]', at)
    if not mark then
      return text:match('^(.*)"()', from)
    elseif text:sub(mark, mark) == '"' then
      return text:sub(from, mark - 1):gsub('\\(["\\])', "%1"), mark + 1
    end
    at = text:find('^["\\]', mark + 1) and mark + 2 or mark + 1
  until false
end

-- The parameter that begins at `at`: its name and value, and what follows it.
local function parameter(text, at)
  local name, value_at = text:match("^([^=; \t\"]+)=()", at)
  if not name then
    return nil
  elseif text:find('^"', value_at) then
    return name, quoted(text, value_at + 1)
  end
  return name, text:match('^([^; \t"]*)()', value_at)
end

--- The value of a header and its parameters, by their names in small letters, as in
--- `form-data; name="a"`; nil where it is not well-formed.
---@param text string
---@return string? value in small letters
---@return table<string, string>? parameters
function http.parameters(text)
  local value, at = text:match("^[ \t]*([^; \t\"]+)[ \t]*()")
  local found = {}
  while value and at <= #text do
    at = text:match("^;[ \t]*()", at)
    if at and at <= #text then
      local name, told
      name, told, at = parameter(text, at)
      at = at and text:match("^[ \t]*()", at)
      name = name and name:lower()
      if not at or found[name] then
        return nil
      end
      found[name] = told
    elseif not at then
      return nil
    end
  end
  return value and value:lower(), found
end

-- The entity tags of a list: the mark of a weak one, and what is in quotes.
local function each_tag(list)
  return list:gmatch('(W?/?)("[!#-~\128-\255]*")')
end

local function opaque(tag)
  return tag:match('^W/(".*)$') or tag
end

-- Strongly, neither of two tags may be weak.
local function has_tag(list, tag, strongly)
  if list:find("^[ \t]*%*[ \t]*$") then
    return true
  elseif not tag or strongly and tag:find("^W/") then
    return false
  end
  for weak, found in each_tag(list) do
    if found == opaque(tag) and not (strongly and weak ~= "") then
      return true
    end
  end
  return false
end

local function is_read(req)
  return req.method == "GET" or req.method == "HEAD"
end

-- Whether a client's date is not earlier than the modification; nil where one of
-- the two is not known.
local function not_modified_since(date, modified)
  local since = modified and http.time(date)
  return since and modified <= since
end

--- What the preconditions of a request make of its answer, in the order of RFC
--- 9110, section 13.2.2: 304 or 412, or nil where they leave it as it is.
---@param req fcgi.request
---@param etag? string with its quotes, such as `"a1"` or `W/"a1"`
---@param modified? number seconds since 1970
---@return 304|412|nil status
function http.precondition(req, etag, modified)
  local params = req.params
  local match, none_match = params.HTTP_IF_MATCH, params.HTTP_IF_NONE_MATCH
  modified = modified and math.floor(modified)
  if match then
    if not has_tag(match, etag, true) then
      return 412
    end
  elseif not_modified_since(params.HTTP_IF_UNMODIFIED_SINCE, modified) == false then
    return 412
  end
  if none_match then
    if has_tag(none_match, etag, false) then
      return is_read(req) and 304 or 412
    end
  elseif is_read(req) and not_modified_since(params.HTTP_IF_MODIFIED_SINCE, modified) then
    return 304
  end
  return nil
end

-- Whether the client has a part of this very file (section 13.1.5). A file that
-- has changed in this second may change once more in it.
local function is_same(condition, etag, modified)
  if condition:find('"', 1, true) then
    return etag ~= nil and not etag:find("^W/") and condition == etag
  end
  modified = modified and math.floor(modified)
  return modified ~= nil and http.time(condition) == modified and os.time() - modified > 1
end

-- First and last byte of a range; false where none of it is there, nil where it
-- is no single range.
local function parse_range(text, size)
  local first, last = text:match("^[Bb][Yy][Tt][Ee][Ss]=[ \t]*(%d*)%-(%d*)[ \t]*$")
  first, last = tonumber(first or ""), tonumber(last or "")
  if first and last and first > last or not first and not last then
    return nil
  elseif not first then
    if last == 0 then
      return false
    elseif size == 0 then
      return nil
    end
    return last < size and size - last or 0, size - 1
  elseif first >= size then
    return false
  end
  return first, last and last < size and last or size - 1
end

--- The single range of bytes that a GET asks for: first and last byte, counted
--- from 0. nil: the whole is wanted, as for several ranges and what is none.
--- false: the answer is 416.
---@param req fcgi.request
---@param size integer bytes of the whole
---@param etag? string
---@param modified? number seconds since 1970
---@return integer|false|nil first
---@return integer? last
function http.range(req, size, etag, modified)
  local params = req.params
  local text, condition = params.HTTP_RANGE, params.HTTP_IF_RANGE
  if not text or req.method ~= "GET" or condition and not is_same(condition, etag, modified) then
    return nil
  end
  return parse_range(text, size)
end

return http
