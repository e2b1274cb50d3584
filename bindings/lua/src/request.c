/* SPDX-License-Identifier: MIT */
/* fcgi.request: its life and its fields. The value is made before the request
   is taken from the core, so that no error can lose one in between. */
#include "lua_fcgi.h"
#include <stdlib.h>
#include <string.h>

/* The fields, in the order of the functions that push them. */
typedef enum field {
  FIELD_PARAMS,
  FIELD_METHOD,
  FIELD_PATH,
  FIELD_SCRIPT_NAME,
  FIELD_PATH_INFO,
  FIELD_RAW_PATH,
  FIELD_SCRIPT_FILENAME,
  FIELD_ID,
  FIELD_ROLE,
  FIELD_CONTENT_LENGTH,
  FIELD_ABORTED,
  FIELD_DATA_LENGTH,
  FIELD_DATA_MODIFIED,
  FIELD_CTX
} field;

/* A request that the program holds itself ends when it is collected. A serving
   loop finishes its requests, so that they are spared a finalizer: one costs
   the collector more than all the rest of the value. Hence this guard, a value
   of its own. User value 1 is the request's value, 2 the server. */
typedef struct request_guard {
  fcgi_lua_request *request;
} request_guard;

#define GUARD "fcgi.guard"

/* The block of a value with a request of its own. */
typedef struct own_request {
  fcgi_lua_value value;
  fcgi_lua_request request;
} own_request;

/* Requests to lend live as long as the state, because values that the program
   has kept point to them. There are as many as loops were ever nested. */
typedef struct lender {
  fcgi_lua_request *idle; /* Those that no loop uses. */
} lender;

#define LENT "fcgi.lent"

/* Of the lender in the registry; only its address counts. */
static const char lender_key = 0;

static int guard_gc(lua_State *L) {
  request_guard *guard = luaL_checkudata(L, 1, GUARD);
  if (guard->request)
    fcgi_lua_request_release(guard->request, 0);
  guard->request = NULL;
  return 0;
}

/* Guard the request at the top of the stack. */
static void add_guard(lua_State *L, fcgi_lua_request *request,
                      int server_index) {
  request_guard *guard = lua_newuserdatauv(L, sizeof *guard, 2);
  guard->request = request;
  luaL_setmetatable(L, GUARD);
  lua_pushvalue(L, -2);
  lua_setiuservalue(L, -2, 1);
  lua_pushvalue(L, server_index);
  lua_setiuservalue(L, -2, 2);
  lua_setiuservalue(L, -2, 2);
}

fcgi_lua_request *fcgi_lua_request_new(lua_State *L, fcgi_lua_server *server,
                                       int server_index) {
  own_request *own = lua_newuserdatauv(L, sizeof *own, 3);
  own->value = (fcgi_lua_value){.request = &own->request};
  own->request = (fcgi_lua_request){.server = server, .ref = LUA_NOREF};
  luaL_setmetatable(L, FCGI_LUA_REQUEST);
  add_guard(L, &own->request, server_index);
  return &own->request;
}

/* Push a new request to lend. Its user value 1 is the params of the request
   that has it, 2 is its ctx. */
static fcgi_lua_request *push_lent(lua_State *L) {
  fcgi_lua_request *request = lua_newuserdatauv(L, sizeof *request, 2);
  *request = (fcgi_lua_request){.ref = LUA_NOREF};
  luaL_setmetatable(L, LENT);
  lua_pushvalue(L, -1);
  request->ref = luaL_ref(L, LUA_REGISTRYINDEX);
  return request;
}

fcgi_lua_request *fcgi_lua_request_lend(lua_State *L, fcgi_lua_server *server) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &lender_key);
  lender *from = lua_touserdata(L, -1);
  fcgi_lua_request *request = from->idle;
  lua_pop(L, 1);
  if (request) {
    from->idle = request->next;
    lua_rawgeti(L, LUA_REGISTRYINDEX, request->ref);
  } else
    request = push_lent(L);
  request->server = server;
  lua_toclose(L, -1);
  return request;
}

