-- SPDX-License-Identifier: MIT
-- Text that comes from clients.

--- Text that comes from clients.
---@class fcgi.text
local text = {}

local REPLACEMENT = "\239\191\189" -- U+FFFD

-- What may follow the first byte of a sequence: how many bytes, and the range of
-- the first of them. The table of the Unicode Standard, "Well-Formed UTF-8".
local leads = {}
for byte = 0xC2, 0xF4 do
  leads[byte] = { byte < 0xE0 and 1 or byte < 0xF0 and 2 or 3, 0x80, 0xBF }
end
leads[0xE0][2] = 0xA0 -- Shorter forms,
leads[0xED][3] = 0x9F -- surrogates,
leads[0xF0][2] = 0x90
leads[0xF4][3] = 0x8F -- and what is beyond U+10FFFF.

-- Where the sequence at `at` ends, and whether it is whole. One that is not ends
-- before the byte that cannot follow.
local function sequence(bytes, at)
  local lead = leads[bytes:byte(at)]
  if not lead then
    return at, false
  end
  local low, high = lead[2], lead[3]
  for next_at = at + 1, at + lead[1] do
    local byte = bytes:byte(next_at)
    if not byte or byte < low or byte > high then
      return next_at - 1, false
    end
    low, high = 0x80, 0xBF
  end
  return at + lead[1], true
end

--- Valid UTF-8: each part that cannot be a character becomes U+FFFD, as the
--- Encoding Standard of the WHATWG decodes it.
---@param bytes string
---@return string
function text.scrub(bytes)
  local at = bytes:find("[\128-\255]")
  if not at then
    return bytes
  end
  local parts, from = {}, 1
  while at do
    local last, whole = sequence(bytes, at)
    if not whole then
      parts[#parts + 1] = bytes:sub(from, at - 1) .. REPLACEMENT
      from = last + 1
    end
    at = bytes:find("[\128-\255]", last + 1)
  end
  parts[#parts + 1] = bytes:sub(from)
  return table.concat(parts)
end

--- Text without white space at its ends. It takes time in proportion to its
--- length, which a pattern such as `^%s*(.-)%s*$` does not.
---@param given string
---@return string
function text.trim(given)
  local first = given:find("[^ \t\r\n\f\v]")
  return first and given:match("^.*[^ \t\r\n\f\v]", first) or ""
end

return text
