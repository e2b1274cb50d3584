---@meta
-- SPDX-License-Identifier: MIT
-- luacheck: ignore 212 241
-- Types of what the module `fcgi` keeps between requests, for LuaCATS.

--- Times are seconds. Functions that raise, or return false, or nil and a
--- message, say no.
---@class fcgi.resource_options
---@field open fun(): any, string? opens one, or returns nil and why it could not
---@field name? string for messages: "resource"
---@field configure? fun(value: any) called with each one that was opened
---@field check? false|fun(value: any): any whether it works
---@field reset? "session"|"transaction"|false|fun(value: any): any undoes what a request has left: "session"
---@field close? false|fun(value: any) closes it
---@field broken? false|fun(error: any, value: any): any whether what a handler has raised says that it is broken
---@field eager? boolean a server is ready only once one is open
---@field retry? "never"|"safe" "safe": a GET or HEAD that fails because it broke runs once more: "never"
---@field limit_total? integer how many are open in all workers of a supervisor together
---@field minimum? 0|1 how many stay open though they rest: 0
---@field acquire_timeout? number longest wait while opening fails, or for limit_total: 5
---@field check_after? number rest after which it is checked before use; 0: each time, math.huge: it is not checked; 30
---@field max_age? number age at which it is replaced, less a random tenth; math.huge: never; 3600
---@field max_idle? number rest after which it is closed; math.huge: never; 600

--- Something expensive, such as a connection to a database, that is kept
--- between requests; docs/state.md describes it. A Lua state has one.
---@class fcgi.resource
local resource = {}

--- What stands for the one that is open, with all its methods and fields, for a
--- variable that is `<close>`. Without one it is given back at the end of the
--- request. It fails with "TIMEOUT" while none can be opened; a handler that
--- fails for it answers 503.
---@return any value, string? message, fcgi.code?
function resource:get() end

--- Calls `run` with the one that is open and returns what it returns. It fails
--- as `get` does, and raises what `run` raises.
---@param run fun(value: any, ...: any): ...
---@param ... any further arguments of `run`
---@return any ...
function resource:with(run, ...) end

--- Says that the one that is in use is broken: it is replaced.
---@return true? done, string? message, fcgi.code?
function resource:invalidate() end

--- Closes what is open, once nobody uses it.
function resource:drain() end

--- Has it belong to this process, a fork of the one that has used it. What the
--- parent has open is left alone.
function resource:renew() end

--- What is counted, by its name.
---@return table<string, integer>
function resource:stats() end

---@return string
function resource:name() end