static int lent_close(lua_State *L) {
  fcgi_lua_request *request = luaL_checkudata(L, 1, LENT);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &lender_key);
  lender *from = lua_touserdata(L, -1);
  fcgi_lua_request_release(request, 1);
  lua_pushnil(L);
  lua_setiuservalue(L, 1, 1);
  lua_pushnil(L);
  lua_setiuservalue(L, 1, 2);
  request->has_ctx = 0;
  request->next = from->idle;
  from->idle = request;
  return 0;
}

void fcgi_lua_request_take(fcgi_lua_request *request, fcgi_request *handle) {
  request->turn++;
  request->answered = 0;
  request->handle = handle;
}

void fcgi_lua_request_push(lua_State *L, fcgi_lua_request *request, int class) {
  fcgi_lua_value *value = lua_newuserdatauv(L, sizeof *value, 0);
  *value = (fcgi_lua_value){request, request->turn};
  lua_pushvalue(L, class);
  lua_setmetatable(L, -2);
}

/* A closed server has taken its requests with it. */
int fcgi_lua_request_open(const fcgi_lua_request *request) {
  return request->handle && request->server->handle;
}

static fcgi_lua_request *open_request(const fcgi_lua_value *value) {
  fcgi_lua_request *request = value->request;
  return request->turn == value->turn && fcgi_lua_request_open(request)
             ? request
             : NULL;
}

fcgi_lua_request *fcgi_lua_request_at(lua_State *L, int index) {
  return open_request(lua_touserdata(L, index));
}

/* Any request as argument 1: NULL when finished. */
static fcgi_lua_request *check_any(lua_State *L) {
  return open_request(luaL_checkudata(L, 1, FCGI_LUA_REQUEST));
}

/* Upvalue 1 of every method is the metatable: comparing it takes half the
   time of luaL_checkudata, which looks a name up. */
fcgi_lua_request *fcgi_lua_request_check(lua_State *L) {
  const fcgi_lua_value *value = lua_touserdata(L, 1);
  if (!value || !lua_getmetatable(L, 1) ||
      !lua_rawequal(L, -1, lua_upvalueindex(1)))
    luaL_typeerror(L, 1, FCGI_LUA_REQUEST);
  lua_pop(L, 1);
  fcgi_lua_request *request = open_request(value);
  if (!request)
    luaL_error(L, "the request is finished");
  return request;
}

static void forget(fcgi_lua_ahead *ahead) {
  if (!ahead->bytes)
    return;
  free(ahead->bytes);
  *ahead = (fcgi_lua_ahead){0};
}

fcgi_request *fcgi_lua_request_detach(fcgi_lua_request *request) {
  fcgi_request *handle = NULL;
  if (fcgi_lua_request_open(request))
    handle = request->handle;
  request->handle = NULL;
  forget(&request->body);
  forget(&request->data);
  return handle;
}

int fcgi_lua_request_end(fcgi_lua_request *request, uint32_t app_status) {
  fcgi_request *handle = fcgi_lua_request_detach(request);
  return handle ? fcgi_request_end(handle, app_status) : 0;
}

void fcgi_lua_request_release(fcgi_lua_request *request, int failed) {
  fcgi_request *handle = fcgi_lua_request_detach(request);
  if (!handle)
    return;
  if (failed || !request->answered)
    fcgi_request_fail(handle);
  else
    fcgi_request_end(handle, 0);
}

/* A serving loop does it for those that it lends. */
static void end_ctx(lua_State *L, fcgi_lua_request *request, int index) {
  if (request->has_ctx && request->ref == LUA_NOREF)
    fcgi_lua_ctx_end(L, request, index);
}

