/* SPDX-License-Identifier: MIT */
/* The steps of a resource, with functions of Lua, and what a state has of all
   its resources. A handle is given to one holder, the state's own: a state runs
   one handler at a time. */
#include "keeping.h"
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
  CROWDED_MS = 5000
}; /* A state does not wait for longer before it
      serves, while others use all. */

#define KEEPER "fcgi.keeper"
#define GUARD  "fcgi.opened"

static const char keeper_key = 0; /* Of the keeper in the registry. */

static int keeper_gc(lua_State *L) {
  fcgi_lua_keeper *keeper = lua_touserdata(L, 1);
  fcgi_holder_free(keeper->holder);
  keeper->holder = NULL;
  return 0;
}

/* A fork that closes its state finalises its copy of the parent's value, which
   would say goodbye on the parent's socket. The guard is made after the value,
   so that Lua finalises it before, and has the process that opened. */
static int guard_gc(lua_State *L) {
  const pid_t *process = lua_touserdata(L, 1);
  if (*process == getpid())
    return 0;
  int type = lua_getiuservalue(L, 1, 1);
  if (type != LUA_TUSERDATA && type != LUA_TTABLE)
    return 0;
  lua_pushnil(L);
  lua_setmetatable(L, -2);
  return 0;
}

/* Of the value at the top, for the resource at `index`. */
static void guard(lua_State *L, int index) {
  pid_t *process = lua_newuserdatauv(L, sizeof *process, 1);
  *process = getpid();
  lua_pushvalue(L, -2);
  lua_setiuservalue(L, -2, 1);
  if (luaL_newmetatable(L, GUARD)) {
    lua_pushcfunction(L, guard_gc);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  lua_setiuservalue(L, index, FCGI_LUA_GUARD);
}

/* The module may be opened twice in one state, whose resources point to the
   keeper. It is made before any of them, so that Lua finalises it last. */
void fcgi_lua_keeper_class(lua_State *L) {
  static const luaL_Reg metamethods[] = {{"__gc", keeper_gc}, {NULL, NULL}};
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &keeper_key) == LUA_TNIL) {
    fcgi_lua_keeper *keeper = lua_newuserdatauv(L, sizeof *keeper, 0);
    *keeper = (fcgi_lua_keeper){0};
    luaL_newmetatable(L, KEEPER);
    luaL_setfuncs(L, metamethods, 0);
    lua_setmetatable(L, -2);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &keeper_key);
  }
  lua_pop(L, 1);
}

fcgi_lua_keeper *fcgi_lua_keeper_of(lua_State *L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &keeper_key);
  fcgi_lua_keeper *keeper = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return keeper;
}

/* The first line of the text at the top, which is no error of the core's. */
static void explain(lua_State *L, fcgi_handle *handle) {
  char why[FCGI_RESOURCE_WHY];
  const char *text;
  size_t len;
  fcgi_lua_error_text(L);
  text = lua_tostring(L, -1);
  len = strcspn(text, "\n");
  if (len >= sizeof why)
    len = sizeof why - 1;
  memcpy(why, text, len);
  why[len] = '\0';
  fcgi_handle_explain(handle, why);
}

static void want(lua_State *L, const fcgi_lua_resource *self) {
  unsigned wanted = 0;
  if (lua_getfield(L, -1, "check") != LUA_TNIL)
    wanted |= 1u << FCGI_RESOURCE_CHECK;
  if (lua_getfield(L, -2, "reset") != LUA_TNIL)
    wanted |= 1u << FCGI_RESOURCE_RESET;
  lua_pop(L, 2);
  fcgi_resource_want(self->core, wanted);
}

/* The steps are at the top. What it opens to is user value FCGI_LUA_VALUE; the
   core is told of the resource, as each has one at most. */
