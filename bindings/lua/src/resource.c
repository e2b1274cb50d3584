/* SPDX-License-Identifier: MIT */
/* fcgi.resource{...}: what is kept between requests, one in each state. */
#include "keeping.h"
#include <string.h>

#define RESOURCE "fcgi.resource"
#define LOAN     "fcgi.loan"

/* The value of db:get(), which stands for what is open while it is taken. To
   make one for each take would cost as much as all the rest, so all have the
   same, until one of them was not given back: its user may still use it. */
typedef struct loan {
  fcgi_lua_resource *resource; /* Whose value it stands for. */
  uint64_t turn;               /* The resource's; another one: it is dead. */
  int got;                     /* 1: of get(), 0: of with(). */
} loan;

/* Upvalues of all functions: their classes. To compare one takes half the time
   of luaL_checkudata, which looks a name up. */
enum { RESOURCES = lua_upvalueindex(1), LOANS = lua_upvalueindex(2) };

/* Leaves the class at the top. */
static inline void *look_at(lua_State *L, int class, const char *name) {
  void *self = lua_touserdata(L, 1);
  if (!self || !lua_getmetatable(L, 1) || !lua_rawequal(L, -1, class))
    luaL_typeerror(L, 1, name);
  return self;
}

static void *check_class(lua_State *L, int class, const char *name) {
  void *self = look_at(L, class, name);
  lua_pop(L, 1);
  return self;
}

static fcgi_lua_resource *check(lua_State *L) {
  fcgi_lua_resource *self = check_class(L, RESOURCES, RESOURCE);
  if (!self->core)
    luaL_error(L, "the state is being closed");
  return self;
}

static loan *check_loan(lua_State *L) {
  return check_class(L, LOANS, LOAN);
}

/* --- Making --- */

static int number_at(lua_State *L, int index) {
  lua_rawgeti(L, -1, index);
  int number = (int)lua_tointeger(L, -1);
  lua_pop(L, 1);
  return number;
}

/* The numbers are at the top, the options at 1. */
static int make_core(lua_State *L, fcgi_lua_resource *self, char *why,
                     size_t len) {
  fcgi_resource_config config = {.size = sizeof config,
                                 .scope = FCGI_RESOURCE_WORKER,
                                 .most = 1,
                                 .acquire_timeout_ms = number_at(L, 1),
                                 .check_after_ms = number_at(L, 2),
                                 .max_age_ms = number_at(L, 3),
                                 .max_idle_ms = number_at(L, 4),
                                 .least = (unsigned)number_at(L, 5),
                                 .eager = number_at(L, 6),
                                 .retry = (fcgi_retry)number_at(L, 7),
                                 .limit_total = (unsigned)number_at(L, 8),
                                 .steps = 1,
                                 .user_data = self};
  lua_getfield(L, 1, "name");
  config.name = lua_tostring(L, -1);
  int code = fcgi_resource_new(&self->core, &config, why, len);
  lua_pop(L, 1);
  return code;
}

int fcgi_lua_resource_new(lua_State *L) {
  char why[256];
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "fcgi.adapters");
  lua_call(L, 1, 1);
  lua_pushvalue(L, 1);
  if (lua_pcall(L, 1, 2, 0) != LUA_OK)
    return luaL_argerror(L, 1, lua_tostring(L, -1));
  fcgi_lua_keeper *keeper = fcgi_lua_keeper_of(L);
  if (!keeper->holder && fcgi_holder_new(&keeper->holder, NULL) < 0)
    return fcgi_lua_fail(L, FCGI_ERR_NOMEM, NULL);
  fcgi_lua_resource *self = lua_newuserdatauv(L, sizeof *self, FCGI_LUA_VALUES);
  *self = (fcgi_lua_resource){.keeper = keeper, .turn = 1};
  luaL_setmetatable(L, RESOURCE);
  lua_pushvalue(L, 2);
  lua_setiuservalue(L, 4, FCGI_LUA_STEPS);
  lua_pushvalue(L, 4);
  lua_rawsetp(L, LUA_REGISTRYINDEX, self);
  lua_pushvalue(L, 3);
  int code = make_core(L, self, why, sizeof why);
  if (code < 0) {
    lua_pushnil(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, self);
    return fcgi_lua_fail(L, code, why);
  }
  self->next = keeper->first;
  keeper->first = self;
  lua_settop(L, 4);
  return 1;
}

