---@meta
-- SPDX-License-Identifier: MIT
-- luacheck: ignore 212 241
-- Types of the dictionaries of the module `fcgi` for LuaCATS.

--- What an entry of a shared dictionary can be: bytes, integers of 64 bits and
--- floats, which stay what they are, and booleans.
---@alias fcgi.shared_value string|number|boolean

--- A dictionary that all workers of a supervisor share; docs/state.md describes
--- it. Times are seconds. What fails returns nil, a message and a code.
---@class fcgi.shared
local shared = {}

---@return string
function shared:name() end

--- Whether no other program has it.
---@return boolean
function shared:private() end

---@param key string
---@param default? any
---@return any value, string? message, fcgi.code?
function shared:get(key, default) end

--- Returns how many entries had to go for it before their time.
---@param key string
---@param value fcgi.shared_value
---@param ttl? number
---@return integer?, string? message, fcgi.code?
function shared:set(key, value, ttl) end

--- Stores it if the key has no value; says whether.
---@param key string
---@param value fcgi.shared_value
---@param ttl? number
---@return boolean?, string? message, fcgi.code?
function shared:add(key, value, ttl) end

--- Stores it if the key has a value; says whether.
---@param key string
---@param value fcgi.shared_value
---@param ttl? number
---@return boolean?, string? message, fcgi.code?
function shared:replace(key, value, ttl) end

--- Adds `n`, 1 unless given, to an integer and returns the sum. Where there is
--- none, `init` + `n` is stored for `ttl`; without `init` nil is returned.
---@param key string
---@param n? integer
---@param init? integer
---@param ttl? number
---@return integer?, string? message, fcgi.code?
function shared:incr(key, n, init, ttl) end

--- Says whether there was one.
---@param key string
---@return boolean?, string? message, fcgi.code?
function shared:delete(key) end

--- Lets an entry live for `ttl` from now, or without an end; says whether there
--- is one.
---@param key string
---@param ttl? number
---@return boolean?, string? message, fcgi.code?
function shared:expire(key, ttl) end

--- What an entry has left: math.huge without an end, nil when there is none.
---@param key string
---@return number?, string? message, fcgi.code?
function shared:ttl(key) end

---@return string[]?, string? message, fcgi.code?
function shared:keys() end

--- Removes every entry and every lock.
---@return boolean?, string? message, fcgi.code?
function shared:clear() end

--- Numbers about the dictionary, by their names.
---@return table<string, integer>?, string? message, fcgi.code?
function shared:counts() end

--- The value of a key. Where there is none, one caller makes it while others
--- wait.
---@param key string
---@param make fun(): fcgi.shared_value
---@param ttl? number
---@return any value, string? message, fcgi.code?
function shared:fetch(key, make, ttl) end

--- A lock, for a variable that is `<close>`. Waits for `timeout`, or without an
--- end, and fails with "TIMEOUT". It is free again after `ttl`, a minute unless
--- given, or when the process that holds it has ended.
---@param key string
---@param timeout? number
---@param ttl? number
---@return fcgi.lock?, string? message, fcgi.code?
function shared:lock(key, timeout, ttl) end

---@class fcgi.lock
local lock = {}

--- Says whether it was held to the end.
---@return boolean?, string? message, fcgi.code?
function lock:unlock() end
