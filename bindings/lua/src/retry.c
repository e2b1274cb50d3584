/* SPDX-License-Identifier: MIT */
/* A request that fails because a resource broke, which runs once more. */
#include "lua_fcgi.h"

int fcgi_lua_retry(lua_State *L, fcgi_lua_keeper *keeper,
                   fcgi_lua_request *request) {
  if (!fcgi_lua_request_open(request) || request->answered)
    return 0;
  fcgi_lua_keeper_end_all(L, keeper);
  if (!fcgi_request_retry(request->handle, keeper->holder))
    return 0;
  fcgi_lua_request_take(request, fcgi_lua_request_detach(request));
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
