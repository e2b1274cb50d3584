/* SPDX-License-Identifier: MIT */
/* fcgi.shared(name): a dictionary that all workers share. Without a supervisor
   the states of a process share it, by a pool of those that were made. */
#include "lua_fcgi.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SHARED "fcgi.shared"
#define LOCK   "fcgi.lock"
#define POOL   "fcgi.pool"

enum { ON_STACK = 4096 }; /* Values up to this size are read at once. */

/* One that was made for this process, by its name. */
struct fcgi_lua_private {
  fcgi_shared *memory;           /* The dictionary. */
  struct fcgi_lua_private *next; /* The next one of the pool. */
};

/* The value of fcgi.shared. */
typedef struct shared_value {
  fcgi_shared *memory; /* The dictionary; NULL once collected. */
  int borrowed;        /* 1: the pool frees it. */
} shared_value;

/* The value of shared:lock. User value 1 is the dictionary, 2 the key. */
typedef struct lock_value {
  uint64_t token; /* 0: it was given back. */
} lock_value;

/* --- Opening -------------------------------------------------------------- */

void fcgi_lua_pool_init(fcgi_lua_pool *pool) {
  pool->first = NULL;
  pthread_mutex_init(&pool->lock, NULL);
}

void fcgi_lua_pool_free(fcgi_lua_pool *pool) {
  while (pool->first) {
    struct fcgi_lua_private *one = pool->first;
    pool->first = one->next;
    fcgi_shared_free(one->memory);
    free(one);
  }
  pthread_mutex_destroy(&pool->lock);
}

void fcgi_lua_pool_use(lua_State *L, fcgi_lua_pool *pool) {
  lua_pushlightuserdata(L, pool);
  lua_setfield(L, LUA_REGISTRYINDEX, POOL);
}

static fcgi_shared *find_in(const fcgi_lua_pool *pool, const char *name) {
  struct fcgi_lua_private *at = pool->first;
  while (at && strcmp(fcgi_shared_name(at->memory), name) != 0)
    at = at->next;
  return at ? at->memory : NULL;
}

static int add_to(fcgi_lua_pool *pool, fcgi_shared *memory) {
  struct fcgi_lua_private *one = malloc(sizeof *one);
  if (!one)
    return FCGI_ERR_NOMEM;
  *one = (struct fcgi_lua_private){memory, pool->first};
  pool->first = one;
  return 0;
}

/* The supervisor's, or one that all states of the pool have. */
static int open_with(fcgi_lua_pool *pool, shared_value *out, const char *name,
                     const fcgi_shared_config *config) {
  int code = 0;
  pthread_mutex_lock(&pool->lock);
  out->memory = find_in(pool, name);
  if (!out->memory)
    code = fcgi_shared_open(&out->memory, name, config);
  else
    out->borrowed = 1;
  if (!code && !out->borrowed && fcgi_shared_is_private(out->memory)) {
    code = add_to(pool, out->memory);
    out->borrowed = !code;
  }
  pthread_mutex_unlock(&pool->lock);
  return code;
}

static int cannot_open(lua_State *L, int code, const char *name) {
  if (code == FCGI_ERR_STATE)
    lua_pushfstring(L,
                    "the supervisor has no shared dictionary \"%s\"; declare "
                    "it: --shared %s=16M",
                    name, name);
  else if (code == FCGI_ERR_INVALID)
    return luaL_error(L,
                      "a shared dictionary has a name of up to %d letters, "
                      "digits, _, - and ., and a size from %d up",
                      FCGI_SHARED_NAME - 1, FCGI_SHARED_LEAST);
  else if (code == FCGI_ERR_DAMAGED)
    lua_pushliteral(L, "the memory of the shared dictionaries is of another "
                       "version; restart the supervisor");
  else
    return fcgi_lua_fail(L, code, NULL);
  return fcgi_lua_fail(L, code, lua_tostring(L, -1));
}

