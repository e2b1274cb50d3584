/* SPDX-License-Identifier: MIT */
/* What differs between the Lua releases this module is built for. */
#ifndef LUA_FCGI_COMPAT_H
#define LUA_FCGI_COMPAT_H

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#if LUA_VERSION_NUM < 504
#error "the fcgi module needs Lua 5.4 or newer"
#endif

/* Put a coroutine back to its start and close its pending variables. Lua
   5.4.6 gave the function a parameter and a new name. */
#if LUA_VERSION_RELEASE_NUM >= 50406
#define fcgi_lua_reset(co, from) lua_closethread((co), (from))
#else
#define fcgi_lua_reset(co, from) ((void)(from), lua_resetthread(co))
#endif

/* Only the module's entry point is visible from outside. */
#define FCGI_LUA_API __attribute__((visibility("default")))

#endif
