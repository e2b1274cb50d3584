-- SPDX-License-Identifier: MIT
-- Builds the module with nothing but a C compiler: the core is compiled in.
rockspec_format = "3.0"
package = "fastcgi"
version = "scm-1"
source = { url = "git+file://." }
description = {
  summary = "FastCGI for Lua: programs that stay alive behind a web server",
  detailed = [[
The module is `fcgi`, its launcher `fcgi-lua`. A handler is a function from a
request to status, headers and body; several threads serve with a Lua state
each; database connections stay open from one request to the next.]],
  license = "MIT",
  labels = { "web", "fastcgi", "server" },
}
dependencies = { "lua >= 5.4" }
build = {
  type = "builtin",
  modules = {
    fcgi = {
      sources = {
        "bindings/lua/src/app.c",
        "bindings/lua/src/error.c",
        "bindings/lua/src/module.c",
        "bindings/lua/src/options.c",
        "bindings/lua/src/params.c",
        "bindings/lua/src/read.c",
        "bindings/lua/src/request.c",
        "bindings/lua/src/response.c",
        "bindings/lua/src/roles.c",
        "bindings/lua/src/serve.c",
        "bindings/lua/src/server.c",
        "bindings/lua/src/thread.c",
        "core/base/alloc.c",
        "core/base/buffer.c",
        "core/base/error.c",
        "core/base/version.c",
        "core/runtime/serve.c",
        "core/server/address.c",
        "core/server/allow.c",
        "core/server/answer.c",
        "core/server/body.c",
        "core/server/client.c",
        "core/server/client_connect.c",
        "core/server/connection.c",
        "core/server/deadline.c",
        "core/server/guard.c",
        "core/server/listener.c",
        "core/server/log.c",
        "core/server/loop.c",
        "core/server/poller.c",
        "core/server/poller_epoll.c",
        "core/server/poller_poll.c",
        "core/server/pool.c",
        "core/server/ready.c",
        "core/server/request.c",
        "core/server/response.c",
        "core/server/roles.c",
        "core/server/run.c",
        "core/server/send.c",
        "core/server/server.c",
        "core/server/wait.c",
        "core/server/watch.c",
        "core/session/exchange.c",
        "core/session/life.c",
        "core/session/manage.c",
        "core/session/output.c",
        "core/session/params.c",
        "core/session/peer.c",
        "core/session/peer_judge.c",
        "core/session/peer_output.c",
        "core/session/records.c",
        "core/session/roles.c",
        "core/session/session.c",
        "core/session/table.c",
        "core/session/wire.c",
        "core/wire/pairs.c",
        "core/wire/record.c",
      },
      incdirs = { "core/include", "core" },
      defines = { "_GNU_SOURCE" },
      libraries = { "pthread" },
    },
    ["fcgi.launcher"] = "bindings/lua/fcgi/launcher.lua",
  },
  install = { bin = { "bindings/lua/bin/fcgi-lua" } },
}
test = { type = "command", command = "lua5.4 tests/lua/run" }