int fcgi_lua_shared(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  lua_Integer size = luaL_optinteger(L, 2, 1 << 20);
  const fcgi_shared_config config = {
      .size = sizeof config, .private_size = size > 0 ? (size_t)size : 1};
  luaL_getsubtable(L, LUA_REGISTRYINDEX, SHARED ".open");
  if (lua_getfield(L, -1, name) != LUA_TNIL)
    return 1;
  lua_pop(L, 1);
  shared_value *value = lua_newuserdatauv(L, sizeof *value, 0);
  *value = (shared_value){NULL, 0};
  luaL_setmetatable(L, SHARED);
  lua_getfield(L, LUA_REGISTRYINDEX, POOL);
  fcgi_lua_pool *pool = lua_touserdata(L, -1);
  lua_pop(L, 1);
  int code = pool ? open_with(pool, value, name, &config)
                  : fcgi_shared_open(&value->memory, name, &config);
  if (code < 0)
    return cannot_open(L, code, name);
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, name);
  return 1;
}

/* --- Keys, values, times -------------------------------------------------- */

static fcgi_shared *check(lua_State *L) {
  shared_value *value = luaL_checkudata(L, 1, SHARED);
  luaL_argcheck(L, value->memory, 1, "the state is being closed");
  return value->memory;
}

static const char *check_key(lua_State *L, size_t *len) {
  const char *key = luaL_checklstring(L, 2, len);
  luaL_argcheck(L, *len > 0 && *len <= FCGI_SHARED_KEY, 2,
                "a key has 1 to 2048 bytes");
  return key;
}

static int64_t check_ttl(lua_State *L, int index) {
  if (lua_isnoneornil(L, index))
    return 0;
  lua_Number seconds = luaL_checknumber(L, index);
  luaL_argcheck(L, seconds > 0, index,
                "a ttl is a number of seconds above 0, or nil");
  return seconds > 1e12 ? 0 : (int64_t)ceil(seconds * 1000);
}

static void check_value(lua_State *L, int index, fcgi_shared_value *out) {
  *out = (fcgi_shared_value){.kind = FCGI_SHARED_BYTES};
  switch (lua_type(L, index)) {
  case LUA_TSTRING:
    out->data = lua_tolstring(L, index, &out->len);
    return;
  case LUA_TBOOLEAN:
    out->kind = FCGI_SHARED_BOOLEAN;
    out->integer = lua_toboolean(L, index);
    return;
  case LUA_TNUMBER:
    out->kind =
        lua_isinteger(L, index) ? FCGI_SHARED_INTEGER : FCGI_SHARED_REAL;
    out->integer = lua_isinteger(L, index) ? lua_tointeger(L, index) : 0;
    out->real = lua_tonumber(L, index);
    return;
  default:
    luaL_argerror(L, index, "a value is a string, a number or a boolean");
  }
}

static void push_value(lua_State *L, const fcgi_shared_value *value) {
  if (value->kind <= FCGI_SHARED_STRING)
    lua_pushlstring(L, value->data, value->len);
  else if (value->kind == FCGI_SHARED_INTEGER)
    lua_pushinteger(L, (lua_Integer)value->integer);
  else if (value->kind == FCGI_SHARED_REAL)
    lua_pushnumber(L, value->real);
  else
    lua_pushboolean(L, (int)value->integer);
}

/* --- Operations ----------------------------------------------------------- */

static int done(lua_State *L, int code) {
  if (code < 0)
    return fcgi_lua_fail(L, code,
                         code == FCGI_ERR_LIMIT
                             ? "the value is larger than the dictionary"
                             : NULL);
  lua_pushboolean(L, code);
  return 1;
}

/* Push the value of the key at 2, of which `found` is not negative, or nil. */
static int look_up(lua_State *L, fcgi_shared *memory) {
  char small[ON_STACK], *buffer = small;
  size_t len, room = sizeof small;
  const char *key = check_key(L, &len);
  fcgi_shared_value value;
  int found;
  for (;;) {
    found = fcgi_shared_get(memory, key, len, buffer, room, &value);
    if (found <= 0 || value.data || value.kind > FCGI_SHARED_STRING)
      break;
    room = value.len;
    buffer = lua_newuserdatauv(L, room, 0);
  }
  if (found > 0)
    push_value(L, &value);
  return found;
}

static int shared_get(lua_State *L) {
  int found = look_up(L, check(L));
  if (found < 0)
    return done(L, found);
  if (!found)
    lua_settop(L, 3);
  return 1;
}

typedef int store_fn(fcgi_shared *, const void *, size_t,
                     const fcgi_shared_value *);

static int store(lua_State *L, store_fn *how) {
  fcgi_shared *memory = check(L);
  fcgi_shared_value value;
  size_t len;
  const char *key = check_key(L, &len);
  check_value(L, 3, &value);
  value.ttl_ms = check_ttl(L, 4);
  int code = how(memory, key, len, &value);
  if (code < 0 || how != fcgi_shared_set)
    return done(L, code);
  lua_pushinteger(L, code);
  return 1;
}

