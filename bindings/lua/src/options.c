/* SPDX-License-Identifier: MIT */
/* The options tables: every key is known or refused, so that a typing error is
   found at the start and not in production. The core knows the options; what
   stands here is how Lua has their values. */
#include "lua_fcgi.h"
#include <math.h>
#include <string.h>

#define HELD "fcgi.options.held"

/* Keys that are no options of the core, and those that a server has from its
   own program: the place of their value is elsewhere. */
static const struct {
  const char *name; /* The key. */
  int serve_only;   /* Not for fcgi.server. */
} others[] = {{"bind", 0}, {"roles", 0}, {"handler", 1},  {"app", 1},
              {"args", 1}, {"watch", 1}, {"listening", 1}};

static int is_other(const char *name, int serve) {
  for (size_t i = 0; i < sizeof others / sizeof *others; i++)
    if (strcmp(others[i].name, name) == 0)
      return serve || !others[i].serve_only;
  return 0;
}

static int free_held(lua_State *L) {
  fcgi_options **held = luaL_checkudata(L, 1, HELD);
  fcgi_options_free(*held);
  *held = NULL;
  return 0;
}

fcgi_options *fcgi_lua_options_push(lua_State *L) {
  fcgi_options **held = lua_newuserdatauv(L, sizeof(fcgi_options *), 0);
  *held = NULL;
  if (luaL_newmetatable(L, HELD)) {
    lua_pushcfunction(L, free_held);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  if (fcgi_options_new(held, FCGI_LAUNCHER_LUA))
    luaL_error(L, "out of memory");
  return *held;
}

fcgi_options *fcgi_lua_options_at(lua_State *L, int index) {
  fcgi_options **held = luaL_checkudata(L, index, HELD);
  return *held;
}

/* Leave the object at the top to the table at `index`, for as long as that is
   there. */
static void hold(lua_State *L, int index) {
  if (!luaL_getsubtable(L, LUA_REGISTRYINDEX, "fcgi.options.of")) {
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "k");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
  }
  lua_pushvalue(L, index);
  lua_pushvalue(L, -3);
  lua_settable(L, -3);
  lua_pop(L, 2);
}

enum { WANTED = 160 };

static int refuse_type(lua_State *L, const fcgi_option *option,
                       const char *wanted) {
  return luaL_error(L, "option '%s' must be %s (got a %s)", option->name,
                    wanted, luaL_typename(L, -1));
}

/* The value at the top: it as it is where it is of the right type, else what it
   is. */
static void refuse_value(lua_State *L, const fcgi_option *option) {
  char wanted[WANTED];
  int type = lua_type(L, -1);
  fcgi_option_wanted_in(option, FCGI_LAUNCHER_LUA, wanted, sizeof wanted);
  if (type != LUA_TNUMBER && type != LUA_TSTRING)
    refuse_type(L, option, wanted);
  luaL_error(L,
             type == LUA_TSTRING ? "option '%s' must be %s (got \"%s\")"
                                 : "option '%s' must be %s (got %s)",
             option->name, wanted, luaL_tolstring(L, -1, NULL));
}

static void give_number(lua_State *L, fcgi_options *options,
                        const fcgi_option *option, int64_t number) {
  if (fcgi_options_set_number(options, FCGI_ORIGIN_PROGRAM, option->name,
                              number))
    refuse_value(L, option);
}

/* The string at the top. */
static void give_text(lua_State *L, fcgi_options *options,
                      const fcgi_option *option) {
  size_t len;
  const char *text;
  if (lua_type(L, -1) != LUA_TSTRING)
    refuse_type(L, option, "a string");
  text = lua_tolstring(L, -1, &len);
  if (strlen(text) != len)
    luaL_error(L, "option '%s' has a NUL", option->name);
  if (fcgi_options_set(options, FCGI_ORIGIN_PROGRAM, option->name, text))
    refuse_value(L, option);
}

/* A list of texts and numbers at the top becomes one text. */
static void join(lua_State *L, const fcgi_option *option) {
  luaL_Buffer text;
  int list = lua_gettop(L);
  lua_Integer count = luaL_len(L, list);
  luaL_buffinit(L, &text);
  for (lua_Integer i = 1; i <= count; i++) {
    if (i > 1)
      luaL_addchar(&text, ',');
    if (lua_geti(L, list, i) != LUA_TSTRING && !lua_isinteger(L, -1))
      refuse_type(L, option, "a string, or a list of strings and numbers");
    luaL_addvalue(&text);
  }
  luaL_pushresult(&text);
  lua_replace(L, list);
}

static void give_list(lua_State *L, fcgi_options *options,
                      const fcgi_option *option) {
  lua_Integer count = lua_istable(L, -1) ? luaL_len(L, -1) : 0;
  if (!lua_istable(L, -1))
    give_text(L, options, option);
  for (lua_Integer i = 1; i <= count; i++) {
    lua_geti(L, -1, i);
    give_text(L, options, option);
    lua_pop(L, 1);
  }
}

