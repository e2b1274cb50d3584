-- SPDX-License-Identifier: MIT
-- Tests hello.lua without a web server: lua5.4 hello_test.lua
local test = require "fcgi.test"

local here = arg[0]:match("^(.*/)") or ""

-- The file as fcgi-lua serves it, on a thread and in a state of its own.
local client <close> = assert(test.client { app = here .. "hello.lua" })
local response = assert(client:get("/"))
assert(response.status == 200 and response.body == "Hello\n")

-- A handler of this state; the parameters are those that a web server sends.
local echo <close> = assert(test.client(function(req)
  return 200, { ["X-Query"] = req.params.QUERY_STRING }, req:read("a")
end))
response = assert(echo:post("/echo?x=1", "body", { split = 1 }))
assert(response.headers["x-query"] == "x=1" and response.body == "body")

-- A connection that loses its client in the midst of a body.
local connection <close> = assert(client:connection())
assert(connection:begin { body = "body" })
assert(connection:stdin("bo"))
connection:close()
assert(client:get("/").status == 200)
print("ok")
