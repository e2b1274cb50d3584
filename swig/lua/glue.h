/* SPDX-License-Identifier: MIT */
/* C for Lua 5.4, compiled into the wrapper. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FCGI_RAISE(code, text)                                                 \
  do {                                                                         \
    fcgi_push_error(L, code, text);                                            \
    SWIG_fail;                                                                 \
  } while (0)
#define FCGI_PARKED(handler) (((fcgi_closure *)(handler)->closure)->parked)
#define FCGI_RETHROW(handler)                                                  \
  do {                                                                         \
    lua_pushvalue(L, ((fcgi_closure *)(handler)->closure)->error);             \
    SWIG_fail;                                                                 \
  } while (0)
#define FCGI_UNLOCK
#define FCGI_LOCK

/* What keeps os.exit from ending the process. */
typedef struct fcgi_guard {
  int inside; /* How many handlers run in the state. */
  pid_t pid;  /* In which process. */
} fcgi_guard;

/* One loop, in the coroutine that entered it. The numbers are slots of its
   stack, filled before the loop, so that the loop itself allocates nothing
   outside protected calls. */
typedef struct fcgi_closure {
  lua_State *L; /* The coroutine. */
  int function; /* Slot of the handler. */
  int keeper;   /* Slot of fcgi_keep_trace, whose upvalue is the traceback. */
  int error;    /* Slot of the parked error. */
  int parked;   /* 1 when there is one. */
  fcgi_guard *guard; /* Of the state. */
} fcgi_closure;

/* --- Values --------------------------------------------------------------- */

/* Call a C function with light userdata, free that, and only then raise. */
static void fcgi_push(lua_State *L, lua_CFunction push, void *value,
                      void (*release)(void *, int failed)) {
  lua_pushcfunction(L, push);
  lua_pushlightuserdata(L, value);
  int failed = lua_pcall(L, 1, 1, 0) != LUA_OK;
  release(value, failed);
  if (failed)
    lua_error(L);
}

static int fcgi_push_bytes(lua_State *L) {
  const shim_bytes *bytes = lua_touserdata(L, 1);
  if (bytes->data)
    lua_pushlstring(L, bytes->data, bytes->len);
  else
    lua_pushnil(L);
  return 1;
}

static void fcgi_free_bytes(void *value, int failed) {
  (void)failed;
  shim_bytes_free(value);
}

static int fcgi_push_pairs(lua_State *L) {
  const shim_pairs *pairs = lua_touserdata(L, 1);
  lua_createtable(L, 0, (int)pairs->count);
  for (size_t i = 0; i < pairs->count; i++) {
    const fcgi_param *pair = &pairs->items[i];
    lua_pushlstring(L, pair->name, pair->name_len);
    lua_pushlstring(L, pair->value, pair->value_len);
    lua_rawset(L, -3);
  }
  return 1;
}

static void fcgi_free_pairs(void *value, int failed) {
  (void)failed;
  shim_pairs_free(value);
}

/* The proxy owns the request from its making on. */
static int fcgi_push_request(lua_State *L) {
  shim_request *request = lua_touserdata(L, 1);
  if (request)
    SWIG_NewPointerObj(L, request, SWIGTYPE_p_shim_request, 1);
  else
    lua_pushnil(L);
  return 1;
}

static void fcgi_free_request(void *value, int failed) {
  if (failed)
    shim_request_free(value);
}

/* --- Errors --------------------------------------------------------------- */

static int fcgi_error_tostring(lua_State *L) {
  lua_getfield(L, 1, "message");
  return 1;
}

/* An error is a table {code = "TRUNCATED", message = "..."}; as text, the
   message with the line that made the call. */
static void fcgi_push_error(lua_State *L, int code, const char *text) {
  lua_createtable(L, 0, 2);
  lua_pushstring(L, fcgi_error_name(code));
  lua_setfield(L, -2, "code");
  luaL_where(L, 1);
  lua_pushstring(L, text);
  lua_concat(L, 2);
  lua_setfield(L, -2, "message");
  if (luaL_newmetatable(L, "fcgi_swig.error")) {
    lua_pushcfunction(L, fcgi_error_tostring);
    lua_setfield(L, -2, "__tostring");
  }
  lua_setmetatable(L, -2);
}

/* --- Handlers ------------------------------------------------------------- */

static int fcgi_is_callable(lua_State *L, int index) {
  if (lua_isfunction(L, index))
    return 1;
  if (!luaL_getmetafield(L, index, "__call"))
    return 0;
  lua_pop(L, 1);
  return 1;
}

