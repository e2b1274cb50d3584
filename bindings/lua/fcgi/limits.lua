-- SPDX-License-Identifier: MIT
-- Options of the modules that decode what clients send, and how these refuse it.
local limits = {}

local STATUS = {
  LIMIT = 413,
  UNSUPPORTED = 415,
  PROTOCOL = 400,
  TRUNCATED = 400,
  ABORTED = 400,
  TIMEOUT = 408,
}

--- The options with their defaults. Numbers are not negative, and math.huge is
--- "no limit"; what `defaults` does not have is a mistake of the program.
function limits.choose(options, defaults)
  local chosen = {}
  for name, value in pairs(defaults) do
    chosen[name] = value
  end
  for name, value in pairs(options or {}) do
    local usual = defaults[name]
    if usual == nil then
      error(("unknown option '%s'"):format(tostring(name)), 3)
    elseif type(value) ~= type(usual) then
      error(("option '%s' must be a %s (got a %s)"):format(name, type(usual), type(value)), 3)
    elseif type(value) == "number" and (value < 0 or value ~= value) then
      error(("option '%s' must not be negative"):format(name), 3)
    end
    chosen[name] = value
  end
  return chosen
end

--- A failure: nil, its message and code, and the status that suits as an answer.
function limits.fail(message, code)
  return nil, message, code, STATUS[code] or 500
end

--- The failure of what exceeds a limit.
function limits.exceed(what, most)
  return limits.fail(("%s: more than %.0f"):format(what, most), "LIMIT")
end

return limits