/* The registry has it until the state is closed. */
static int resource_gc(lua_State *L) {
  fcgi_lua_resource *self = check_class(L, RESOURCES, RESOURCE);
  fcgi_lua_resource **at = &self->keeper->first;
  if (!self->core)
    return 0;
  while (*at && *at != self)
    at = &(*at)->next;
  if (*at)
    *at = self->next;
  while (self->depth > 0 && fcgi_lua_resource_give(L, self) == 0)
    continue;
  fcgi_lua_resource_tidy(L, self, FCGI_RESOURCE_ALL);
  fcgi_resource_free(self->core);
  self->core = NULL;
  return 0;
}

/* --- Taking --- */

/* The guard, and with it the parent's value, stays referenced for good:
   collected, that would say goodbye on the parent's socket. */
void fcgi_lua_resource_renew(lua_State *L, fcgi_lua_resource *self) {
  if (!fcgi_resource_forked(self->core))
    return;
  lua_rawgetp(L, LUA_REGISTRYINDEX, self);
  lua_getiuservalue(L, -1, FCGI_LUA_GUARD);
  luaL_ref(L, LUA_REGISTRYINDEX);
  lua_pop(L, 1);
  fcgi_resource_renew(self->core);
  self->depth = self->gets = 0;
  self->used = 0;
  self->turn++;
}

/* What was never used may be used by a fork as its own. */
static int renew_unused(lua_State *L, fcgi_lua_resource *self) {
  if (self->used || !fcgi_resource_forked(self->core))
    return 0;
  fcgi_lua_resource_renew(L, self);
  return 1;
}

static void show(fcgi_lua_resource *self, fcgi_server *server) {
  if (server)
    fcgi_server_count_resource(server, self->core);
  self->shown = server;
}

int fcgi_lua_resource_take(lua_State *L, fcgi_lua_resource *self,
                           long long until) {
  const fcgi_lua_request *request = self->keeper->request;
  fcgi_handle *handle = NULL;
  int step;
  if (request && request->server->handle != self->shown)
    show(self, request->server->handle);
  while ((step = fcgi_resource_begin_take(self->core, self->keeper->holder, 0,
                                          &until, &handle)) != 0) {
    if (step > 0)
      step = fcgi_lua_resource_finish(L, self, handle, step);
    if (step == 0)
      break;
    if (step != FCGI_ERR_AGAIN &&
        (step != FCGI_ERR_STATE || !renew_unused(L, self)))
      return step;
  }
  self->depth++;
  return 0;
}

/* Push why it could not be taken. A handler that fails for it answers 503. */
static int refuse(lua_State *L, fcgi_lua_resource *self, int code) {
  fcgi_lua_keeper *keeper = self->keeper;
  char why[FCGI_RESOURCE_WHY];
  fcgi_resource_message(self->core, why, sizeof why);
  if (code == FCGI_ERR_TIMEOUT && keeper->request &&
      fcgi_lua_request_open(keeper->request)) {
    fcgi_request_set_unavailable(keeper->request->handle, why);
    keeper->refused = self->core;
  }
  return fcgi_lua_fail(L, code, why);
}

/* Push what stands for the value of the resource at 1, which was taken. */
static void push_loan(lua_State *L, fcgi_lua_resource *self, int got) {
  int which = got ? FCGI_LUA_GOT : FCGI_LUA_WITH;
  if (self->lent[got] == self->turn) {
    lua_getiuservalue(L, 1, which);
    return;
  }
  loan *made = lua_newuserdatauv(L, sizeof *made, 0);
  *made = (loan){self, self->turn, got};
  lua_pushvalue(L, LOANS);
  lua_setmetatable(L, -2);
  lua_pushvalue(L, -1);
  lua_setiuservalue(L, 1, which);
  self->lent[got] = self->turn;
}

