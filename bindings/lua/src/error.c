/* SPDX-License-Identifier: MIT */
/* How failures reach Lua: nil, a message for a person, and a name for the
   program. */
#include "lua_fcgi.h"
#include <errno.h>
#include <string.h>

static void push_message(lua_State *L, int code, const char *what, int error) {
  if (what && *what)
    lua_pushstring(L, what);
  else if (code == FCGI_ERR_SYSTEM && error)
    lua_pushstring(L, strerror(error));
  else
    lua_pushstring(L, fcgi_error_text(code));
}

int fcgi_lua_fail(lua_State *L, int code, const char *what) {
  int error = errno;
  lua_pushnil(L);
  push_message(L, code, what, error);
  lua_pushstring(L, fcgi_error_name(code));
  return 3;
}

int fcgi_lua_server_fail(lua_State *L, fcgi_server *server, int code) {
  return fcgi_lua_fail(L, code, server ? fcgi_server_message(server) : NULL);
}

static int as_text(lua_State *L) {
  luaL_tolstring(L, 1, NULL);
  return 1;
}

/* Its __tostring may raise as well. */
void fcgi_lua_error_text(lua_State *L) {
  int readable = lua_isstring(L, -1);
  luaL_checkstack(L, 3, "too many values");
  if (!readable && luaL_getmetafield(L, -1, "__tostring") != LUA_TNIL) {
    lua_pop(L, 1);
    readable = 1;
  }
  if (readable) {
    lua_pushcfunction(L, as_text);
    lua_pushvalue(L, -2);
    readable = lua_pcall(L, 1, 1, 0) == LUA_OK;
    if (!readable)
      lua_pop(L, 1);
  }
  if (!readable)
    lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, -1));
  lua_replace(L, -2);
}
