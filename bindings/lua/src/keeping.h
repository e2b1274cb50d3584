/* SPDX-License-Identifier: MIT */
/* What a state has of resources. */
#ifndef LUA_KEEPING_H
#define LUA_KEEPING_H

#include "lua_fcgi.h"

/* User values of a resource: the functions of its steps by their names, what
   what was opened, its guard, and what stands for it in get() and with(). */
enum {
  FCGI_LUA_STEPS = 1,
  FCGI_LUA_VALUE,
  FCGI_LUA_GUARD,
  FCGI_LUA_GOT,
  FCGI_LUA_WITH,
  FCGI_LUA_VALUES = FCGI_LUA_WITH
};

/* The value of fcgi.resource, which the registry has by its address. */
typedef struct fcgi_lua_resource {
  fcgi_resource *core;            /* The policy; NULL once collected. */
  fcgi_lua_keeper *keeper;        /* Of the state. */
  struct fcgi_lua_resource *next; /* The one that was made before. */
  uint64_t turn;     /* Changes when what was taken is taken back. */
  uint64_t lent[2];  /* The turn of what with() and get() return; 0: none. */
  unsigned depth;    /* Takes that were not given back. */
  unsigned gets;     /* Those of them that are get()'s. */
  int used;          /* 1: this process, or the one it is a fork of, has begun
                        to open one. */
  const void *shown; /* The server whose status counts it; never followed. */
} fcgi_lua_resource;

/* Carry out steps from `step` on: 0, or an error of the core. Raises for want
   of memory alone. */
int fcgi_lua_resource_finish(lua_State *L, fcgi_lua_resource *self,
                             fcgi_handle *handle, int step);

/* Take it for the state, waiting until then on the clock of the core or, for 0,
   as its options say; and give one take back: 0, or an error of the core. */
int fcgi_lua_resource_take(lua_State *L, fcgi_lua_resource *self,
                           long long until);
int fcgi_lua_resource_give(lua_State *L, fcgi_lua_resource *self);

/* In a fork: forget what is the parent's. */
void fcgi_lua_resource_renew(lua_State *L, fcgi_lua_resource *self);

void fcgi_lua_resource_tidy(lua_State *L, fcgi_lua_resource *self,
                            fcgi_resource_tidying what);

#endif