static int resource_get(lua_State *L) {
  fcgi_lua_resource *self = look_at(L, RESOURCES, RESOURCE);
  if (!self->core)
    return luaL_error(L, "the state is being closed");
  int code = fcgi_lua_resource_take(L, self, 0);
  if (code < 0)
    return refuse(L, self, code);
  self->gets++;
  push_loan(L, self, 1);
  return 1;
}

static int with_returned(lua_State *L, int status, lua_KContext context) {
  (void)status;
  (void)context;
  return lua_gettop(L) - 2;
}

/* db:with(f, ...): what f returns. The loan is closed in any case, with the
   error if there is one. */
static int resource_with(lua_State *L) {
  fcgi_lua_resource *self = check(L);
  luaL_checkany(L, 2);
  int code = fcgi_lua_resource_take(L, self, 0);
  if (code < 0)
    return refuse(L, self, code);
  push_loan(L, self, 0);
  lua_insert(L, 2);
  lua_toclose(L, 2);
  lua_getiuservalue(L, 1, FCGI_LUA_VALUE);
  lua_insert(L, 4);
  lua_callk(L, lua_gettop(L) - 3, LUA_MULTRET, 0, with_returned);
  return with_returned(L, LUA_OK, 0);
}

/* Whether the error at `error` says that the value is broken. An error of the
   question does. */
static void judge(lua_State *L, fcgi_lua_resource *self, int error) {
  int top = lua_gettop(L);
  lua_rawgetp(L, LUA_REGISTRYINDEX, self);
  lua_getiuservalue(L, top + 1, FCGI_LUA_STEPS);
  if (lua_getfield(L, -1, "broken") != LUA_TNIL) {
    lua_pushvalue(L, error);
    lua_getiuservalue(L, top + 1, FCGI_LUA_VALUE);
    if (lua_pcall(L, 2, 1, 0) != LUA_OK || lua_toboolean(L, -1))
      fcgi_resource_invalidate(self->core, self->keeper->holder);
  }
  lua_settop(L, top);
}

static int is_live(const loan *at) {
  const fcgi_lua_resource *self = at->resource;
  return self->depth > 0 && at->turn == self->turn && self->core;
}

/* Lua calls it with a loan, as nobody else gets the class. */
static int loan_close(lua_State *L) {
  const loan *at = lua_touserdata(L, 1);
  fcgi_lua_resource *self = at->resource;
  if (!is_live(at))
    return 0;
  if (!lua_isnoneornil(L, 2))
    judge(L, self, 2);
  if (at->got && self->gets > 0)
    self->gets--;
  fcgi_lua_resource_give(L, self);
  return 0;
}

/* Push what the loan at `index` stands for, or raise. */
static void push_value(lua_State *L, int index) {
  const loan *at = lua_touserdata(L, index);
  if (!is_live(at))
    luaL_error(L, "resource '%s': what db:get() returned was given back",
               at->resource->core ? fcgi_resource_name(at->resource->core)
                                  : "?");
  if (fcgi_resource_forked(at->resource->core))
    luaL_error(L,
               "resource '%s' belongs to the process of which this one is a "
               "fork",
               fcgi_resource_name(at->resource->core));
  lua_rawgetp(L, LUA_REGISTRYINDEX, at->resource);
  lua_getiuservalue(L, -1, FCGI_LUA_VALUE);
  lua_remove(L, -2);
}

static int returned(lua_State *L, int status, lua_KContext context) {
  (void)status;
  (void)context;
  return lua_gettop(L);
}

/* A method of the value: the value takes the place of what stands for it. */
static int method(lua_State *L) {
  if (luaL_testudata(L, 1, LOAN)) {
    push_value(L, 1);
    lua_replace(L, 1);
  }
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_callk(L, lua_gettop(L) - 1, LUA_MULTRET, 0, returned);
  return lua_gettop(L);
}

static int loan_index(lua_State *L) {
  check_loan(L);
  push_value(L, 1);
  lua_pushvalue(L, 2);
  lua_gettable(L, -2);
  if (!lua_isfunction(L, -1))
    return 1;
  lua_pushcclosure(L, method, 1);
  return 1;
}

static int loan_newindex(lua_State *L) {
  check_loan(L);
  push_value(L, 1);
  lua_replace(L, 1);
  lua_settable(L, 1);
  return 0;
}