static int open_value(lua_State *L, fcgi_lua_resource *self, int index,
                      fcgi_handle *handle) {
  self->used = 1;
  lua_getfield(L, -1, "open");
  int status = lua_pcall(L, 0, 2, 0);
  if (status == LUA_OK && lua_isnil(L, -2)) {
    int final = lua_isnil(L, -1);
    if (final)
      lua_pushliteral(L, "open has returned nothing");
    explain(L, handle);
    return final ? FCGI_ERR_INVALID : FCGI_ERR_CLOSED;
  }
  if (status != LUA_OK) {
    explain(L, handle);
    return FCGI_ERR_CLOSED;
  }
  lua_pop(L, 1);
  guard(L, index);
  lua_setiuservalue(L, index, FCGI_LUA_VALUE);
  fcgi_handle_set_value(handle, self);
  want(L, self);
  return 0;
}

/* A function that raises, or returns false, or nil and why not, says no. */
static int ask(lua_State *L, int index, const char *name) {
  if (lua_getfield(L, -1, name) == LUA_TNIL)
    return 0;
  lua_getiuservalue(L, index, FCGI_LUA_VALUE);
  if (lua_pcall(L, 1, 2, 0) != LUA_OK)
    return FCGI_ERR_CLOSED;
  int is_no = (lua_isboolean(L, -2) && !lua_toboolean(L, -2)) ||
              (lua_isnil(L, -2) && !lua_isnil(L, -1));
  return is_no ? FCGI_ERR_CLOSED : 0;
}

static int carry_out(lua_State *L, fcgi_lua_resource *self, int index,
                     fcgi_handle *handle, int step) {
  switch (step) {
  case FCGI_RESOURCE_OPEN:
    return open_value(L, self, index, handle);
  case FCGI_RESOURCE_CHECK:
    return ask(L, index, "check");
  case FCGI_RESOURCE_RESET:
    return ask(L, index, "reset");
  default:
    ask(L, index, "close");
    lua_pushnil(L);
    lua_setiuservalue(L, index, FCGI_LUA_VALUE);
    lua_pushnil(L);
    lua_setiuservalue(L, index, FCGI_LUA_GUARD);
    return 0;
  }
}

int fcgi_lua_resource_finish(lua_State *L, fcgi_lua_resource *self,
                             fcgi_handle *handle, int step) {
  if (step <= 0)
    return step;
  int top = lua_gettop(L);
  luaL_checkstack(L, 8, "too many values");
  lua_rawgetp(L, LUA_REGISTRYINDEX, self);
  while (step > 0) {
    lua_getiuservalue(L, top + 1, FCGI_LUA_STEPS);
    step = fcgi_handle_done(handle, carry_out(L, self, top + 1, handle, step));
    lua_settop(L, top + 1);
  }
  lua_settop(L, top);
  return step;
}

void fcgi_lua_resource_tidy(lua_State *L, fcgi_lua_resource *self,
                            fcgi_resource_tidying what) {
  fcgi_handle *handle;
  for (;;) {
    int step = fcgi_resource_begin_tidy(self->core, what, &handle);
    if (step <= 0)
      return;
    fcgi_lua_resource_finish(L, self, handle, step);
  }
}

int fcgi_lua_resource_give(lua_State *L, fcgi_lua_resource *self) {
  fcgi_handle *handle;
  void *place;
  int step = fcgi_resource_begin_give(self->core, self->keeper->holder, &place,
                                      &handle);
  if (step < 0)
    return step;
  self->depth--;
  if (step > 0)
    fcgi_lua_resource_finish(L, self, handle, step);
  return 0;
}

static void tell_unended(const fcgi_lua_keeper *keeper,
                         const fcgi_lua_resource *self) {
  char text[512];
  fcgi_server *server =
      keeper->request ? keeper->request->server->handle : NULL;
  snprintf(text, sizeof text,
           "resource '%s': a handler has ended while it was inside of with(), "
           "in a coroutine that it has left; what it had is closed\n",
           fcgi_resource_name(self->core));
  if (server)
    fcgi_server_log(server, FCGI_LOG_WARNING, text, strlen(text));
  else
    fcgi_lua_say(text);
}

