/* SPDX-License-Identifier: MIT */
/* os.exit would take the process from under all other requests. In a state that
   serves, it is an error of the handler that calls it, as any other; but not in
   a child that a handler has forked. */
#include "lua_fcgi.h"
#include <unistd.h>

/* Its address is the key of the guard in the registry. */
static const char key = 'e';

/* Upvalues: what os.exit was, and the guard. */
static int guarded_exit(lua_State *L) {
  const fcgi_lua_guard *guard = lua_touserdata(L, lua_upvalueindex(2));
  if (guard->held > 0 && guard->pid == getpid())
    return luaL_error(L, "os.exit was called: it ends the request, as the "
                         "process serves others");
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, 0);
  return 0;
}

static void install(lua_State *L) {
  fcgi_lua_guard *guard = lua_newuserdatauv(L, sizeof *guard, 0);
  *guard = (fcgi_lua_guard){.held = 0};
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &key);
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  if (lua_getfield(L, -1, LUA_OSLIBNAME) == LUA_TTABLE) {
    lua_getfield(L, -1, "exit");
    lua_pushvalue(L, -4);
    lua_pushcclosure(L, guarded_exit, 2);
    lua_setfield(L, -2, "exit");
  }
  lua_pop(L, 3);
}

fcgi_lua_guard *fcgi_lua_exit_guard(lua_State *L) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &key) == LUA_TNIL)
    install(L);
  lua_pop(L, 1);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &key);
  fcgi_lua_guard *guard = lua_touserdata(L, -1);
  lua_pop(L, 1);
  guard->pid = getpid();
  return guard;
}
