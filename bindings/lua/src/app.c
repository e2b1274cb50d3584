/* SPDX-License-Identifier: MIT */
/* Loading the file that returns the handler. What goes wrong becomes one
   line, because it is read by the person who just typed a command. */
#include "lua_fcgi.h"
#include <string.h>

int fcgi_lua_callable(lua_State *L, int index) {
  if (lua_isfunction(L, index))
    return 1;
  if (luaL_getmetafield(L, index, "__call") == LUA_TNIL)
    return 0;
  lua_pop(L, 1);
  return 1;
}

/* Cut the text at the top after its first line. */
static void first_line(lua_State *L) {
  fcgi_lua_error_text(L);
  const char *text = lua_tostring(L, -1);
  size_t len = strcspn(text, "\n");
  while (len && strchr(":\r ", text[len - 1]))
    len--;
  lua_pushlstring(L, text, len);
  lua_replace(L, -2);
}

/* Run the chunk at the top and leave its first result, or the error. */
static int run(lua_State *L, const char *const *args) {
  int *held = fcgi_lua_exit_guard(L);
  int count = 0;
  for (; args[count]; count++) {
    luaL_checkstack(L, 2, "too many arguments");
    lua_pushstring(L, args[count]);
  }
  (*held)++;
  int status = lua_pcall(L, count, 1, 0);
  (*held)--;
  return status == LUA_OK;
}

/* A function is the handler; a table gives its fields "handler" and "roles",
   and "stream" where the application needs that mode. */
static int take_handler(lua_State *L, const char *app, int *stream) {
  if (fcgi_lua_callable(L, -1)) {
    lua_pushnil(L);
    return 1;
  }
  const char *got = luaL_typename(L, -1);
  if (lua_istable(L, -1)) {
    lua_getfield(L, -1, "stream");
    *stream |= lua_toboolean(L, -1);
    lua_getfield(L, -2, "handler");
    lua_getfield(L, -3, "roles");
    if (fcgi_lua_callable(L, -2) || (lua_isnil(L, -2) && lua_istable(L, -1)))
      return 1;
    got = "table without a handler";
  }
  lua_pushfstring(L,
                  "%s returned a %s; it must return the handler function, or "
                  "a table with one in the field 'handler'",
                  app, got);
  return 0;
}

int fcgi_lua_app_load(lua_State *L, const char *app, const char *const *args,
                      int *stream) {
  if (luaL_loadfile(L, app) != LUA_OK || !run(L, args)) {
    first_line(L);
    return 0;
  }
  return take_handler(L, app, stream);
}
