/* SPDX-License-Identifier: MIT */
/* The module table of `require "fcgi"`. Nothing here is static and mutable:
   every lua_State that opens the module has classes of its own. */
#include "lua_fcgi.h"

static const luaL_Reg functions[] = {
    {"serve", fcgi_lua_serve}, {"server", fcgi_lua_server_open}, {NULL, NULL}};

int luaopen_fcgi(lua_State *L) {
  luaL_checkversion(L);
  fcgi_lua_server_class(L);
  fcgi_lua_request_class(L);
  fcgi_lua_params_class(L);
  fcgi_lua_crew_class(L);
  luaL_newlib(L, functions);
  lua_pushfstring(L, "fcgi %s", fcgi_version());
  lua_setfield(L, -2, "_VERSION");
  lua_pushliteral(L, "FastCGI for Lua: programs that stay alive behind a web "
                     "server");
  lua_setfield(L, -2, "_DESCRIPTION");
  return 1;
}
