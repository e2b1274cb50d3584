/* SPDX-License-Identifier: MIT */
/* fcgi.server: the pull side. The value is born closed, so that an error
   between its making and its opening leaves nothing behind. */
#include "lua_fcgi.h"
#include <math.h>
#include <string.h>

static fcgi_lua_server *check_any(lua_State *L) {
  return luaL_checkudata(L, 1, FCGI_LUA_SERVER);
}

static fcgi_lua_server *check(lua_State *L) {
  fcgi_lua_server *server = check_any(L);
  if (!server->handle)
    luaL_error(L, "the server is closed");
  return server;
}

fcgi_lua_server *fcgi_lua_server_new(lua_State *L) {
  fcgi_lua_server *server = lua_newuserdatauv(L, sizeof *server, 2);
  *server = (fcgi_lua_server){0};
  luaL_setmetatable(L, FCGI_LUA_SERVER);
  return server;
}

/* Push the failure over whatever is on the stack and close the half-made
   server; its message lives no longer than it does. */
static int give_up(lua_State *L, fcgi_lua_server *server, int code) {
  fcgi_lua_server_fail(L, server->handle, code);
  fcgi_lua_server_free(server->handle);
  server->handle = NULL;
  return 3;
}

/* The text at the index, which the core takes as a C string. */
static const char *address_at(lua_State *L, int index) {
  size_t len;
  const char *text = luaL_checklstring(L, index, &len);
  if (strlen(text) != len)
    luaL_error(L, "an address has no NUL");
  return text;
}

static int listen_on(lua_State *L, fcgi_server *server, int index) {
  if (lua_type(L, index) != LUA_TSTRING)
    luaL_error(L,
               "option 'bind' must be an address or a list of them "
               "(got a %s)",
               luaL_typename(L, index));
  return fcgi_server_listen(server, address_at(L, index));
}

/* Listen on the text, or on each text of the list, at the top. */
static int listen_all(lua_State *L, fcgi_server *server) {
  if (lua_type(L, -1) != LUA_TTABLE)
    return listen_on(L, server, -1);
  int code = 0;
  lua_Integer count = luaL_len(L, -1);
  luaL_argcheck(L, count > 0, 1, "option 'bind' is an empty list");
  for (lua_Integer i = 1; !code && i <= count; i++) {
    lua_geti(L, -1, i);
    code = listen_on(L, server, -1);
    lua_pop(L, 1);
  }
  return code;
}

int fcgi_lua_server_make(lua_State *L, int index,
                         const fcgi_lua_options *options) {
  fcgi_lua_server *server = fcgi_lua_server_new(L);
  char why[256];
  int code =
      fcgi_server_new(&server->handle, &options->config, why, sizeof why);
  if (code < 0)
    return fcgi_lua_fail(L, code, why);
  fcgi_lua_trace_init(server->handle);
  if (options->roles)
    fcgi_lua_roles_take(L, lua_gettop(L), options->roles, options->responder);
  code = fcgi_lua_roles_set(server, server->handle);
  if (code < 0)
    return give_up(L, server, code);
  if (lua_getfield(L, index, "bind") != LUA_TNIL)
    code = listen_all(L, server->handle);
  else if (options->inherit)
    code = fcgi_server_listen(server->handle, NULL);
  lua_pop(L, 1);
  if (code < 0)
    return give_up(L, server, code);
  return 1;
}

int fcgi_lua_server_open(lua_State *L) {
  fcgi_lua_options options;
  if (lua_isnoneornil(L, 1)) {
    lua_settop(L, 0);
    lua_newtable(L);
  }
  fcgi_lua_options_read(L, 1, 0, &options);
  lua_settop(L, 1);
  lua_getfield(L, 1, "roles");
  options.roles = 2;
  options.responder = 1;
  return fcgi_lua_server_make(L, 1, &options);
}

