/* SPDX-License-Identifier: MIT */
/* The serving loop: requests are pulled from the core and handlers run as
   coroutines. The lua_State is bound here, when the loop is entered, and no
   core frame is ever below a call into Lua that is not protected. */
#include "lua_fcgi.h"
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* Stack of the loop: the server, the handler, those of roles by number, the
   request that is lent, and the function that serves, which runs in the
   coroutine above. */
enum { SERVER = 1, HANDLER, ROLES, LENT, SERVES };

/* Upvalues of the function that serves. */
enum { ITS_HANDLER = 1, ITS_ROLES, ITS_CLASS, ITS_LOOP, UPVALUES = ITS_LOOP };

enum { TICK_MS = 1 }; /* How often a loop looks whether it has done enough. */

/* One call of fcgi_lua_loop. */
typedef struct loop {
  fcgi_lua_server *server;   /* Whose requests it serves. */
  fcgi_lua_request *request; /* Lent to each of them in turn. */
  const atomic_int *enough;  /* NULL, or not 0 when it shall end. */
  int parameters;            /* 0: the handler has none, so gets no request. */
  int by_role;               /* There are handlers of roles. */
  int traced;                /* There is a slow log. */
  int again;                 /* The request it has is to be served again. */
  fcgi_lua_run run;          /* Of the handler that runs. */
  fcgi_lua_keeper *keeper;   /* Resources of the state. */
} loop;

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

/* The handler returned no status. */
static int conclude_without(lua_State *L, fcgi_lua_request *request) {
  int wrote = request->answered;
  if (!lua_isnil(L, 3) &&
      fcgi_request_aborted(request->handle) == FCGI_ABORT_NONE)
    return luaL_error(L, "the handler returned nil: %s",
                      luaL_tolstring(L, 3, NULL));
  if (!wrote && lua_isnil(L, 3))
    return luaL_error(L, "the handler returned nothing and wrote nothing");
  fcgi_lua_request_release(request, !lua_isnil(L, 3));
  return 0;
}

/* The rest of a request, once the handler has returned: the request's value,
   or nil, is at 1, and 3 values that the handler returned are above it. */
static int conclude(lua_State *L, fcgi_lua_request *request) {
  if (!fcgi_lua_request_open(request))
    return check_ended(L);
  fcgi_request_gather(request->handle);
  int type = lua_type(L, 2);
  if (type == LUA_TUSERDATA && lua_rawequal(L, 1, 2)) {
    lua_settop(L, 1); /* The handler ended in `return req:write(...)`. */
    lua_settop(L, 4);
    type = LUA_TNIL;
  }
  if (type == LUA_TNIL)
    return conclude_without(L, request);
  if (request->answered)
    return luaL_error(L, "the handler returned a status, but had begun the "
                         "answer itself");
  return fcgi_lua_answer(L, request);
}

/* Push the handler of the request's role, or the one for all others. Returns
   how many arguments it wants. */
static int push_handler(lua_State *L, const loop *self) {
  if (self->by_role) {
    int role = fcgi_request_role(self->request->handle);
    if (lua_rawgeti(L, lua_upvalueindex(ITS_ROLES), role) != LUA_TNIL)
      return 1;
    lua_pop(L, 1);
  }
  lua_pushvalue(L, lua_upvalueindex(ITS_HANDLER));
  return self->parameters;
}

/* Push the request's value, the handler, and its argument; returns how many of
   the latter. A handler that looks at no request is spared its value. */
static int push_call(lua_State *L, const loop *self) {
  lua_pushnil(L);
  int count = push_handler(L, self);
  if (count > 0) {
    fcgi_lua_request_push(L, self->request, lua_upvalueindex(ITS_CLASS));
    lua_copy(L, -1, 1);
  }
  return count;
}

/* Wait for one request, or have the same again: 1, or what stopped the server;
   0 once there is enough. */
static int take(lua_State *L, loop *self) {
  fcgi_server *handle = self->server->handle;
  fcgi_lua_keeper *keeper = self->keeper;
  const atomic_int *enough = self->enough;
  fcgi_server_event event = {.size = sizeof event};
  int code, ms = enough ? TICK_MS : -1;
  if (self->again) {
    self->again = 0;
    return 1;
  }
  if (keeper->first)
    ms = fcgi_lua_keeper_wait_ms(keeper, ms);
  do {
    code = fcgi_server_next(handle, &event, ms);
    if (code == 0 && keeper->first)
      fcgi_lua_keeper_reap(L, keeper);
  } while (code == 0 && !(enough && atomic_load(enough)));
  if (code > 0)
    fcgi_lua_request_take(self->request, event.request);
  if (keeper->holder)
    fcgi_holder_begin(keeper->holder);
  return code;
}