static int fcgi_shown(lua_State *L) {
  luaL_tolstring(L, 1, NULL);
  return 1;
}

/* The message handler: note the traceback, and leave the error as it is, also
   where its __tostring fails. */
static int fcgi_keep_trace(lua_State *L) {
  lua_pushcfunction(L, fcgi_shown);
  lua_pushvalue(L, 1);
  if (lua_pcall(L, 1, 1, 0) != LUA_OK)
    lua_pushstring(L, "an error that cannot be shown");
  luaL_traceback(L, L, lua_tostring(L, -1), 1);
  lua_replace(L, lua_upvalueindex(1));
  lua_settop(L, 1);
  return 1;
}

/* os.exit would take the process from under all other requests. The upvalues
   are what it was, and the guard. */
static int fcgi_exit(lua_State *L) {
  const fcgi_guard *guard = lua_touserdata(L, lua_upvalueindex(2));
  if (guard->inside > 0 && guard->pid == getpid())
    return luaL_error(L, "os.exit was called: it ends the request, as the "
                         "process serves others");
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, 0);
  return 0;
}

/* The guard of the state, whose os.exit looks at it from the first loop on. */
static fcgi_guard *fcgi_guard_exit(lua_State *L) {
  static const char name[] = "fcgi_swig.exit";
  if (lua_getfield(L, LUA_REGISTRYINDEX, name) == LUA_TNIL) {
    fcgi_guard *made = lua_newuserdatauv(L, sizeof *made, 0);
    *made = (fcgi_guard){0, 0};
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, name);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    if (lua_getfield(L, -1, "os") == LUA_TTABLE) {
      lua_getfield(L, -1, "exit");
      lua_pushvalue(L, -4);
      lua_pushcclosure(L, fcgi_exit, 2);
      lua_setfield(L, -2, "exit");
    }
    lua_pop(L, 3);
    lua_getfield(L, LUA_REGISTRYINDEX, name);
    lua_remove(L, -2);
  }
  fcgi_guard *guard = lua_touserdata(L, -1);
  lua_pop(L, 1);
  guard->pid = getpid();
  return guard;
}

static void fcgi_closure_begin(fcgi_closure *closure) {
  lua_State *L = closure->L;
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  closure->guard = fcgi_guard_exit(L);
  lua_pushnil(L);
  lua_pushcclosure(L, fcgi_keep_trace, 1);
  closure->keeper = lua_gettop(L);
  lua_pushnil(L);
  closure->error = lua_gettop(L);
}

/* Protected: call the handler; without a request let debug hooks run, by which
   the program lua takes Ctrl-C. */
static int fcgi_call_held(lua_State *L) {
  shim_request **request = lua_touserdata(L, 2);
  lua_settop(L, 1);
  if (!*request)
    return 0;
  SWIG_NewPointerObj(L, *request, SWIGTYPE_p_shim_request, 1);
  *request = NULL;
  lua_call(L, 1, 0);
  return 0;
}

/* Protected: the outcome that the error stands for. */
static int fcgi_judge(lua_State *L) {
  int is_ours = lua_getmetatable(L, 1) &&
                luaL_getmetatable(L, "fcgi_swig.error") == LUA_TTABLE &&
                lua_rawequal(L, -1, -2) &&
                lua_getfield(L, 1, "code") == LUA_TSTRING;
  lua_pushinteger(L, shim_failure(is_ours ? lua_tostring(L, -1) : NULL));
  return 1;
}

static shim_outcome fcgi_failure(const fcgi_closure *closure) {
  lua_State *L = closure->L;
  shim_outcome outcome = SHIM_FAILED;
  lua_pushcfunction(L, fcgi_judge);
  lua_pushvalue(L, closure->error);
  if (lua_pcall(L, 1, 1, 0) == LUA_OK)
    outcome = (shim_outcome)lua_tointeger(L, -1);
  lua_pop(L, 1);
  return outcome;
}

static shim_outcome fcgi_call(void *data, shim_request *request) {
  fcgi_closure *closure = data;
  lua_State *L = closure->L;
  shim_outcome failed = request ? SHIM_FAILED : SHIM_LEAVE;
  lua_pushcfunction(L, fcgi_call_held);
  lua_pushvalue(L, closure->function);
  lua_pushlightuserdata(L, &request);
  closure->guard->inside += request != NULL;
  int status = lua_pcall(L, 2, 0, closure->keeper);
  closure->guard->inside -= failed == SHIM_FAILED;
  if (status == LUA_OK)
    return SHIM_DONE;
  if (request)
    shim_request_free(request);
  lua_replace(L, closure->error);
  closure->parked = 1;
  return failed == SHIM_FAILED ? fcgi_failure(closure) : failed;
}

