/* SPDX-License-Identifier: MIT */
/* The serving loop: requests are pulled from the core and handlers run as
   coroutines. The lua_State is bound here, when the loop is entered, and no
   core frame is ever below a call into Lua that is not protected. */
#include "lua_fcgi.h"
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* Stack of the loop: the server, the handler, those of roles by number, the
   coroutine that every request reuses, and the request. */
enum { SERVER = 1, HANDLER, ROLES, COROUTINE, REQUEST };

enum { TICK_MS = 1 }; /* How often a loop looks whether it has done enough. */

/* The handler ended the request itself. What it returns then may be what
   req:finish() or a method like it returned, true or nil; a status has come too
   late to be answered, and must not pass in silence. */
static int check_ended(lua_State *L) {
  int type = lua_type(L, 2);
  if (type == LUA_TNUMBER || type == LUA_TSTRING)
    return luaL_error(L,
                      "the handler returned %s, but had finished the request "
                      "itself",
                      lua_tostring(L, 2));
  return 0;
}

/* The rest of a request, once the handler has returned: the request is at 1,
   what the handler returned above it. */
static int conclude(lua_State *L, fcgi_lua_request *request) {
  int wrote = request->answered;
  if (!fcgi_lua_request_open(request))
    return check_ended(L);
  if (lua_rawequal(L, 1, 2))
    lua_settop(L, 1); /* The handler ended in `return req:write(...)`. */
  lua_settop(L, 4);
  if (!lua_isnil(L, 2) && wrote)
    return luaL_error(L, "the handler returned a status, but had begun the "
                         "answer itself");
  if (!lua_isnil(L, 2))
    return fcgi_lua_reply(L);
  if (!lua_isnil(L, 3) &&
      fcgi_request_aborted(request->handle) == FCGI_ABORT_NONE)
    return luaL_error(L, "the handler returned nil: %s",
                      luaL_tolstring(L, 3, NULL));
  if (!wrote && lua_isnil(L, 3))
    return luaL_error(L, "the handler returned nothing and wrote nothing");
  fcgi_lua_request_release(request, !lua_isnil(L, 3));
  return 0;
}

static int handler_returned(lua_State *L, int status, lua_KContext context) {
  fcgi_lua_request *request = lua_touserdata(L, 1);
  (void)status;
  (void)context;
  return conclude(L, request);
}

/* The body of a coroutine: the handler with one request. */
static int answer(lua_State *L) {
  lua_insert(L, 1);
  lua_pushvalue(L, 1);
  lua_rotate(L, 2, 1); /* request, request, handler */
  lua_rotate(L, 2, 1); /* request, handler, request */
  lua_callk(L, 1, LUA_MULTRET, 0, handler_returned);
  return handler_returned(L, LUA_OK, 0);
}

/* Write the traceback of a failed coroutine, with the request that met it, to
   the error log, or as one piece of text to stderr. Protected: it allocates. */
static int report(lua_State *L) {
  lua_State *co = lua_touserdata(L, 1);
  const fcgi_lua_request *request = lua_touserdata(L, 2);
  const char *method = NULL;
  const char *uri = NULL;
  const char *rest = NULL;
  lua_xmove(co, L, 1);
  fcgi_lua_error_text(L);
  if (fcgi_lua_request_open(request)) {
    method = fcgi_request_param(request->handle, "REQUEST_METHOD");
    uri = fcgi_request_param(request->handle, "REQUEST_URI");
    if (!uri) {
      uri = fcgi_request_param(request->handle, "SCRIPT_NAME");
      rest = fcgi_request_param(request->handle, "PATH_INFO");
    }
  }
  luaL_traceback(L, co, lua_tostring(L, -1), 0);
  const char *text = lua_pushfstring(
      L, "fcgi: %s %s%s failed: %s\n", method ? method : "a request",
      uri ? uri : "", rest ? rest : "", lua_tostring(L, -1));
  fcgi_server *server = request->server->handle;
  if (server && fcgi_server_log(server, FCGI_LOG_ERROR, text, strlen(text)))
    return 0;
  fwrite(text, 1, strlen(text), stderr);
  fflush(stderr);
  return 0;
}

