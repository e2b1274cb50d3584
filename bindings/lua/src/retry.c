/* SPDX-License-Identifier: MIT */
/* A request that fails because a resource broke, which runs once more. */
#include "lua_fcgi.h"

static int can_retry(const fcgi_lua_request *request) {
  return fcgi_lua_request_open(request) && !request->answered;
}

/* What the program has kept of the request has ended. */
static int begin_again(const fcgi_lua_keeper *keeper,
                       fcgi_lua_request *request) {
  if (!fcgi_request_retry(request->handle, keeper->holder))
    return 0;
  fcgi_lua_request_take(request, fcgi_lua_request_detach(request));
  return 1;
}

int fcgi_lua_retry(lua_State *L, fcgi_lua_keeper *keeper,
                   fcgi_lua_request *request) {
  if (!can_retry(request))
    return 0;
  fcgi_lua_keeper_end_all(L, keeper);
  return begin_again(keeper, request);
}

/* A body that is still to come may use what the handler has: nothing is given
   back, and what is known by now decides. */
static int is_whole(lua_State *L) {
  return lua_isnil(L, 4) || lua_isstring(L, 4) ||
         (lua_istable(L, 4) && !fcgi_lua_callable(L, 4));
}

/* Nil and a message are an error, which is raised. */
int fcgi_lua_retry_page(lua_State *L, fcgi_lua_keeper *keeper,
                        fcgi_lua_request *request) {
  if (lua_type(L, 2) != LUA_TNUMBER || lua_tonumber(L, 2) < 500)
    return 0;
  if (is_whole(L))
    return fcgi_lua_retry(L, keeper, request);
  if (!can_retry(request) || !begin_again(keeper, request))
    return 0;
  fcgi_lua_keeper_end_all(L, keeper);
  return 1;
}

int fcgi_lua_want_retry(lua_State *L) {
  const fcgi_lua_request *request = fcgi_lua_request_check(L);
  fcgi_lua_keeper *keeper = fcgi_lua_keeper_of(L);
  if (keeper->request != request)
    return luaL_error(L, "want_retry() is for the handler of the request");
  if (!keeper->holder && fcgi_holder_new(&keeper->holder, NULL) < 0)
    return fcgi_lua_fail(L, FCGI_ERR_NOMEM, NULL);
  fcgi_holder_want_retry(keeper->holder);
  lua_pushboolean(L, 1);
  return 1;
}