static void fcgi_report(void *data, const shim_log *log) {
  fcgi_closure *closure = data;
  lua_State *L = closure->L;
  lua_getupvalue(L, closure->keeper, 1);
  const char *trace = lua_tostring(L, -1);
  trace = trace ? trace : "the handler failed";
  shim_log_write(log, trace, strlen(trace));
  lua_pop(L, 1);
  lua_pushnil(L);
  lua_replace(L, closure->error);
  closure->parked = 0;
}

/* --- Functions of resources ------------------------------------------------
 */

/* What the registry holds. It is called in a coroutine of its own: any other
   may be gone by then. */
typedef struct fcgi_reference {
  lua_State *calls; /* That coroutine. */
  int at;           /* Where the registry has it. */
} fcgi_reference;

/* One call. */
typedef struct fcgi_calling {
  const fcgi_reference *function; /* What is called. */
  const fcgi_reference *value;    /* With what; NULL: with nothing. */
  void **result;                  /* Where the reference goes; NULL: nowhere. */
  fcgi_guard *guard;              /* Of os.exit, NULL before the first loop. */
  int outcome;                    /* 0: it has returned false. */
} fcgi_calling;

static lua_State *fcgi_calls(lua_State *L) {
  static const char name[] = "fcgi_swig.calls";
  if (lua_getfield(L, LUA_REGISTRYINDEX, name) != LUA_TTHREAD) {
    lua_pop(L, 1);
    lua_newthread(L);
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, name);
  }
  lua_State *calls = lua_tothread(L, -1);
  lua_pop(L, 1);
  return calls;
}

/* Of what is at the top, which is popped. */
static void *fcgi_refer(lua_State *L) {
  lua_State *calls = fcgi_calls(L);
  int at = luaL_ref(L, LUA_REGISTRYINDEX);
  fcgi_reference *reference = malloc(sizeof *reference);
  if (!reference) {
    luaL_unref(L, LUA_REGISTRYINDEX, at);
    luaL_error(L, "out of memory");
  }
  *reference = (fcgi_reference){calls, at};
  return reference;
}

/* Protected: nil and a message are an error, as LuaSQL has it. */
static int fcgi_call_function(lua_State *L) {
  fcgi_calling *calling = lua_touserdata(L, 1);
  if (lua_getfield(L, LUA_REGISTRYINDEX, "fcgi_swig.exit") == LUA_TUSERDATA) {
    calling->guard = lua_touserdata(L, -1);
    calling->guard->inside++;
  }
  lua_rawgeti(L, LUA_REGISTRYINDEX, calling->function->at);
  if (calling->value)
    lua_rawgeti(L, LUA_REGISTRYINDEX, calling->value->at);
  lua_call(L, calling->value != NULL, 2);
  if (lua_isnil(L, -2) && !lua_isnil(L, -1))
    return lua_error(L);
  lua_pop(L, 1);
  calling->outcome = !lua_isboolean(L, -1) || lua_toboolean(L, -1);
  if (calling->result)
    *calling->result = lua_isnil(L, -1) ? NULL : fcgi_refer(L);
  return 0;
}

/* One line of the error at the top. */
static void fcgi_line(lua_State *L, char *why, size_t len) {
  lua_pushcfunction(L, fcgi_shown);
  lua_pushvalue(L, -2);
  const char *text = lua_pcall(L, 1, 1, 0) == LUA_OK
                         ? lua_tostring(L, -1)
                         : "an error that cannot be shown";
  snprintf(why, len, "%.*s", (int)strcspn(text, "\n"), text);
}

static int fcgi_function_call(void *function, void *value, void **result,
                              char *why, size_t len) {
  fcgi_calling calling = {function, value, result, NULL, -1};
  lua_State *L = calling.function->calls;
  int top = lua_gettop(L);
  if (!lua_checkstack(L, LUA_MINSTACK))
    return snprintf(why, len, "the stack is full"), -1;
  lua_pushcfunction(L, fcgi_call_function);
  lua_pushlightuserdata(L, &calling);
  int failed = lua_pcall(L, 1, 0, 0) != LUA_OK;
  if (calling.guard)
    calling.guard->inside--;
  if (failed)
    fcgi_line(L, why, len);
  lua_settop(L, top);
  return failed ? -1 : calling.outcome;
}

static void fcgi_function_drop(void *data) {
  fcgi_reference *reference = data;
  luaL_unref(reference->calls, LUA_REGISTRYINDEX, reference->at);
  free(reference);
}