void fcgi_lua_request_leave(lua_State *L, fcgi_lua_request *request, int index,
                            int failed) {
  fcgi_lua_request_release(request, failed);
  end_ctx(L, request, index);
}

static int request_finish(lua_State *L) {
  fcgi_lua_request *request = check_any(L);
  lua_Integer app_status = luaL_optinteger(L, 2, 0);
  luaL_argcheck(L, app_status >= 0 && app_status <= UINT32_MAX, 2,
                "an application status is 0 to 4294967295");
  int code = request ? fcgi_lua_request_end(request, (uint32_t)app_status) : 0;
  end_ctx(L, ((fcgi_lua_value *)lua_touserdata(L, 1))->request, 1);
  if (code < 0)
    return fcgi_lua_fail(L, code, NULL);
  lua_pushboolean(L, 1);
  return 1;
}

/* Argument 2 of __close is the error that ends the scope, if one does. */
static int request_close(lua_State *L) {
  fcgi_lua_request *request = check_any(L);
  if (request)
    fcgi_lua_request_release(request, !lua_isnoneornil(L, 2));
  end_ctx(L, ((fcgi_lua_value *)lua_touserdata(L, 1))->request, 1);
  return 0;
}

static int request_tostring(lua_State *L) {
  if (check_any(L))
    lua_pushfstring(L, "%s: %p", FCGI_LUA_REQUEST, lua_topointer(L, 1));
  else
    lua_pushliteral(L, FCGI_LUA_REQUEST " (finished)");
  return 1;
}

static int push_aborted(lua_State *L, fcgi_request *request) {
  const char *reason = fcgi_abort_name(fcgi_request_aborted(request));
  if (reason)
    lua_pushstring(L, reason);
  else
    lua_pushboolean(L, 0);
  return 1;
}

static int push_known(lua_State *L, int64_t number) {
  if (number < 0)
    lua_pushnil(L);
  else
    lua_pushinteger(L, number);
  return 1;
}

static int push_known_text(lua_State *L, const char *text, size_t len) {
  if (text)
    lua_pushlstring(L, text, len);
  else
    lua_pushnil(L);
  return 1;
}

static int push_method(lua_State *L, const fcgi_request *request) {
  size_t len;
  const char *method =
      fcgi_params_get(fcgi_request_params(request), "REQUEST_METHOD", 14, &len);
  return push_known_text(L, method, len);
}

static int push_path(lua_State *L, fcgi_request *request, field which) {
  fcgi_path path;
  if (fcgi_request_path(request, &path) < 0)
    return luaL_error(L, "not enough memory");
  if (which == FIELD_SCRIPT_NAME)
    lua_pushlstring(L, path.script_name, path.script_name_len);
  else if (which == FIELD_PATH_INFO)
    lua_pushlstring(L, path.path_info, path.path_info_len);
  else
    lua_pushlstring(L, path.path, path.path_len);
  return 1;
}

static int push_raw_path(lua_State *L, fcgi_request *request) {
  size_t len;
  const char *raw = fcgi_request_raw_path(request, &len);
  return push_known_text(L, raw, len);
}

static int push_script_filename(lua_State *L, const fcgi_request *request) {
  size_t len;
  const char *file = fcgi_request_script_filename(request, &len);
  return push_known_text(L, file, len);
}