static void give_all(lua_State *L, const fcgi_lua_keeper *keeper,
                     fcgi_lua_resource *self) {
  fcgi_handle *handle;
  void *place;
  while (self->gets > 0 && self->depth > 0) {
    self->gets--;
    if (fcgi_lua_resource_give(L, self) < 0)
      break;
  }
  self->gets = 0;
  self->turn++;
  if (self->depth > 0) {
    tell_unended(keeper, self);
    self->depth = 0;
    int step = fcgi_holder_begin_end(keeper->holder, &place, &handle);
    if (handle)
      fcgi_lua_resource_finish(L, self, handle, step);
  }
}

void fcgi_lua_keeper_end_all(lua_State *L, fcgi_lua_keeper *keeper) {
  fcgi_handle *handle;
  keeper->refused = NULL;
  while (keeper->holder && (handle = fcgi_holder_first(keeper->holder))) {
    fcgi_resource *core = fcgi_handle_resource(handle);
    if (fcgi_resource_forked(core))
      return;
    give_all(L, keeper, fcgi_resource_user_data(core));
  }
}

/* The first of the list was made last: it may need the others. */
static void tidy_all(lua_State *L, const fcgi_lua_keeper *keeper,
                     fcgi_resource_tidying what) {
  for (fcgi_lua_resource *at = keeper->first; at; at = at->next)
    fcgi_lua_resource_tidy(L, at, what);
}

static long long now_ms(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (long long)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

int fcgi_lua_keeper_wait_ms(const fcgi_lua_keeper *keeper, int ms) {
  for (fcgi_lua_resource *at = keeper->first; at; at = at->next) {
    int tidy = fcgi_resource_tidy_ms(at->core);
    ms = tidy > 0 && (ms < 0 || tidy < ms) ? tidy : ms;
  }
  return ms;
}

void fcgi_lua_keeper_reap(lua_State *L, fcgi_lua_keeper *keeper) {
  int ms = fcgi_lua_keeper_wait_ms(keeper, -1);
  long long now = now_ms();
  if (ms < 0 || (keeper->due && now < keeper->due))
    return;
  if (keeper->due)
    tidy_all(L, keeper, FCGI_RESOURCE_REAP);
  keeper->due = now + ms;
}

void fcgi_lua_keeper_leave(lua_State *L, fcgi_lua_keeper *keeper) {
  fcgi_lua_keeper_end_all(L, keeper);
  tidy_all(L, keeper, FCGI_RESOURCE_ALL);
}

/* Others use all that limit_total allows, so what it connects to is there. */
static int is_crowded(const fcgi_resource_stats *stats) {
  return !stats->away && stats->limit_total &&
         stats->total >= stats->limit_total;
}

/* 1: it is open, never will be, or others use all of them for too long. */
static int has_opened(lua_State *L, fcgi_lua_resource *self) {
  fcgi_resource_stats stats = {.size = sizeof stats};
  fcgi_resource_count(self->core, &stats);
  int code = fcgi_lua_resource_take(
      L, self, stats.limit_total ? now_ms() + CROWDED_MS : 0);
  if (code == 0)
    fcgi_lua_resource_give(L, self);
  fcgi_resource_count(self->core, &stats);
  return stats.opened > 0 || is_crowded(&stats) ||
         (code < 0 && code != FCGI_ERR_TIMEOUT);
}

static void open_one(lua_State *L, fcgi_lua_resource *self,
                     fcgi_server *server) {
  static const struct timespec pause = {0, 100000000};
  char before[FCGI_RESOURCE_WHY] = "", why[FCGI_RESOURCE_WHY], text[512];
  while (!fcgi_server_stopping(server) && !has_opened(L, self)) {
    fcgi_resource_message(self->core, why, sizeof why);
    snprintf(text, sizeof text, "%s; the server is not ready before it is\n",
             why);
    if (strcmp(why, before) != 0)
      fcgi_server_log(server, FCGI_LOG_WARNING, text, strlen(text));
    memcpy(before, why, sizeof before);
    nanosleep(&pause, NULL);
  }
}

void fcgi_lua_keeper_prepare(lua_State *L, const fcgi_lua_keeper *keeper,
                             fcgi_server *server) {
  for (fcgi_lua_resource *at = keeper->first; at; at = at->next) {
    fcgi_lua_resource_renew(L, at);
    if (fcgi_resource_eager(at->core))
      open_one(L, at, server);
  }
}
