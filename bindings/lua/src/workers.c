/* SPDX-License-Identifier: MIT */
/* fcgi.serve{workers = N}: the program is executed again as each worker, and
   serves when it comes to this call. */
#include "lua_fcgi.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* 1: the option means nothing to a process that serves alone. */
static int needs_workers(const fcgi_option *option) {
  return (option->scope == FCGI_OPTION_FOR_PROCESSES &&
          strcmp(option->name, "workers") != 0) ||
         strcmp(option->name, "umask") == 0 ||
         strcmp(option->name, "chdir") == 0;
}

static void check_alone(lua_State *L) {
  const fcgi_option *option;
  for (size_t i = 0; (option = fcgi_option_at(i)); i++) {
    if (needs_workers(option) && lua_getfield(L, 1, option->name) != LUA_TNIL)
      luaL_error(L, "option '%s' needs option 'workers'", option->name);
    lua_settop(L, 1);
  }
  if (lua_getfield(L, 1, "watch") != LUA_TNIL)
    luaL_error(L, "option 'watch' needs option 'workers'");
  lua_settop(L, 1);
}

/* The first index of the global table `arg`, which is at `index`. */
static lua_Integer first_index(lua_State *L, int index) {
  lua_Integer first = 0;
  while (lua_geti(L, index, first - 1) != LUA_TNIL) {
    lua_pop(L, 1);
    first--;
  }
  lua_pop(L, 1);
  return first;
}

static void push_word(lua_State *L, int arg, lua_Integer at, int is_script) {
  char path[PATH_MAX];
  lua_geti(L, arg, at);
  if (is_script && lua_tostring(L, -1) && realpath(lua_tostring(L, -1), path)) {
    lua_pushstring(L, path);
    lua_remove(L, -2);
  }
}

/* Push the running program's command line, a list. The lua program leaves it in
   the table `arg`: the script at 0, the interpreter and its options before. */
static void push_command(lua_State *L) {
  int arg, typed;
  lua_Integer first, last;
  typed = lua_getglobal(L, "arg") != LUA_TTABLE;
  arg = lua_gettop(L);
  first = typed ? 0 : first_index(L, arg);
  last = typed ? 0 : luaL_len(L, arg);
  if (!typed && lua_geti(L, arg, 0) == LUA_TSTRING)
    typed = lua_tostring(L, -1)[0] == '-' || (first == 0 && last == 0);
  else
    typed = 1;
  if (typed)
    luaL_error(L, "workers are this program, executed again, and what was "
                  "typed cannot be: put it into a file, or name the "
                  "application: fcgi-lua --workers N app.lua");
  lua_newtable(L);
  for (lua_Integer i = first; i <= last; i++) {
    push_word(L, arg, i, i == 0 && first < 0);
    lua_seti(L, -2, i - first + 1);
  }
}

/* Push a copy of the table at 1. */
static void push_copy(lua_State *L) {
  lua_newtable(L);
  lua_pushnil(L);
  while (lua_next(L, 1)) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_settable(L, -4);
  }
}

/* The supervisor listens: the table at 1 has no `bind` any more. */
static void serve_inherited(lua_State *L) {
  push_copy(L);
  lua_pushnil(L);
  lua_setfield(L, -2, "bind");
  lua_replace(L, 1);
}

static int watch_over(lua_State *L) {
  push_command(L);
  lua_pushcfunction(L, fcgi_lua_supervisor_run);
  push_copy(L);
  lua_pushvalue(L, -3);
  lua_setfield(L, -2, "command");
  lua_call(L, 1, 1);
  lua_Integer status = lua_tointeger(L, -1);
  if (status != 0)
    return fcgi_lua_fail(L, FCGI_ERR_STATE,
                         status == 3 ? "the first workers did not start"
                                     : "the workers could not be started");
  lua_pushboolean(L, 1);
  return 1;
}

int fcgi_lua_workers(lua_State *L) {
  int type = lua_getfield(L, 1, "workers");
  int is_none = lua_isinteger(L, -1) && lua_tointeger(L, -1) == 0;
  lua_pop(L, 1);
  if (type == LUA_TNIL || is_none) {
    check_alone(L);
    return 0;
  }
  if (getenv("GATEWAY_INTERFACE"))
    return 0;
  if (!fcgi_lua_is_worker())
    return watch_over(L);
  serve_inherited(L);
  return 0;
}
