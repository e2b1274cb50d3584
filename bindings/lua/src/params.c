/* SPDX-License-Identifier: MIT */
/* req.params: looks into the request's own memory. A Lua table is built only
   when copy is called. */
#include "lua_fcgi.h"
#include <string.h>

/* The value of fcgi.params; its user value 1 keeps alive the value of a request
   of its own. */
typedef struct view {
  fcgi_lua_request *request;
  uint64_t turn; /* The request's, when the view was made. */
} view;

static int is_open(const view *params) {
  return params->turn == params->request->turn &&
         fcgi_lua_request_open(params->request);
}

static const fcgi_params *params_of(lua_State *L, const view *params) {
  if (!is_open(params))
    luaL_error(L, "the request is finished, and its params with it");
  return fcgi_request_params(params->request->handle);
}

/* Push new params. Those of a lent request need no value to be kept alive. */
static void push_new(lua_State *L, fcgi_lua_request *request, int index,
                     int class) {
  int own = request->ref == LUA_NOREF;
  view *params = lua_newuserdatauv(L, sizeof *params, own);
  *params = (view){request, request->turn};
  lua_pushvalue(L, class);
  lua_setmetatable(L, -2);
  if (own) {
    lua_pushvalue(L, index);
    lua_setiuservalue(L, -2, 1);
  }
}

/* They are cached by the request's value, or by the block of a lent one, where
   an earlier request may have left its own. */
void fcgi_lua_params_push(lua_State *L, fcgi_lua_request *request, int index,
                          int class) {
  if (request->ref == LUA_NOREF)
    lua_pushvalue(L, index);
  else
    lua_rawgeti(L, LUA_REGISTRYINDEX, request->ref);
  lua_getiuservalue(L, -1, 1);
  const view *cached = lua_touserdata(L, -1);
  if (!cached || cached->turn != request->turn) {
    lua_pop(L, 1);
    push_new(L, request, index, class);
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, -3, 1);
  }
  lua_remove(L, -2);
}

/* Upvalue 1 is the metatable, 2 the methods. A parameter comes first, so that
   no name a web server sends is hidden by a method. */
static int params_index(lua_State *L) {
  const view *params = lua_touserdata(L, 1);
  if (!params || !lua_getmetatable(L, 1) ||
      !lua_rawequal(L, -1, lua_upvalueindex(1)))
    return luaL_typeerror(L, 1, FCGI_LUA_PARAMS);
  if (lua_type(L, 2) != LUA_TSTRING)
    return 0;
  size_t name_len;
  size_t value_len;
  const char *name = lua_tolstring(L, 2, &name_len);
  const char *value =
      fcgi_params_get(params_of(L, params), name, name_len, &value_len);
  if (value) {
    lua_pushlstring(L, value, value_len);
    return 1;
  }
  lua_pushvalue(L, 2);
  lua_rawget(L, lua_upvalueindex(2));
  return 1;
}

static const fcgi_params *check(lua_State *L) {
  return params_of(L, luaL_checkudata(L, 1, FCGI_LUA_PARAMS));
}

static int params_len(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)fcgi_params_count(check(L)));
  return 1;
}

/* The iterator of pairs: upvalue 1 counts. A name that was sent twice comes
   twice, in the order received. */
static int params_next(lua_State *L) {
  const fcgi_params *params = check(L);
  lua_Integer at = lua_tointeger(L, lua_upvalueindex(1));
  fcgi_param param;
  if (fcgi_params_at(params, (size_t)at, &param) < 0)
    return 0;
  lua_pushinteger(L, at + 1);
  lua_replace(L, lua_upvalueindex(1));
  lua_pushlstring(L, param.name, param.name_len);
  lua_pushlstring(L, param.value, param.value_len);
  return 2;
}

static int limit_params(lua_State *L) {
  check(L);
  lua_pushinteger(L, 0);
  lua_pushcclosure(L, params_next, 1);
  lua_pushvalue(L, 1);
  return 2;
}

static int params_copy(lua_State *L) {
  const fcgi_params *params = check(L);
  size_t count = fcgi_params_count(params);
  int duplicates = fcgi_params_duplicates(params);
  fcgi_param param;
  lua_createtable(L, 0, (int)count);
  for (size_t i = 0; fcgi_params_at(params, i, &param) == 0; i++) {
    if (duplicates)
      param.value =
          fcgi_params_get(params, param.name, param.name_len, &param.value_len);
    lua_pushlstring(L, param.name, param.name_len);
    lua_pushlstring(L, param.value, param.value_len);
    lua_rawset(L, -3);
  }
  return 1;
}

static int params_tostring(lua_State *L) {
  const view *params = luaL_checkudata(L, 1, FCGI_LUA_PARAMS);
  if (!is_open(params))
    lua_pushliteral(L, FCGI_LUA_PARAMS " (finished)");
  else
    lua_pushfstring(L, "%s: %p", FCGI_LUA_PARAMS, (const void *)params);
  return 1;
}

static const luaL_Reg methods[] = {{"copy", params_copy}, {NULL, NULL}};

static const luaL_Reg metamethods[] = {{"__len", params_len},
                                       {"__pairs", limit_params},
                                       {"__tostring", params_tostring},
                                       {NULL, NULL}};

void fcgi_lua_params_class(lua_State *L) {
  luaL_newmetatable(L, FCGI_LUA_PARAMS);
  luaL_setfuncs(L, metamethods, 0);
  lua_pushvalue(L, -1);
  luaL_newlib(L, methods);
  lua_pushcclosure(L, params_index, 2);
  lua_setfield(L, -2, "__index");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 1);
}