static int loan_tostring(lua_State *L) {
  if (is_live(check_loan(L))) {
    push_value(L, 1);
    luaL_tolstring(L, -1, NULL);
  } else
    lua_pushliteral(L, LOAN " (given back)");
  return 1;
}

/* --- The rest --- */

static int resource_invalidate(lua_State *L) {
  fcgi_lua_resource *self = check(L);
  int code = fcgi_resource_invalidate(self->core, self->keeper->holder);
  if (code < 0)
    return fcgi_lua_fail(L, code, "nothing of this resource is in use here");
  lua_pushboolean(L, 1);
  return 1;
}

static int resource_drain(lua_State *L) {
  fcgi_lua_resource *self = check(L);
  fcgi_resource_drain(self->core);
  fcgi_lua_resource_tidy(L, self, FCGI_RESOURCE_REAP);
  return 0;
}

static int resource_renew(lua_State *L) {
  fcgi_lua_resource_renew(L, check(L));
  return 0;
}

static void put(lua_State *L, const char *name, uint64_t number) {
  lua_pushinteger(L, (lua_Integer)number);
  lua_setfield(L, -2, name);
}

static int resource_stats(lua_State *L) {
  fcgi_resource_stats stats = {.size = sizeof stats};
  fcgi_resource_count(check(L)->core, &stats);
  lua_newtable(L);
  put(L, "open", stats.open);
  put(L, "in_use", stats.in_use);
  put(L, "away", (uint64_t)stats.away);
  put(L, "taken", stats.taken);
  put(L, "opened", stats.opened);
  put(L, "failed", stats.failed);
  put(L, "refused", stats.refused);
  put(L, "unended", stats.unended);
  put(L, "total", stats.total);
  put(L, "limit_total", stats.limit_total);
  put(L, "abandoned", stats.abandoned);
#define CAUSE(name, key)                                                       \
  put(L, "closed_" #key, stats.closed[FCGI_RESOURCE_BY_##name]);
  FCGI_RESOURCE_CAUSE_MAP(CAUSE)
#undef CAUSE
  return 1;
}

static int resource_name(lua_State *L) {
  lua_pushstring(L, fcgi_resource_name(check(L)->core));
  return 1;
}

static int resource_tostring(lua_State *L) {
  lua_pushfstring(L, "%s: %s", RESOURCE, fcgi_resource_name(check(L)->core));
  return 1;
}

/* The two classes are at 1 and 2 above `base`. Set functions in the table at
   the top. */
static void set(lua_State *L, int base, const luaL_Reg *functions) {
  lua_pushvalue(L, base + 1);
  lua_pushvalue(L, base + 2);
  luaL_setfuncs(L, functions, 2);
}

static void fill_resources(lua_State *L, int base) {
  static const luaL_Reg methods[] = {
      {"get", resource_get},     {"with", resource_with},
      {"drain", resource_drain}, {"invalidate", resource_invalidate},
      {"renew", resource_renew}, {"stats", resource_stats},
      {"name", resource_name},   {NULL, NULL}};
  static const luaL_Reg metamethods[] = {
      {"__gc", resource_gc}, {"__tostring", resource_tostring}, {NULL, NULL}};
  lua_pushvalue(L, base + 1);
  set(L, base, metamethods);
  lua_newtable(L);
  set(L, base, methods);
  lua_setfield(L, -2, "__index");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
}

static void fill_loans(lua_State *L, int base) {
  static const luaL_Reg metamethods[] = {{"__close", loan_close},
                                         {"__index", loan_index},
                                         {"__newindex", loan_newindex},
                                         {"__tostring", loan_tostring},
                                         {NULL, NULL}};
  lua_pushvalue(L, base + 2);
  set(L, base, metamethods);
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
}

void fcgi_lua_resource_class(lua_State *L) {
  int base = lua_gettop(L);
  fcgi_lua_keeper_class(L);
  luaL_newmetatable(L, RESOURCE);
  luaL_newmetatable(L, LOAN);
  fill_resources(L, base);
  fill_loans(L, base);
  lua_settop(L, base);
}
