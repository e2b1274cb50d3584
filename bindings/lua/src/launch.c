/* SPDX-License-Identifier: MIT */
/* What the launcher knows of options: supervisor.options(). */
#include "lua_fcgi.h"
#include <math.h>
#include <string.h>

/* Without a place in a source: the line is for who has started the launcher. */
static int complain(lua_State *L, const fcgi_options *options) {
  lua_pushstring(L, fcgi_options_message(options));
  return lua_error(L);
}

/* options:read_words(list): how many were read. */
static int read_words(lua_State *L) {
  fcgi_options *options = fcgi_lua_options_at(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_Integer count = luaL_len(L, 2);
  const char **words =
      lua_newuserdatauv(L, (size_t)(count + 1) * sizeof *words, 0);
  size_t used;
  for (lua_Integer i = 0; i < count; i++) {
    lua_geti(L, 2, i + 1);
    words[i] = luaL_checkstring(L, -1);
    lua_pop(L, 1); /* The list still has it. */
  }
  if (fcgi_options_read_words(options, (size_t)count, words, &used))
    return complain(L, options);
  lua_pushinteger(L, (lua_Integer)used);
  return 1;
}

static int read_environment(lua_State *L) {
  fcgi_options *options = fcgi_lua_options_at(L, 1);
  return fcgi_options_read_environment(options) ? complain(L, options) : 0;
}

/* options:read_file(directory, path) */
static int read_file(lua_State *L) {
  fcgi_options *options = fcgi_lua_options_at(L, 1);
  return fcgi_options_read_file(options, luaL_checkstring(L, 2),
                                luaL_checkstring(L, 3), NULL)
             ? complain(L, options)
             : 0;
}

static const fcgi_option *option_at(lua_State *L, int index) {
  const fcgi_option *option = fcgi_option_find(luaL_checkstring(L, index));
  luaL_argcheck(L, option != NULL, index, "no such option");
  return option;
}

static void push_list(lua_State *L, const fcgi_options *options,
                      const char *name) {
  const char *text;
  lua_newtable(L);
  for (size_t i = 0; (text = fcgi_options_text(options, name, i)); i++) {
    lua_pushstring(L, text);
    lua_seti(L, -2, (lua_Integer)i + 1);
  }
}

/* options:value(name): it, or the default, as fcgi.serve has it; nil where
   there is none. */
static int value(lua_State *L) {
  const fcgi_options *options = fcgi_lua_options_at(L, 1);
  const fcgi_option *option = option_at(L, 2);
  int64_t number = fcgi_options_number(options, option->name);
  if (option->repeatable)
    push_list(L, options, option->name);
  else if (option->kind == FCGI_OPTION_FLAG)
    lua_pushboolean(L, number > 0);
  else if (option->kind == FCGI_OPTION_SECONDS && number)
    lua_pushnumber(L, number < 0 ? (lua_Number)HUGE_VAL
                                 : (lua_Number)number / 1000);
  else if (option->kind == FCGI_OPTION_COUNT ||
           option->kind == FCGI_OPTION_PROCESSES ||
           option->kind == FCGI_OPTION_BYTES)
    lua_pushinteger(L, number < 0 ? 0 : number);
  else
    lua_pushstring(L, fcgi_options_text(options, option->name, 0));
  return 1;
}

/* options:is_given(name) */
static int is_given(lua_State *L) {
  const fcgi_options *options = fcgi_lua_options_at(L, 1);
  lua_pushboolean(L, fcgi_options_origin(options, option_at(L, 2)->name) !=
                         FCGI_ORIGIN_DEFAULT);
  return 1;
}

static int push_text(lua_State *L, const char *text) {
  if (!text) {
    lua_pushliteral(L, "out of memory");
    return lua_error(L);
  }
  lua_pushstring(L, text);
  return 1;
}

/* options:doubts(): a list of lines. */
static int doubts(lua_State *L) {
  fcgi_options *options = fcgi_lua_options_at(L, 1);
  const char *line;
  lua_newtable(L);
  for (size_t i = 0; (line = fcgi_options_doubt(options, i)); i++) {
    lua_pushstring(L, line);
    lua_seti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

static int show(lua_State *L) {
  return push_text(L, fcgi_options_show(fcgi_lua_options_at(L, 1)));
}

static int help(lua_State *L) {
  return push_text(L, fcgi_options_help(fcgi_lua_options_at(L, 1)));
}

/* options:names(scope): of those for "server", "worker", "processes" or
   "command". */
static int names(lua_State *L) {
  static const char *const scopes[] = {"server", "worker", "processes",
                                       "command", NULL};
  int scope = luaL_checkoption(L, 2, NULL, scopes);
  const fcgi_option *option;
  lua_Integer count = 0;
  lua_newtable(L);
  for (size_t i = 0; (option = fcgi_option_at(i)); i++)
    if ((int)option->scope == scope &&
        option->launchers & 1u << FCGI_LAUNCHER_LUA) {
      lua_pushstring(L, option->name);
      lua_seti(L, -2, ++count);
    }
  return 1;
}

static const luaL_Reg methods[] = {{"read_words", read_words},
                                   {"read_environment", read_environment},
                                   {"read_file", read_file},
                                   {"value", value},
                                   {"is_given", is_given},
                                   {"doubts", doubts},
                                   {"show", show},
                                   {"help", help},
                                   {"names", names},
                                   {NULL, NULL}};

int fcgi_lua_launch_options(lua_State *L) {
  fcgi_lua_options_push(L);
  lua_getmetatable(L, -1);
  if (lua_getfield(L, -1, "__index") == LUA_TNIL) {
    luaL_newlib(L, methods);
    lua_setfield(L, -3, "__index");
  }
  lua_pop(L, 2);
  return 1;
}