/* The handler failed: a traceback for us, a 500 for the client. */
static void failed(lua_State *L, lua_State *co, fcgi_lua_request *request,
                   int status) {
  if (status == LUA_YIELD) {
    lua_settop(co, 0);
    lua_pushliteral(co, "the handler yielded, but nothing resumes it here");
  }
  lua_pushcfunction(L, report);
  lua_pushlightuserdata(L, co);
  lua_pushlightuserdata(L, request);
  if (lua_pcall(L, 2, 0, 0) != LUA_OK) {
    fputs("fcgi: a request failed, and so did its traceback\n", stderr);
    lua_pop(L, 1);
  }
  fcgi_lua_reset(co, L); /* Closes what the handler left open. */
  lua_settop(co, 0);
  fcgi_lua_request_release(request, 1);
}

/* Push the handler of the request's role, or the one for all others. */
static void push_handler(lua_State *L, const fcgi_lua_request *request) {
  if (lua_istable(L, ROLES)) {
    if (lua_rawgeti(L, ROLES, fcgi_request_role(request->handle)) != LUA_TNIL)
      return;
    lua_pop(L, 1);
  }
  lua_pushvalue(L, HANDLER);
}

/* Run the handler for the request at the top. */
static void handle(lua_State *L, lua_State *co, fcgi_lua_request *request) {
  fcgi_lua_run run;
  int results;
  lua_pushcfunction(co, answer);
  push_handler(L, request);
  lua_pushvalue(L, REQUEST);
  lua_xmove(L, co, 2);
  fcgi_lua_trace_begin(&run, request->server->handle, co, request->handle);
  int status = lua_resume(co, L, 2, &results);
  fcgi_lua_trace_end(&run);
  if (status != LUA_OK)
    failed(L, co, request, status);
  else
    lua_settop(co, 0);
}

/* Wait for one request and answer it: 1, or what stopped the server; 0 once
   `enough` is set. The value for the request is on the stack before there is
   one. */
static int serve_one(lua_State *L, lua_State *co, fcgi_lua_server *server,
                     const atomic_int *enough) {
  fcgi_lua_request *request = fcgi_lua_request_new(L, server, 0);
  fcgi_server_event event;
  int code;
  do
    code = fcgi_server_next(server->handle, &event, enough ? TICK_MS : -1);
  while (code == 0 && !(enough && atomic_load(enough)));
  if (code <= 0)
    return code;
  request->handle = event.request;
  handle(L, co, request);
  lua_settop(L, COROUTINE);
  return 1;
}

int fcgi_lua_loop(lua_State *L) {
  fcgi_lua_server *server = lua_touserdata(L, SERVER);
  const atomic_int *enough = lua_touserdata(L, 3);
  lua_settop(L, HANDLER);
  lua_getiuservalue(L, SERVER, 1);
  lua_State *co = lua_newthread(L);
  fcgi_lua_trace_prepare(L, server->handle);
  int code;
  do
    code = serve_one(L, co, server, enough);
  while (code > 0);
  if (code < 0 && code != FCGI_ERR_CLOSED)
    return fcgi_lua_server_fail(L, server->handle, code);
  lua_pushboolean(L, 1);
  return 1;
}

/* One state that serves under fcgi_serve_signals: the loop, the server and the
   handler are on its stack. */
static int run_loop(void *data) {
  return lua_pcall(data, 2, 3, 0);
}

/* Serve on this thread and in this state. */
static int serve_here(lua_State *L, int server_index, int handler) {
  fcgi_lua_server *server = lua_touserdata(L, server_index);
  lua_pushcfunction(L, fcgi_lua_loop);
  lua_pushvalue(L, server_index);
  lua_pushvalue(L, handler);
  server->serving = 1;
  int status = fcgi_serve_signals(server->handle, run_loop, L);
  server->serving = 0;
  if (status > 0)
    return lua_error(L);
  if (status < 0)
    return fcgi_lua_server_fail(L, server->handle, status);
  if (lua_toboolean(L, -3)) {
    lua_pushboolean(L, 1);
    return 1;
  }
  return 3;
}

const char *const *fcgi_lua_arguments(lua_State *L) {
  int type = lua_getfield(L, 1, "args");
  luaL_argcheck(L, type == LUA_TNIL || type == LUA_TTABLE, 1,
                "option 'args' must be a list of strings");
  lua_Integer count = type == LUA_TNIL ? 0 : luaL_len(L, -1);
  const char **list =
      lua_newuserdatauv(L, (size_t)(count + 1) * sizeof *list, 0);
  for (lua_Integer i = 1; i <= count; i++) {
    if (lua_geti(L, -2, i) != LUA_TSTRING)
      luaL_error(L, "option 'args' must be a list of strings");
    list[i - 1] = lua_tostring(L, -1);
    lua_pop(L, 1);
  }
  list[count] = NULL;
  return list;
}

