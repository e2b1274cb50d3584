/* SPDX-License-Identifier: MIT */
/* fcgi.service: an application file served on threads beside the one that
   started it, for tests in the same process. */
#include "lua_fcgi.h"

#define SERVICE "fcgi.service"

enum { WAIT_MS = 10000 }; /* For what runs when it is closed. */

/* User value 1 is the crew. */
typedef struct service {
  fcgi_lua_crew *crew; /* NULL once closed. */
  fcgi_server *server; /* Its own; NULL before it serves. */
} service;

/* The server goes last: its threads use it. */
static const char *end(service *running, int ms) {
  const char *problem = NULL;
  if (running->crew)
    problem = fcgi_lua_crew_end(running->crew, ms);
  fcgi_lua_server_free(running->server);
  running->crew = NULL;
  running->server = NULL;
  return problem;
}

static int service_close(lua_State *L) {
  service *running = luaL_checkudata(L, 1, SERVICE);
  int ms = lua_isnoneornil(L, 2) ? WAIT_MS : fcgi_lua_wait(L, 2);
  const char *problem = end(running, ms);
  if (problem)
    return fcgi_lua_fail(L, FCGI_ERR_STATE, problem);
  lua_pushboolean(L, 1);
  return 1;
}

/* The argument of __close is an error, not a time. */
static int service_gc(lua_State *L) {
  end(luaL_checkudata(L, 1, SERVICE), WAIT_MS);
  return 0;
}

static int service_tostring(lua_State *L) {
  service *running = luaL_checkudata(L, 1, SERVICE);
  if (running->crew)
    lua_pushfstring(L, "%s: %p", SERVICE, (void *)running);
  else
    lua_pushliteral(L, SERVICE " (closed)");
  return 1;
}

void fcgi_lua_service_class(lua_State *L) {
  static const luaL_Reg methods[] = {{"close", service_close}, {NULL, NULL}};
  static const luaL_Reg metamethods[] = {{"__gc", service_gc},
                                         {"__close", service_gc},
                                         {"__tostring", service_tostring},
                                         {NULL, NULL}};
  luaL_newmetatable(L, SERVICE);
  luaL_setfuncs(L, metamethods, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 1);
}

/* Make the server for the crew at the top and let it serve: 1, or 3 values of
   failure are pushed. The server's value gives its handle away, because values
   are finalised in any order and the threads need it. */
static int serve(lua_State *L, service *running,
                 const fcgi_lua_options *options) {
  if (fcgi_lua_server_make(L, 1, options) != 1)
    return 3;
  fcgi_lua_server *value = lua_touserdata(L, -1);
  running->server = value->handle;
  value->handle = NULL;
  int code = fcgi_lua_crew_go(running->crew, running->server);
  return code < 0 ? fcgi_lua_server_fail(L, running->server, code) : 1;
}

int fcgi_lua_service_start(lua_State *L) {
  fcgi_lua_options options;
  int stream = 0;
  fcgi_lua_options_read(L, 1, 1, &options);
  luaL_argcheck(L, options.app, 1, "an 'app' file is needed");
  lua_settop(L, 1);
  const char *const *args = fcgi_lua_arguments(L);
  service *running = lua_newuserdatauv(L, sizeof *running, 1);
  int place = lua_gettop(L);
  *running = (service){0};
  luaL_setmetatable(L, SERVICE);
  fcgi_lua_crew *crew = fcgi_lua_crew_start(L, options.app, args,
                                            (unsigned)options.threads, &stream);
  if (!crew)
    return fcgi_lua_fail(L, FCGI_ERR_STATE, lua_tostring(L, -1));
  lua_setiuservalue(L, place, 1);
  running->crew = crew;
  if (stream)
    options.config.body = FCGI_BODY_STREAM;
  if (serve(L, running, &options) != 1) {
    end(running, 0);
    return 3;
  }
  lua_settop(L, place);
  return 1;
}
