-- SPDX-License-Identifier: MIT
-- The options that apply: of the file, the environment and the command line,
-- the later ones before the earlier. What is wrong raises { usage = line }.
local options = require "fcgi.options"

local config = {}

local function refuse(format, ...)
  error({ usage = format:format(...) }, 0)
end
config.refuse = refuse

-- Each value has what was written, what that means, and where it was written.
local function value_of(row, given, where, source)
  local value, why = row.read(given)
  if value == nil and why then
    refuse("%s: %s", where, why)
  elseif value == nil then
    refuse("%s needs %s, not '%s'", where, row.kind, given)
  end
  return { text = given, value = value, source = source }
end

local function add(settings, row, value)
  local there = settings[row.word]
  if not row.several or not there or there.source ~= value.source then
    settings[row.word] = row.several and { text = { value.text }, value = { value.value }, source = value.source }
      or value
    return
  end
  table.insert(there.text, value.text)
  table.insert(there.value, value.value)
end

--- Take the option at arguments[i] of the command line; returns the index
--- after it.
function config.take(settings, arguments, i)
  local word = arguments[i]
  local name, equals, given = word:match("^%-%-([^=]+)(=?)(.*)$")
  local row = name and options.find("name", name) or options.find("short", word)
  if not row then
    refuse("unknown option %s%s (see fcgi-lua --help)", word:match("^[^=]*"),
      name and options.nearest(name, "name", "--") or "")
  end
  name = row.name
  if row.value == "" then
    if equals == "=" then
      refuse("--%s takes no value", name)
    end
    settings[row.word] = { text = true, value = true, source = "command line" }
    return i + 1
  end
  if equals ~= "=" then
    i = i + 1
    given = arguments[i]
  end
  if not given or given == "" then
    refuse("--%s needs a value (%s)", name, row.value)
  end
  add(settings, row, value_of(row, given, "--" .. name, "command line"))
  return i + 1
end

local function from_environment(getenv)
  local settings = {}
  local function take(row)
    local given = getenv(row.variable)
    if not given or given == "" or row.command and row.word ~= "config" then
      return
    end
    for word in given:gmatch(row.several and "%S+" or ".+") do
      add(settings, row, value_of(row, word, row.variable, "$" .. row.variable))
    end
  end
  take(options.app)
  for _, row in ipairs(options.rows) do
    take(row)
  end
  return settings
end

local function take_entry(settings, path, name, item)
  local row = name == "app" and options.app or options.find("word", tostring(name))
  if not row or row.command then
    refuse("%s: there is no option '%s'%s", path, tostring(name), options.nearest(tostring(name), "word", ""))
  end
  local where = ("%s: %s"):format(path, name)
  if row.value == "" then
    if type(item) ~= "boolean" then
      refuse("%s needs true or false, not '%s'", where, tostring(item))
    end
    settings[row.word] = { text = item, value = item, source = path }
    return
  end
  for _, one in ipairs(type(item) == "table" and row.several and item or { item }) do
    if type(one) ~= "string" and (type(one) ~= "number" or row.value == "MODE") then
      refuse("%s needs %s, not a %s", where, row.value == "MODE" and "octal digits in a string" or row.kind, type(one))
    end
    add(settings, row, value_of(row, tostring(one), where, path))
  end
end

local function from_file(path, directory)
  local settings = {}
  local place = path:sub(1, 1) == "/" and path or directory .. "/" .. path
  local chunk, message = loadfile(place, "t", setmetatable({}, { __index = _G }))
  if not chunk then
    refuse("%s", (message:gsub("\n.*", "")))
  end
  local fine, list = pcall(chunk)
  if not fine then
    refuse("%s", (tostring(list):gsub("\n.*", "")))
  elseif type(list) ~= "table" then
    refuse("%s must return a table of options, not a %s", path, type(list))
  end
  local names = {}
  for name in pairs(list) do
    names[#names + 1] = name
  end
  table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
  for _, name in ipairs(names) do
    take_entry(settings, path, name, list[name])
  end
  return settings
end

--- All of them by name; `line` are those of the command line. Files are looked
--- for in `directory`.
function config.merge(line, directory, getenv)
  local settings = {}
  local variables = from_environment(getenv)
  local file = line.config or variables.config
  for _, source in ipairs { file and from_file(file.value, directory) or {}, variables, line } do
    for word, value in pairs(source) do
      settings[word] = value
    end
  end
  return settings
end

local function as_lua(text)
  if type(text) ~= "table" then
    return type(text) == "string" and ("%q"):format(text) or tostring(text)
  end
  local list = {}
  for i, one in ipairs(text) do
    list[i] = as_lua(one)
  end
  return ("{ %s }"):format(table.concat(list, ", "))
end

--- A file of what was given, and the built-in defaults as comments.
function config.show(settings)
  local lines = { "return {" }
  local function show(row)
    local given = settings[row.word]
    if given then
      lines[#lines + 1] = ("  %s = %s, -- %s"):format(row.word, as_lua(given.text), given.source)
    elseif not row.command then
      local default = row.default ~= "" and row.default or row.value == "" and "false" or "none"
      lines[#lines + 1] = ("  -- %s: %s  (built-in)"):format(row.word, default)
    end
  end
  show(options.app)
  for _, row in ipairs(options.rows) do
    if not row.command then
      show(row)
    end
  end
  return table.concat(lines, "\n") .. "\n}\n"
end

return config
