/* SPDX-License-Identifier: MIT */
/* The table of roles: handlers of standard ones by name, and custom ones with
   their number and streams. */
#include "lua_fcgi.h"
#include <string.h>

enum { ROLES_MOST = 64 }; /* More than any application has. */

static const fcgi_role_spec standard[] = {FCGI_ROLE_SPECS};

static const fcgi_role_spec *find_standard(const char *name) {
  for (size_t i = 0; i < sizeof standard / sizeof *standard; i++)
    if (!strcmp(standard[i].name, name))
      return &standard[i];
  return NULL;
}

static int bad_role(lua_State *L, const char *name, const char *wanted) {
  return luaL_error(L, "role '%s': %s", name, wanted);
}

/* A number from 1 on that is not a standard role's. */
static uint16_t number_at(lua_State *L, int index, const char *name) {
  int exact = 0;
  lua_getfield(L, index, "number");
  lua_Integer number =
      lua_type(L, -1) == LUA_TNUMBER ? lua_tointegerx(L, -1, &exact) : 0;
  lua_pop(L, 1);
  if (!exact || number < 4 || number > 65535)
    bad_role(L, name, "a custom role needs a 'number' from 4 to 65535");
  return (uint16_t)number;
}

static fcgi_role_streams streams_at(lua_State *L, int index, const char *name) {
  static const char *const names[] = {"none", "stdin", "stdin+data"};
  int found = FCGI_STREAMS_STDIN;
  if (lua_getfield(L, index, "streams") != LUA_TNIL) {
    const char *text = lua_tostring(L, -1);
    for (found = 0; found < 3 && (!text || strcmp(text, names[found])); found++)
      ;
  }
  lua_pop(L, 1);
  if (found == 3)
    bad_role(L, name,
             "'streams' must be \"none\", \"stdin\" or \"stdin+data\"");
  return (fcgi_role_streams)found;
}

/* Read the pair at the top, a name and what is said of it, into `out`; its
   handler, or nil, takes the place of the latter. */
static void read_role(lua_State *L, fcgi_role_spec *out) {
  int value = lua_gettop(L);
  if (lua_type(L, value - 1) != LUA_TSTRING)
    luaL_error(L, "roles are named: found a %s as a key",
               luaL_typename(L, value - 1));
  const char *name = lua_tostring(L, value - 1);
  const fcgi_role_spec *known = find_standard(name);
  if (known)
    *out = *known;
  else if (!lua_istable(L, value))
    bad_role(L, name,
             "a custom role is a table with 'number', 'streams' and 'handler'");
  else
    *out = (fcgi_role_spec){number_at(L, value, name),
                            streams_at(L, value, name), name};
  if (!known) {
    lua_getfield(L, value, "handler");
    lua_replace(L, value);
  }
  if (!fcgi_lua_callable(L, value) && (known || !lua_isnil(L, value)))
    bad_role(L, name, "the handler must be a function");
}

static void check_unique(lua_State *L, const fcgi_role_spec *roles,
                         size_t count) {
  for (size_t i = 0; i + 1 < count; i++)
    if (roles[i].number == roles[count - 1].number)
      luaL_error(L, "roles '%s' and '%s' have the same number", roles[i].name,
                 roles[count - 1].name);
}

/* Read the table at `index` into `out`; its handlers go into the table at the
   top, by number. Returns how many roles. */
static size_t read_all(lua_State *L, int index, int responder,
                       fcgi_role_spec *out) {
  int handlers = lua_gettop(L);
  size_t count = 0;
  lua_pushnil(L);
  while (lua_next(L, index)) {
    if (count == ROLES_MOST - 1)
      luaL_error(L, "more than %d roles", (int)ROLES_MOST - 1);
    read_role(L, &out[count++]);
    check_unique(L, out, count);
    responder &= out[count - 1].number != FCGI_ROLE_RESPONDER;
    lua_rawseti(L, handlers, out[count - 1].number);
  }
  if (count == 0)
    luaL_error(L, "option 'roles' is an empty table");
  if (responder)
    out[count++] = standard[0];
  return count;
}

/* Push one block with the list and then the names: the table that they are
   from may change. */
static const fcgi_role_spec *
push_copy(lua_State *L, const fcgi_role_spec *roles, size_t count) {
  size_t size = count * sizeof *roles;
  for (size_t i = 0; i < count; i++)
    size += strlen(roles[i].name) + 1;
  fcgi_role_spec *made = lua_newuserdatauv(L, size, 0);
  char *name = (char *)(made + count);
  for (size_t i = 0; i < count; i++) {
    made[i] = roles[i];
    made[i].name = strcpy(name, roles[i].name);
    name += strlen(name) + 1;
  }
  return made;
}

void fcgi_lua_roles_take(lua_State *L, int server, int index, int responder) {
  fcgi_lua_server *value = lua_touserdata(L, server);
  fcgi_role_spec roles[ROLES_MOST];
  if (lua_isnil(L, index))
    return;
  if (!lua_istable(L, index))
    luaL_error(L, "option 'roles' must be a table (got a %s)",
               luaL_typename(L, index));
  lua_newtable(L);
  size_t count = read_all(L, index, responder, roles);
  lua_setiuservalue(L, server, 1);
  value->roles = push_copy(L, roles, count);
  value->role_count = count;
  lua_setiuservalue(L, server, 2);
}

int fcgi_lua_roles_set(const fcgi_lua_server *server, fcgi_server *handle) {
  return server->roles
             ? fcgi_server_set_roles(handle, server->roles, server->role_count)
             : 0;
}
