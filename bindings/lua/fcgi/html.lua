-- SPDX-License-Identifier: MIT

--- Text in HTML.
---@class fcgi.html
local html = {}

local ESCAPES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#x27;" }

--- Escape text for an element or for the quoted value of an attribute.
---@param text string|number
---@return string
function html.escape(text)
  if type(text) ~= "string" and type(text) ~= "number" then
    error(("a text is needed (got a %s)"):format(type(text)), 2)
  end
  return (tostring(text):gsub("[&<>\"']", ESCAPES))
end

return html