/* The handler has returned. What it has of resources is given back after the
   answer, whose body may be a function that uses it. */
static void finish(lua_State *L, loop *self) {
  fcgi_lua_keeper *keeper = self->keeper;
  if (fcgi_lua_may_retry(keeper))
    self->again = fcgi_lua_retry_page(L, keeper, self->request);
  if (!self->again)
    conclude(L, self->request);
  if (self->traced)
    fcgi_lua_trace_end(&self->run);
  lua_settop(L, 0);
  if (self->request->has_ctx)
    fcgi_lua_ctx_end(L, self->request, 0);
  if (!keeper->first)
    return;
  if (fcgi_holder_is_busy(keeper->holder) || keeper->refused)
    fcgi_lua_keeper_end_all(L, keeper);
  fcgi_lua_keeper_reap(L, keeper);
}

static int handler_returned(lua_State *L, int status, lua_KContext context);

/* In the coroutine: requests one by one, until something stops the server. Its
   code is the result. */
static int serve_requests(lua_State *L, loop *self) {
  int code;
  while ((code = take(L, self)) > 0) {
    int count = push_call(L, self);
    if (self->traced)
      fcgi_lua_trace_begin(&self->run, self->server->handle, L,
                           self->request->handle);
    lua_callk(L, count, 3, (lua_KContext)self, handler_returned);
    finish(L, self);
  }
  lua_pushinteger(L, code);
  return 1;
}

static int handler_returned(lua_State *L, int status, lua_KContext context) {
  loop *self = (loop *)context;
  (void)status;
  finish(L, self);
  return serve_requests(L, self);
}

static int serves(lua_State *L) {
  return serve_requests(L, lua_touserdata(L, lua_upvalueindex(ITS_LOOP)));
}

/* The handler may have closed the server. */
static void tell(const fcgi_lua_request *request, const char *text) {
  fcgi_server *server = request->server->handle;
  if (server)
    fcgi_server_log(server, FCGI_LOG_ERROR, text, strlen(text));
  else
    fcgi_lua_say(text);
}

/* Whether the error is only that the client has left: that is no fault of the
   handler, and clients leave all the time. */
static int has_left(const fcgi_lua_request *request, const char *text) {
  fcgi_abort_reason reason;
  if (!fcgi_lua_request_open(request))
    return 0;
  reason = fcgi_request_aborted(request->handle);
  return (reason == FCGI_ABORT_CONNECTION || reason == FCGI_ABORT_RECORD) &&
         strstr(text, fcgi_error_text(FCGI_ERR_ABORTED));
}

/* Whether the error is that a resource could not be had: no fault of the
   handler either, and told by the server. */
static int is_refused(const fcgi_lua_keeper *keeper, const char *text) {
  char why[FCGI_RESOURCE_WHY];
  if (!keeper->refused)
    return 0;
  fcgi_resource_message(keeper->refused, why, sizeof why);
  return strstr(text, why) != NULL;
}

/* Returns the traceback of a failed coroutine, with the request that met it,
   for the log of the server; or nothing. Protected: it allocates. */
static int report(lua_State *L) {
  lua_State *co = lua_touserdata(L, 1);
  const loop *self = lua_touserdata(L, 2);
  const fcgi_lua_request *request = self->request;
  const char *method = NULL;
  const char *uri = NULL;
  const char *rest = NULL;
  if (lua_checkstack(co, 1)) /* There may be none after a stack overflow. */
    lua_pushvalue(co, -1);   /* The variables that are closed get it, too. */
  lua_xmove(co, L, 1);
  fcgi_lua_error_text(L);
  if (has_left(request, lua_tostring(L, -1)) ||
      is_refused(self->keeper, lua_tostring(L, -1)))
    return 0;
  if (fcgi_lua_request_open(request)) {
    method = fcgi_request_param(request->handle, "REQUEST_METHOD");
    uri = fcgi_request_param(request->handle, "REQUEST_URI");
    if (!uri) {
      uri = fcgi_request_param(request->handle, "SCRIPT_NAME");
      rest = fcgi_request_param(request->handle, "PATH_INFO");
    }
  }
  luaL_traceback(L, co, lua_tostring(L, -1), 0);
  lua_pushfstring(L, "fcgi: %s %s%s failed: %s\n",
                  method ? method : "a request", uri ? uri : "",
                  rest ? rest : "", lua_tostring(L, -1));
  return 1;
}

