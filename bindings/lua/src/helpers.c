/* SPDX-License-Identifier: MIT */
/* Methods of a request that modules in Lua have. A module is loaded when one is
   first called, so that a program that calls none is spared it. */
#include "lua_fcgi.h"

/* Call a function of a module with all arguments; its results are returned. */
static int call(lua_State *L, const char *module, const char *name) {
  fcgi_lua_request_check(L);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  if (lua_getfield(L, -1, module) != LUA_TTABLE) {
    lua_getglobal(L, "require");
    lua_pushstring(L, module);
    lua_call(L, 1, 1);
    lua_replace(L, -2);
  }
  lua_getfield(L, -1, name);
  lua_insert(L, 1);
  lua_pop(L, 2);
  lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
  return lua_gettop(L);
}

int fcgi_lua_query(lua_State *L) {
  return call(L, "fcgi.query", "read");
}

int fcgi_lua_form(lua_State *L) {
  return call(L, "fcgi.form", "read");
}

int fcgi_lua_cookies(lua_State *L) {
  return call(L, "fcgi.cookie", "read");
}
