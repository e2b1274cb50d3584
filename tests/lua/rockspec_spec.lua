-- SPDX-License-Identifier: MIT
package.path = debug.getinfo(1, "S").source:match("^@(.*/)") .. "?.lua;" .. package.path
local support = require "support"

local function list(pattern)
  local files = {}
  for name in support.shell(("cd %s && ls %s"):format(support.source, pattern)):gmatch("%S+") do
    files[#files + 1] = name
  end
  table.sort(files)
  return files
end

describe("the rockspec", function()
  local spec = {}
  setup(function()
    local path = support.source .. "/fastcgi-scm-1.rockspec"
    assert(loadfile(path, "t", spec))()
  end)

  -- Those that core/session/unit.c includes are compiled there.
  it("lists every C source on disk that is compiled alone, and no other", function()
    local included = {}
    local unit = support.read_file(support.source .. "/core/session/unit.c")
    for name in unit:gmatch('#include "(%S+%.c)"') do
      included["core/" .. name] = true
    end
    local expected = {}
    for _, name in ipairs(list("core/*/*.c bindings/lua/src/*.c")) do
      if not included[name] then
        expected[#expected + 1] = name
      end
    end
    local sources = {}
    for i, name in ipairs(spec.build.modules.fcgi.sources) do
      sources[i] = name
    end
    table.sort(sources)
    assert.same(expected, sources)
  end)

  it("lists every Lua file on disk, and no other", function()
    local files = {}
    for name, file in pairs(spec.build.modules) do
      if type(file) == "string" then
        files[#files + 1] = file
        assert.equal(name:gsub("^fcgi%.", "") .. ".lua", file:match("[^/]+$"))
      end
    end
    table.sort(files)
    assert.same(list("bindings/lua/fcgi/*.lua"), files)
  end)

  it("depends on Lua only", function()
    assert.same({ "lua >= 5.4" }, spec.dependencies)
    assert.is_nil(spec.external_dependencies)
  end)
end)

describe("the types", function()
  local types = {}
  setup(function()
    local folder = support.source .. "/bindings/lua/types/"
    local text = support.read_file(folder .. "fcgi.lua") .. support.read_file(folder .. "shared.lua")
    for class, method in text:gmatch("\nfunction (%a+)[:.]([%w_]+)") do
      types[class] = types[class] or {}
      types[class][method] = true
    end
  end)

  local function methods(file, array)
    local found = {}
    local text = support.read_file(support.source .. "/bindings/lua/src/" .. file)
    for name in text:match(array .. "%[%] = (.-);"):gmatch('{"([%w_]+)"') do
      found[name] = true
    end
    return found
  end

  it("tell of every function and no other", function()
    assert.same(methods("module.c", "functions"), types.fcgi)
    assert.same(methods("server.c", " methods"), types.server)
    assert.same(methods("request.c", " methods"), types.request)
    assert.same(methods("params.c", " methods"), types.params)
    assert.same(methods("shared.c", " methods"), types.shared)
    assert.same(methods("shared.c", " lock_methods"), types.lock)
  end)

  it("tell of every option and no other", function()
    local known, told = {}, {}
    local source = support.read_file(support.source .. "/bindings/lua/src/options.c")
    for name in source:match("others%[%] = (.-);"):gmatch('{"([%w_]+)"') do
      known[name] = true
    end
    local options = require("fcgi.supervisor").options()
    for _, scope in ipairs { "server", "worker", "processes" } do
      for _, name in ipairs(options:names(scope)) do
        known[name] = not name:find("^reload") or nil
      end
    end
    local text = support.read_file(support.source .. "/bindings/lua/types/fcgi.lua")
    for name in text:match("(%-%-%-@class fcgi.server_options.-)\nfunction"):gmatch("@field ([%w_]+)%?") do
      told[name] = true
    end
    assert.same(known, told)
  end)
end)