/* 0 is "never" where there is such a thing. */
static void give_integer(lua_State *L, fcgi_options *options,
                         const fcgi_option *option) {
  int exact = 0;
  lua_Integer number =
      lua_type(L, -1) == LUA_TNUMBER ? lua_tointegerx(L, -1, &exact) : 0;
  if (exact && number == 0 && option->may_be_none)
    give_number(L, options, option, -1);
  else if (!exact || number < option->least || number > option->most)
    refuse_value(L, option);
  else
    give_number(L, options, option, number);
}

/* Seconds, at least a millisecond; math.huge is no limit. */
static void give_seconds(lua_State *L, fcgi_options *options,
                         const fcgi_option *option) {
  int is_number = lua_type(L, -1) == LUA_TNUMBER;
  lua_Number ms = is_number ? lua_tonumber(L, -1) * 1000 : -1;
  if (option->may_be_none && (ms == 0 || ms == (lua_Number)HUGE_VAL))
    give_number(L, options, option, -1);
  else if (!(ms > 0) || ms > (lua_Number)option->most)
    refuse_value(L, option);
  else
    give_number(L, options, option, ms < 1 ? 1 : (int64_t)ms);
}

/* Lua has no octal numbers: 660 and 0660 are the same number to it, so that
   only a text says clearly what is meant. */
static void give_mode(lua_State *L, fcgi_options *options,
                      const fcgi_option *option) {
  if (lua_type(L, -1) != LUA_TSTRING)
    refuse_value(L, option);
  give_text(L, options, option);
}

void fcgi_lua_options_give(lua_State *L, fcgi_options *options,
                           const fcgi_option *option) {
  switch (option->kind) {
  case FCGI_OPTION_FLAG:
    if (!lua_isboolean(L, -1))
      refuse_type(L, option, "true or false");
    give_number(L, options, option, lua_toboolean(L, -1));
    return;
  case FCGI_OPTION_PROCESSES:
    if (lua_type(L, -1) == LUA_TSTRING &&
        strcmp(lua_tostring(L, -1), "auto") == 0) {
      give_text(L, options, option);
      return;
    }
    give_integer(L, options, option);
    return;
  case FCGI_OPTION_COUNT:
  case FCGI_OPTION_BYTES:
    give_integer(L, options, option);
    return;
  case FCGI_OPTION_SECONDS:
    give_seconds(L, options, option);
    return;
  case FCGI_OPTION_MODE:
    give_mode(L, options, option);
    return;
  default:
    if (option->is_list && lua_istable(L, -1))
      join(L, option);
    if (option->repeatable)
      give_list(L, options, option);
    else
      give_text(L, options, option);
  }
}

/* What is there for a program's own table. */
static int applies(const fcgi_option *option, int serve) {
  if (!(option->launchers & 1u << FCGI_LAUNCHER_LUA) ||
      option->scope == FCGI_OPTION_FOR_COMMAND ||
      strncmp(option->name, "reload", strlen("reload")) == 0)
    return 0;
  return serve || option->scope == FCGI_OPTION_FOR_SERVER ||
         strcmp(option->name, "stream") == 0 ||
         strcmp(option->name, "log_level") == 0;
}

static void read_one(lua_State *L, int serve, fcgi_options *given) {
  if (lua_type(L, -2) != LUA_TSTRING)
    luaL_error(L, "options are named: found a %s as a key",
               luaL_typename(L, -2));
  const char *name = lua_tostring(L, -2);
  const fcgi_option *option = fcgi_option_find(name);
  if (is_other(name, serve))
    return;
  if (strchr(name, '-')) {
    luaL_error(L, "option '%s': names are written with '_'", name);
  } else if (!option || !(option->launchers & 1u << FCGI_LAUNCHER_LUA)) {
    fcgi_options_set(given, FCGI_ORIGIN_PROGRAM, name, "");
    luaL_error(L, "%s", fcgi_options_message(given));
  } else if (!applies(option, serve)) {
    luaL_error(L, "option '%s' is for %s", name,
               applies(option, 1) ? "fcgi.serve" : "fcgi-lua");
  } else {
    fcgi_lua_options_give(L, given, option);
  }
}

void fcgi_lua_options_read(lua_State *L, int index, int serve,
                           fcgi_lua_options *options) {
  luaL_checktype(L, index, LUA_TTABLE);
  *options = (fcgi_lua_options){.config.size = sizeof options->config,
                                .config.log_levels = (2u << FCGI_LOG_INFO) - 1,
                                .inherit = serve};
  fcgi_options *given = fcgi_lua_options_push(L);
  lua_pushnil(L);
  while (lua_next(L, index)) {
    int top = lua_gettop(L);
    read_one(L, serve, given);
    lua_settop(L, top - 1);
  }
  fcgi_options_server(given, &options->config);
  options->threads = fcgi_options_number(given, "threads");
  if (serve && lua_getfield(L, index, "app") != LUA_TNIL) {
    if (lua_type(L, -1) != LUA_TSTRING)
      refuse_type(L, fcgi_option_find("app"), "a string");
    options->app = lua_tostring(L, -1);
  }
  lua_settop(L, lua_gettop(L) - serve);
  hold(L, index);
}