static int push_field(lua_State *L, field which) {
  fcgi_lua_request *checked = fcgi_lua_request_check(L);
  fcgi_request *request = checked->handle;
  switch (which) {
  case FIELD_PARAMS:
    fcgi_lua_params_push(L, checked, 1, lua_upvalueindex(3));
    return 1;
  case FIELD_METHOD:
    return push_method(L, request);
  case FIELD_PATH:
  case FIELD_SCRIPT_NAME:
  case FIELD_PATH_INFO:
    return push_path(L, request, which);
  case FIELD_RAW_PATH:
    return push_raw_path(L, request);
  case FIELD_SCRIPT_FILENAME:
    return push_script_filename(L, request);
  case FIELD_ID:
    lua_pushinteger(L, fcgi_request_id(request));
    return 1;
  case FIELD_ROLE:
    lua_pushstring(L, fcgi_request_role_name(request));
    return 1;
  case FIELD_CONTENT_LENGTH:
    return push_known(L, fcgi_request_content_length(request));
  case FIELD_DATA_LENGTH:
    return push_known(L, fcgi_request_data_length(request));
  case FIELD_DATA_MODIFIED:
    return push_known(L, fcgi_request_data_modified(request));
  case FIELD_ABORTED:
    return push_aborted(L, request);
  case FIELD_CTX:
    fcgi_lua_ctx_push(L, checked, 1);
    return 1;
  }
  return 0;
}

/* Upvalue 2 maps a name to a method, or to the number of a field; 3 is the
   metatable of params. */
static int request_index(lua_State *L) {
  lua_settop(L, 2);
  if (lua_rawget(L, lua_upvalueindex(2)) == LUA_TNUMBER)
    return push_field(L, (field)lua_tointeger(L, -1));
  return 1;
}

static const luaL_Reg methods[] = {{"read", fcgi_lua_read},
                                   {"read_some", fcgi_lua_read_some},
                                   {"lines", fcgi_lua_lines},
                                   {"read_data", fcgi_lua_read_data},
                                   {"allow", fcgi_lua_allow},
                                   {"start", fcgi_lua_start},
                                   {"write", fcgi_lua_write},
                                   {"reply", fcgi_lua_reply},
                                   {"send_file", fcgi_lua_send_file},
                                   {"flush", fcgi_lua_flush},
                                   {"set_timeout", fcgi_lua_set_timeout},
                                   {"log", fcgi_lua_log},
                                   {"want_retry", fcgi_lua_want_retry},
                                   {"query", fcgi_lua_query},
                                   {"form", fcgi_lua_form},
                                   {"cookies", fcgi_lua_cookies},
                                   {"finish", request_finish},
                                   {"close", request_finish},
                                   {NULL, NULL}};

static const luaL_Reg metamethods[] = {
    {"__close", request_close}, {"__tostring", request_tostring}, {NULL, NULL}};

static void add_fields(lua_State *L) {
  static const char *const names[] = {
      "params",          "method",    "path",
      "script_name",     "path_info", "raw_path",
      "script_filename", "id",        "role",
      "content_length",  "aborted",   "data_length",
      "data_modified",   "ctx"};
  for (int i = 0; i < (int)(sizeof names / sizeof *names); i++) {
    lua_pushinteger(L, i);
    lua_setfield(L, -2, names[i]);
  }
}

/* The module may be opened twice in one state. */
static void add_lender(lua_State *L) {
  luaL_newmetatable(L, LENT);
  lua_pushcfunction(L, lent_close);
  lua_setfield(L, -2, "__close");
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &lender_key) == LUA_TNIL) {
    lender *made = lua_newuserdatauv(L, sizeof *made, 0);
    made->idle = NULL;
    lua_rawsetp(L, LUA_REGISTRYINDEX, &lender_key);
  }
  lua_pop(L, 2);
}

/* That of params is there already. */
void fcgi_lua_request_class(lua_State *L) {
  luaL_newmetatable(L, FCGI_LUA_REQUEST);
  luaL_setfuncs(L, metamethods, 0);
  lua_pushvalue(L, -1);
  luaL_newlibtable(L, methods);
  lua_pushvalue(L, -2);
  luaL_setfuncs(L, methods, 1);
  add_fields(L);
  luaL_getmetatable(L, FCGI_LUA_PARAMS);
  lua_pushcclosure(L, request_index, 3);
  lua_setfield(L, -2, "__index");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  luaL_newmetatable(L, GUARD);
  lua_pushcfunction(L, guard_gc);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 2);
  add_lender(L);
}
