/* SPDX-License-Identifier: MIT */
/* req.ctx, a table of the request's own: it is made when it is first asked for,
   and what it holds is closed when the request ends. */
#include "lua_fcgi.h"
#include <string.h>

/* Of a lent request's block, and of the value of one with a request of its own.
   The latter's user value 2 is its guard. */
enum { OF_LENT = 2, OF_OWN = 3 };

/* Push what keeps the table, and return the number of its user value. */
static int push_keeper(lua_State *L, const fcgi_lua_request *request,
                       int index) {
  if (request->ref == LUA_NOREF) {
    lua_pushvalue(L, index);
    return OF_OWN;
  }
  lua_rawgeti(L, LUA_REGISTRYINDEX, request->ref);
  return OF_LENT;
}

void fcgi_lua_ctx_push(lua_State *L, fcgi_lua_request *request, int index) {
  int slot = push_keeper(L, request, index);
  if (!request->has_ctx) {
    lua_newtable(L);
    lua_setiuservalue(L, -2, slot);
    request->has_ctx = 1;
  }
  lua_getiuservalue(L, -1, slot);
  lua_remove(L, -2);
}

/* The handler may have closed the server. */
static void tell(lua_State *L, const fcgi_lua_request *request) {
  const char *text = lua_tostring(L, -1);
  fcgi_server *server = request->server->handle;
  if (server && text)
    fcgi_server_log(server, FCGI_LOG_ERROR, text, strlen(text));
}

/* Close what is at the top, if it can be closed, and pop it. */
static void close_value(lua_State *L, const fcgi_lua_request *request) {
  if (luaL_getmetafield(L, -1, "__close") == LUA_TNIL) {
    lua_pop(L, 1);
    return;
  }
  lua_insert(L, -2);
  lua_pushnil(L);
  if (lua_pcall(L, 2, 0, 0) != LUA_OK) {
    lua_pushliteral(L, "fcgi: closing what req.ctx holds: ");
    lua_insert(L, -2);
    fcgi_lua_error_text(L);
    lua_concat(L, 2);
    tell(L, request);
    lua_pop(L, 1);
  }
}

/* Protected: argument 1 is the table, 2 the request. */
static int close_all(lua_State *L) {
  const fcgi_lua_request *request = lua_touserdata(L, 2);
  lua_settop(L, 1);
  lua_pushnil(L);
  while (lua_next(L, 1))
    close_value(L, request);
  return 0;
}

void fcgi_lua_ctx_end(lua_State *L, fcgi_lua_request *request, int index) {
  int slot = push_keeper(L, request, index);
  lua_pushcfunction(L, close_all);
  lua_getiuservalue(L, -2, slot);
  lua_pushlightuserdata(L, request);
  request->has_ctx = 0;
  lua_pushnil(L);
  lua_setiuservalue(L, -5, slot);
  if (lua_pcall(L, 2, 0, 0) != LUA_OK) {
    tell(L, request);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}
