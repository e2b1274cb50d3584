/* SPDX-License-Identifier: MIT */
/* The module table of `require "fcgi"`. Nothing here is static and mutable:
   every lua_State that opens the module has classes of its own. */
#include "lua_fcgi.h"

/* fcgi.serve_address(arg): its first text, or nil when a CGI server has put the
   client's words there. */
static int serve_address(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  int given = lua_geti(L, 1, 1) != LUA_TNIL;
  luaL_argcheck(L, !given || lua_type(L, -1) == LUA_TSTRING, 1,
                "the table 'arg' holds strings");
  union {
    const char *text;
    char *word;
  } first = {lua_tostring(L, -1)}; /* Nothing is written through it. */
  char *words[] = {NULL, first.word};
  lua_pushstring(L, fcgi_serve_address(given ? 2 : 1, words));
  return 1;
}

static const luaL_Reg functions[] = {
    {"serve", fcgi_lua_serve},           {"serve_address", serve_address},
    {"resource", fcgi_lua_resource_new}, {"server", fcgi_lua_server_open},
    {"shared", fcgi_lua_shared},         {NULL, NULL}};

int luaopen_fcgi(lua_State *L) {
  luaL_checkversion(L);
  fcgi_standard_hold();
  fcgi_lua_server_class(L);
  fcgi_lua_params_class(L);
  fcgi_lua_request_class(L);
  fcgi_lua_crew_class(L);
  fcgi_lua_shared_class(L);
  fcgi_lua_resource_class(L);
  luaL_newlib(L, functions);
  lua_pushfstring(L, "fcgi %s", fcgi_version());
  lua_setfield(L, -2, "_VERSION");
  lua_pushliteral(L, "FastCGI for Lua: programs that stay alive behind a web "
                     "server");
  lua_setfield(L, -2, "_DESCRIPTION");
  return 1;
}