/* Which of handler, roles and app there is, the first two at 2 and 3 then; a
   handler cannot cross states. */
static void check_work(lua_State *L, const fcgi_lua_options *options) {
  int type = lua_getfield(L, 1, "handler");
  int roles = lua_getfield(L, 1, "roles");
  lua_pushvalue(L, 2);
  if (options->app && (type != LUA_TNIL || roles != LUA_TNIL))
    luaL_error(L, "give either 'handler' and 'roles' or 'app', not both; the "
                  "file may return a table with those fields");
  if (type == LUA_TNIL && roles == LUA_TNIL && !options->app)
    luaL_error(L, "a 'handler' function, 'roles' or an 'app' file is needed");
  if (type != LUA_TNIL && !fcgi_lua_callable(L, -1))
    luaL_error(L, "option 'handler' must be a function (got a %s)",
               luaL_typename(L, -1));
  if (lua_getfield(L, 1, "listening") != LUA_TNIL && !fcgi_lua_callable(L, -1))
    luaL_error(L, "option 'listening' must be a function (got a %s)",
               luaL_typename(L, -1));
  lua_settop(L, 3);
  if (!options->app && options->threads > 1)
    luaL_error(L,
               "a handler function cannot be shared by %I threads: each has "
               "a Lua state of its own; put it into a file and give its "
               "name as 'app'",
               (LUAI_UACINT)options->threads);
}

/* The application did not load; its one line is at the top. */
static int load_failed(lua_State *L) {
  lua_pushnil(L);
  lua_insert(L, -2);
  lua_pushstring(L, fcgi_error_name(FCGI_ERR_STATE));
  return 3;
}

/* Call option `listening` with the addresses of the server at the top. */
static void tell_listening(lua_State *L, fcgi_server *server) {
  char address[512];
  if (lua_getfield(L, 1, "listening") == LUA_TNIL) {
    lua_pop(L, 1);
    return;
  }
  lua_newtable(L);
  for (size_t i = 0;
       fcgi_server_address(server, i, address, sizeof address) == 0; i++) {
    lua_pushstring(L, address);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  lua_call(L, 1, 0);
}

/* Push the server that the options ask for; it is closed when the running
   function returns. NULL, and the 3 values of failure are pushed. */
static fcgi_lua_server *open_server(lua_State *L, fcgi_lua_options *options,
                                    int stream) {
  if (stream)
    options->config.body = FCGI_BODY_STREAM;
  if (fcgi_lua_server_make(L, 1, options) != 1)
    return NULL;
  lua_toclose(L, -1);
  fcgi_lua_server *server = lua_touserdata(L, -1);
  tell_listening(L, server->handle);
  return server;
}

static int serve_threads(lua_State *L, fcgi_lua_options *options,
                         const char *const *args) {
  int stream = 0;
  fcgi_lua_crew *crew = fcgi_lua_crew_new(L, options->app, args,
                                          (unsigned)options->threads, &stream);
  if (!crew)
    return load_failed(L);
  lua_toclose(L, -1);
  fcgi_lua_server *server = open_server(L, options, stream);
  if (!server)
    return 3;
  return fcgi_lua_crew_serve(L, crew, server->handle);
}

int fcgi_lua_serve(lua_State *L) {
  fcgi_lua_options options;
  int stream = 0;
  fcgi_lua_options_read(L, 1, 1, &options);
  lua_settop(L, 1);
  int watched = fcgi_lua_workers(L);
  if (watched)
    return watched;
  lua_settop(L, 1);
  check_work(L, &options);
  const char *const *args = fcgi_lua_arguments(L);
  if (options.threads > 1)
    return serve_threads(L, &options, args);
  if (options.app && !fcgi_lua_app_load(L, options.app, args, &stream))
    return load_failed(L);
  int handler = options.app ? lua_gettop(L) - 1 : 2;
  options.roles = handler + 1;
  options.responder = !lua_isnil(L, handler);
  if (!open_server(L, &options, stream))
    return 3;
  return serve_here(L, lua_gettop(L), handler);
}