static int server_listen(lua_State *L) {
  fcgi_lua_server *server = check(L);
  const char *address = lua_isnoneornil(L, 2) ? NULL : address_at(L, 2);
  int code = fcgi_server_listen(server->handle, address);
  if (code < 0)
    return fcgi_lua_server_fail(L, server->handle, code);
  lua_settop(L, 1);
  return 1;
}

static int server_address(lua_State *L) {
  fcgi_lua_server *server = check(L);
  lua_Integer index = luaL_optinteger(L, 2, 1);
  char address[512];
  if (index < 1)
    return fcgi_lua_fail(L, FCGI_ERR_INVALID, "listeners count from 1");
  int code = fcgi_server_address(server->handle, (size_t)(index - 1), address,
                                 sizeof address);
  if (code < 0)
    return fcgi_lua_fail(L, code, NULL);
  lua_pushstring(L, address);
  return 1;
}

int fcgi_lua_wait(lua_State *L, int index) {
  if (lua_isnoneornil(L, index))
    return -1;
  lua_Number seconds = luaL_checknumber(L, index);
  luaL_argcheck(L, seconds >= 0, index, "seconds cannot be negative");
  return seconds > 2e6 ? -1 : (int)ceil(seconds * 1000);
}

/* Wait for a request and put it into `request`, which is on the stack
   already: from here to there nothing can raise and lose it. */
static int take(fcgi_lua_server *server, fcgi_lua_request *request,
                int timeout) {
  fcgi_server_event event = {.size = sizeof event};
  int code = fcgi_server_next(server->handle, &event, timeout);
  if (code > 0)
    request->handle = event.request;
  return code;
}

static int server_accept(lua_State *L) {
  fcgi_lua_server *server = check(L);
  int timeout = fcgi_lua_wait(L, 2);
  fcgi_lua_request *request = fcgi_lua_request_new(L, server, 1);
  int code = take(server, request, timeout);
  if (code > 0)
    return 1;
  return fcgi_lua_fail(L, code ? code : FCGI_ERR_TIMEOUT, NULL);
}

/* What `for req in server:requests()` holds: user value 1 is the request that
   the body of the loop has now, 2 the server. */
typedef struct request_loop {
  fcgi_lua_request *current; /* Kept alive by user value 1. */
} request_loop;

#define ROUND "fcgi.requests"

static void leave_current(lua_State *L, request_loop *loop, int failed) {
  fcgi_lua_request *request = loop->current;
  if (!request)
    return;
  loop->current = NULL;
  lua_getiuservalue(L, 1, 1);
  fcgi_lua_request_leave(L, request, -1, failed);
  lua_pop(L, 1);
}

static int round_next(lua_State *L) {
  request_loop *loop = luaL_checkudata(L, 1, ROUND);
  lua_getiuservalue(L, 1, 2);
  fcgi_lua_server *server = luaL_checkudata(L, -1, FCGI_LUA_SERVER);
  leave_current(L, loop, 0);
  if (!server->handle)
    return 0;
  fcgi_lua_request *request = fcgi_lua_request_new(L, server, lua_gettop(L));
  lua_pushvalue(L, -1);
  lua_setiuservalue(L, 1, 1);
  loop->current = request;
  int code = take(server, request, -1);
  if (code > 0)
    return 1;
  if (code == FCGI_ERR_CLOSED)
    return 0;
  return luaL_error(L, "waiting for a request: %s", fcgi_error_text(code));
}

/* The loop ends, by break, by an error in its body or for want of requests;
   an error is argument 2 and the client gets a 500 for it. */
static int round_close(lua_State *L) {
  request_loop *loop = luaL_checkudata(L, 1, ROUND);
  leave_current(L, loop, !lua_isnoneornil(L, 2));
  return 0;
}

static int server_requests(lua_State *L) {
  check(L);
  lua_pushcfunction(L, round_next);
  request_loop *loop = lua_newuserdatauv(L, sizeof *loop, 2);
  loop->current = NULL;
  luaL_setmetatable(L, ROUND);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 2);
  lua_pushnil(L);
  lua_pushvalue(L, -2);
  return 4;
}