static int shared_set(lua_State *L) {
  return store(L, fcgi_shared_set);
}

static int shared_add(lua_State *L) {
  return store(L, fcgi_shared_add);
}

static int shared_replace(lua_State *L) {
  return store(L, fcgi_shared_replace);
}

static int shared_incr(lua_State *L) {
  fcgi_shared *memory = check(L);
  size_t len;
  const char *key = check_key(L, &len);
  int64_t by = luaL_optinteger(L, 3, 1), init = luaL_optinteger(L, 4, 0), sum;
  int64_t ttl_ms = check_ttl(L, 5);
  int code = fcgi_shared_incr(
      memory, key, len, by, lua_isnoneornil(L, 4) ? NULL : &init, ttl_ms, &sum);
  if (code < 0)
    return fcgi_lua_fail(
        L, code,
        code == FCGI_ERR_STATE   ? "the value of that key is no integer"
        : code == FCGI_ERR_LIMIT ? "the sum does not fit into 64 bits"
                                 : NULL);
  if (code)
    lua_pushinteger(L, (lua_Integer)sum);
  else
    lua_pushnil(L);
  return 1;
}

static int shared_delete(lua_State *L) {
  fcgi_shared *memory = check(L);
  size_t len;
  const char *key = check_key(L, &len);
  return done(L, fcgi_shared_delete(memory, key, len));
}

static int shared_expire(lua_State *L) {
  fcgi_shared *memory = check(L);
  size_t len;
  const char *key = check_key(L, &len);
  return done(L, fcgi_shared_expire(memory, key, len, check_ttl(L, 3)));
}

static int shared_ttl(lua_State *L) {
  fcgi_shared *memory = check(L);
  fcgi_shared_value value;
  size_t len;
  const char *key = check_key(L, &len);
  int found = fcgi_shared_get(memory, key, len, NULL, 0, &value);
  if (found < 0)
    return done(L, found);
  if (!found)
    lua_pushnil(L);
  else
    lua_pushnumber(L,
                   value.ttl_ms ? (lua_Number)value.ttl_ms / 1000 : HUGE_VAL);
  return 1;
}

static int shared_keys(lua_State *L) {
  fcgi_shared *memory = check(L);
  char key[FCGI_SHARED_KEY];
  uint64_t place = 0;
  int len;
  lua_newtable(L);
  for (lua_Integer i = 1; (len = fcgi_shared_next(memory, &place, key)) > 0;
       i++) {
    lua_pushlstring(L, key, (size_t)len);
    lua_rawseti(L, -2, i);
  }
  return len < 0 ? done(L, len) : 1;
}

static int shared_clear(lua_State *L) {
  int code = fcgi_shared_clear(check(L));
  return done(L, code < 0 ? code : 1);
}

static int shared_counts(lua_State *L) {
  static const char *const keys[] = {
#define COUNT_KEY(name, key, text) #key,
      FCGI_SHARED_COUNT_MAP(COUNT_KEY)
#undef COUNT_KEY
  };
  uint64_t counts[FCGI_SHARED_COUNTS];
  int code = fcgi_shared_counts(check(L), counts, FCGI_SHARED_COUNTS);
  if (code < 0)
    return done(L, code);
  lua_createtable(L, 0, FCGI_SHARED_COUNTS);
  for (int i = 0; i < FCGI_SHARED_COUNTS; i++) {
    lua_pushinteger(L, (lua_Integer)counts[i]);
    lua_setfield(L, -2, keys[i]);
  }
  return 1;
}

/* --- Locks ---------------------------------------------------------------- */

static int shared_lock(lua_State *L) {
  fcgi_shared *memory = check(L);
  size_t len;
  const char *key = check_key(L, &len);
  int wait_ms = fcgi_lua_wait(L, 3);
  int64_t ttl_ms = check_ttl(L, 4);
  lock_value *lock = lua_newuserdatauv(L, sizeof *lock, 2);
  lock->token = 0;
  luaL_setmetatable(L, LOCK);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  lua_pushvalue(L, 2);
  lua_setiuservalue(L, -2, 2);
  int code = fcgi_shared_lock(memory, key, len, ttl_ms, wait_ms, &lock->token);
  if (code > 0)
    return 1;
  lock->token = 0;
  if (code == 0)
    return fcgi_lua_fail(L, FCGI_ERR_TIMEOUT, "the lock is held by another");
  return done(L, code);
}

