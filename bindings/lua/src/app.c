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
  fcgi_lua_guard *guard = fcgi_lua_exit_guard(L);
  int count = 0;
  for (; args[count]; count++) {
    luaL_checkstack(L, 2, "too many arguments");
    lua_pushstring(L, args[count]);
  }
  guard->held++;
  int status = lua_pcall(L, count, 1, 0);
  guard->held--;
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

/* Put `directory` in front of the field `name` of the table at the top, in each
   form: a path is no pattern and has no ";" or "?". */
static void add_place(lua_State *L, const char *name, const char *directory,
                      const char *forms) {
  const char *old;
  luaL_Buffer path;
  lua_getfield(L, -1, name);
  old = luaL_optstring(L, -1, "");
  luaL_buffinit(L, &path);
  for (; *forms; forms += strlen(forms) + 1) {
    luaL_addstring(&path, directory);
    luaL_addstring(&path, forms);
    luaL_addchar(&path, ';');
  }
  luaL_addstring(&path, old);
  luaL_pushresult(&path);
  lua_setfield(L, -3, name);
  lua_pop(L, 1);
}

/* require() finds what stands beside the application, wherever it was started
   from and whatever LUA_PATH says, as Python does. */
static void add_places(lua_State *L, const char *app) {
  const char *slash = strrchr(app, '/');
  if (strpbrk(app, ";?"))
    return;
  const char *directory = slash ? lua_pushlstring(L, app, (size_t)(slash - app))
                                : lua_pushliteral(L, ".");
  if (lua_getglobal(L, "package") == LUA_TTABLE) {
    add_place(L, "path", directory, "/?.lua\0/?/init.lua\0");
    add_place(L, "cpath", directory, "/?.so\0");
  }
  lua_pop(L, 2);
}

int fcgi_lua_app_load(lua_State *L, const char *app, const char *const *args,
                      int *stream) {
  add_places(L, app);
  if (luaL_loadfile(L, app) != LUA_OK || !run(L, args)) {
    first_line(L);
    return 0;
  }
  return take_handler(L, app, stream);
}