/* Push what is to be told, or nil. */
static void push_report(lua_State *L, lua_State *co, loop *self) {
  lua_pushcfunction(L, report);
  lua_pushlightuserdata(L, co);
  lua_pushlightuserdata(L, self);
  if (lua_pcall(L, 2, 1, 0) == LUA_OK)
    return;
  lua_pop(L, 1);
  lua_pushliteral(L, "fcgi: a request failed, and so did its traceback\n");
}

/* The handler failed: a traceback for us, a 500 for the client; unless it is
   called again. */
static void failed(lua_State *L, lua_State *co, loop *self, int status) {
  fcgi_lua_request *request = self->request;
  fcgi_lua_keeper *keeper = self->keeper;
  if (status == LUA_YIELD) {
    lua_settop(co, 0);
    lua_pushliteral(co, "the handler yielded, but nothing resumes it here");
  }
  push_report(L, co, self);
  fcgi_lua_reset(co, L); /* Closes what the handler left open. */
  lua_settop(co, 0);
  if (request->has_ctx)
    fcgi_lua_ctx_end(L, request, 0);
  self->again =
      fcgi_lua_may_retry(keeper) && fcgi_lua_retry(L, keeper, request);
  if (!self->again && lua_isstring(L, -1))
    tell(request, lua_tostring(L, -1));
  lua_pop(L, 1);
  if (self->again)
    return;
  fcgi_lua_request_release(request, 1);
  if (keeper->first)
    fcgi_lua_keeper_end_all(L, keeper);
}

/* 0 for a Lua function without parameters. */
static int parameters_of(lua_State *L, int handler) {
  lua_Debug about;
  if (!lua_isfunction(L, handler) || lua_iscfunction(L, handler))
    return 1;
  lua_pushvalue(L, handler);
  lua_getinfo(L, ">u", &about);
  return about.nparams > 0 || about.isvararg;
}

/* Push the function that serves. */
static void push_serves(lua_State *L, loop *self) {
  lua_pushvalue(L, HANDLER);
  lua_pushvalue(L, ROLES);
  luaL_getmetatable(L, FCGI_LUA_REQUEST);
  lua_pushlightuserdata(L, self);
  lua_pushcclosure(L, serves, UPVALUES);
}

/* Run it in the coroutine until it returns: what stopped the server. Whatever
   a handler raises ends that run, and another begins. */
static int run(lua_State *L, lua_State *co, loop *self) {
  for (;;) {
    int results;
    lua_pushvalue(L, SERVES);
    lua_xmove(L, co, 1);
    int status = lua_resume(co, L, 0, &results);
    if (status == LUA_OK)
      return (int)lua_tointeger(co, -1);
    fcgi_lua_trace_end(&self->run);
    if (fcgi_server_forked(self->server->handle)) {
      lua_xmove(co, L, 1);
      lua_error(L); /* A handler's child is its own program's affair. */
    }
    failed(L, co, self, status);
  }
}

/* A loop that serves for a while only leaves what is open to the next one. */
static int serve_with_resources(lua_State *L, lua_State *co, loop *self) {
  fcgi_lua_keeper *keeper = self->keeper;
  fcgi_lua_request *outer = keeper->request;
  keeper->request = self->request;
  fcgi_lua_keeper_prepare(L, keeper, self->server->handle);
  int code = run(L, co, self);
  keeper->request = outer;
  if (!self->enough && !outer)
    fcgi_lua_keeper_leave(L, keeper);
  return code;
}

int fcgi_lua_loop(lua_State *L) {
  loop self = {.keeper = fcgi_lua_keeper_of(L),
               .server = lua_touserdata(L, SERVER),
               .enough = lua_touserdata(L, 3)};
  lua_settop(L, HANDLER);
  self.by_role = lua_getiuservalue(L, SERVER, 1) == LUA_TTABLE;
  self.parameters = parameters_of(L, HANDLER);
  self.request = fcgi_lua_request_lend(L, self.server);
  push_serves(L, &self);
  lua_State *co = lua_newthread(L);
  self.traced = fcgi_lua_trace_prepare(L, self.server->handle);
  fcgi_lua_guard *guard = fcgi_lua_exit_guard(L);
  guard->held++;
  int code = serve_with_resources(L, co, &self);
  guard->held--;
  if (code < 0 && code != FCGI_ERR_CLOSED)
    return fcgi_lua_server_fail(L, self.server->handle, code);
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

/* Call option `listening` with the addresses of the server at the top. A string
   that it returns goes to the log. */
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
  lua_call(L, 1, 1);
  if (lua_type(L, -1) == LUA_TSTRING)
    fcgi_server_log(server, FCGI_LOG_INFO, lua_tostring(L, -1),
                    lua_rawlen(L, -1));
  lua_pop(L, 1);
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