/* lock:unlock() says whether it was held to the end. */
static int lock_unlock(lua_State *L) {
  lock_value *lock = luaL_checkudata(L, 1, LOCK);
  uint64_t token = lock->token;
  size_t len;
  lock->token = 0;
  lua_getiuservalue(L, 1, 1);
  lua_getiuservalue(L, 1, 2);
  shared_value *value = lua_touserdata(L, -2);
  const char *key = lua_tolstring(L, -1, &len);
  if (!token || !value || !value->memory)
    return done(L, 0);
  return done(L, fcgi_shared_unlock(value->memory, key, len, token));
}

static int unlock_in(lua_State *L) {
  lua_settop(L, 1);
  return lock_unlock(L);
}

/* shared:fetch(key, make, ttl): its value, which one of many makes. The stack
   is the arguments, then the lock, which __close gives back in any case. */
static int shared_fetch(lua_State *L) {
  fcgi_shared *memory = check(L);
  luaL_checktype(L, 3, LUA_TFUNCTION);
  check_ttl(L, 4);
  lua_settop(L, 4);
  int found = look_up(L, memory);
  if (found)
    return found < 0 ? done(L, found) : 1;
  lua_settop(L, 4);
  lua_pushcfunction(L, shared_lock);
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 2);
  lua_call(L, 2, 3);
  if (lua_isnil(L, 5))
    return 3;
  lua_settop(L, 5);
  lua_toclose(L, 5);
  found = look_up(L, memory);
  if (found)
    return found < 0 ? done(L, found) : 1;
  lua_settop(L, 5);
  lua_pushvalue(L, 3);
  lua_call(L, 0, 1);
  lua_pushcfunction(L, shared_set);
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 2);
  lua_pushvalue(L, 6);
  lua_pushvalue(L, 4);
  lua_call(L, 4, 3);
  return lua_isnil(L, 7) ? 3 : (lua_settop(L, 6), 1);
}

/* --- The classes ---------------------------------------------------------- */

static int shared_gc(lua_State *L) {
  shared_value *value = luaL_checkudata(L, 1, SHARED);
  if (!value->borrowed)
    fcgi_shared_free(value->memory);
  value->memory = NULL;
  return 0;
}

static int shared_tostring(lua_State *L) {
  lua_pushfstring(L, "%s: %s", SHARED, fcgi_shared_name(check(L)));
  return 1;
}

static int shared_name(lua_State *L) {
  lua_pushstring(L, fcgi_shared_name(check(L)));
  return 1;
}

static int shared_private(lua_State *L) {
  lua_pushboolean(L, fcgi_shared_is_private(check(L)));
  return 1;
}

static void make_class(lua_State *L, const char *name,
                       const luaL_Reg *metamethods, const luaL_Reg *methods) {
  luaL_newmetatable(L, name);
  luaL_setfuncs(L, metamethods, 0);
  lua_newtable(L);
  luaL_setfuncs(L, methods, 0);
  lua_setfield(L, -2, "__index");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 1);
}

void fcgi_lua_shared_class(lua_State *L) {
  static const luaL_Reg methods[] = {
      {"get", shared_get},         {"set", shared_set},
      {"add", shared_add},         {"replace", shared_replace},
      {"incr", shared_incr},       {"delete", shared_delete},
      {"expire", shared_expire},   {"ttl", shared_ttl},
      {"keys", shared_keys},       {"clear", shared_clear},
      {"counts", shared_counts},   {"lock", shared_lock},
      {"fetch", shared_fetch},     {"name", shared_name},
      {"private", shared_private}, {NULL, NULL}};
  static const luaL_Reg metamethods[] = {
      {"__gc", shared_gc}, {"__tostring", shared_tostring}, {NULL, NULL}};
  static const luaL_Reg lock_methods[] = {{"unlock", lock_unlock},
                                          {NULL, NULL}};
  static const luaL_Reg lock_metamethods[] = {
      {"__gc", unlock_in}, {"__close", unlock_in}, {NULL, NULL}};
  make_class(L, SHARED, metamethods, methods);
  make_class(L, LOCK, lock_metamethods, lock_methods);
}