static int server_serve(lua_State *L) {
  fcgi_lua_server *server = check(L);
  luaL_argcheck(
      L, fcgi_lua_callable(L, 2) || (lua_isnoneornil(L, 2) && server->roles), 2,
      "a handler function is needed");
  luaL_argcheck(L, !server->serving, 1, "the server is serving already");
  lua_settop(L, 2);
  lua_pushcfunction(L, fcgi_lua_loop);
  lua_insert(L, 1);
  server->serving = 1;
  int status = lua_pcall(L, 2, LUA_MULTRET, 0);
  server->serving = 0;
  return status == LUA_OK ? lua_gettop(L) : lua_error(L);
}

static int server_stop(lua_State *L) {
  static const char *const how[] = {"graceful", "now", NULL};
  fcgi_lua_server *server = check(L);
  int choice = luaL_checkoption(L, 2, "graceful", how);
  fcgi_server_stop(server->handle, choice ? FCGI_STOP_NOW : FCGI_STOP_GRACEFUL);
  lua_settop(L, 1);
  return 1;
}

static int server_reopen_logs(lua_State *L) {
  fcgi_server_reopen_logs(check(L)->handle);
  lua_settop(L, 1);
  return 1;
}

static int server_pollfd(lua_State *L) {
  int fd = fcgi_server_fd(check(L)->handle);
  if (fd < 0)
    return fcgi_lua_fail(L, fd, NULL);
  lua_pushinteger(L, fd);
  return 1;
}

static int server_events(lua_State *L) {
  check(L);
  lua_pushliteral(L, "r");
  return 1;
}

static int server_timeout(lua_State *L) {
  int wait = fcgi_server_wait_ms(check(L)->handle);
  if (wait < 0)
    lua_pushnil(L);
  else
    lua_pushnumber(L, wait / 1000.0);
  return 1;
}

static int server_forked(lua_State *L) {
  const fcgi_lua_server *server = check_any(L);
  lua_pushboolean(L, server->handle && fcgi_server_forked(server->handle));
  return 1;
}

/* close, __gc and __close: idempotent, also on a half-made server. While a
   loop runs in it, closing only stops it: the loop still uses the handle. */
static int server_close(lua_State *L) {
  fcgi_lua_server *server = check_any(L);
  fcgi_server *handle = server->handle;
  if (handle && server->serving) {
    fcgi_server_stop(handle, FCGI_STOP_NOW);
    return 0;
  }
  server->handle = NULL;
  if (!server->borrowed)
    fcgi_lua_server_free(handle);
  return 0;
}

static int server_tostring(lua_State *L) {
  fcgi_lua_server *server = check_any(L);
  if (server->handle)
    lua_pushfstring(L, "%s: %p", FCGI_LUA_SERVER, (void *)server);
  else
    lua_pushliteral(L, FCGI_LUA_SERVER " (closed)");
  return 1;
}

static const luaL_Reg methods[] = {{"listen", server_listen},
                                   {"address", server_address},
                                   {"accept", server_accept},
                                   {"requests", server_requests},
                                   {"serve", server_serve},
                                   {"stop", server_stop},
                                   {"reopen_logs", server_reopen_logs},
                                   {"pollfd", server_pollfd},
                                   {"events", server_events},
                                   {"timeout", server_timeout},
                                   {"forked", server_forked},
                                   {"close", server_close},
                                   {NULL, NULL}};

static const luaL_Reg metamethods[] = {{"__gc", server_close},
                                       {"__close", server_close},
                                       {"__tostring", server_tostring},
                                       {NULL, NULL}};

static const luaL_Reg round_metamethods[] = {
    {"__gc", round_close}, {"__close", round_close}, {NULL, NULL}};

void fcgi_lua_server_class(lua_State *L) {
  luaL_newmetatable(L, FCGI_LUA_SERVER);
  luaL_setfuncs(L, metamethods, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  luaL_newmetatable(L, ROUND);
  luaL_setfuncs(L, round_metamethods, 0);
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 2);
}
