/* SPDX-License-Identifier: MIT */
/* fcgi.client, which fcgi.test is made of: a connection to an application, as a
   web server has it. Where the application is a handler of this state, a
   thread without Lua moves the connection's bytes while the handler runs, so
   that neither side ever waits for the other in vain. */
#include "lua_fcgi.h"
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CONNECTION "fcgi.connection"

enum {
  TICK_MS = 1,           /* How often waiting looks around. */
  OUTPUT_MOST = 1 << 30, /* Bytes that can be queued at once. */
  NAMES_MOST = 64        /* Values asked for at once. */
};

/* An event that has come and was not yet asked for. Its bytes follow it; of
   VALUES they are the lengths and texts of names and values in turn. */
typedef struct news {
  struct news *next;
  fcgi_peer_event event;
} news;

/* User value 1 is the server that serves meanwhile, 2 its handler. */
typedef struct connection {
  fcgi_client *client;     /* NULL once closed. */
  fcgi_lua_server *server; /* In this state, or NULL. */
  news *first;             /* What has come, oldest first. */
  news **last;             /* Where the next is linked. */
  int timeout_ms;          /* For anything that is waited for. */
  int busy;                /* Its thread has it. */
  int code;                /* What the thread ended with. */
  long long until;         /* When that gives up. */
  atomic_int enough;       /* The thread has something, or no hope. */
  atomic_int stop;         /* The thread may end when it has. */
} connection;

static long long now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000LL + time.tv_nsec / 1000000;
}

static long long after(int ms) {
  return ms < 0 ? INT64_MAX : now() + ms;
}

static connection *check_any(lua_State *L) {
  return luaL_checkudata(L, 1, CONNECTION);
}

static connection *check(lua_State *L) {
  connection *c = check_any(L);
  if (!c->client)
    luaL_error(L, "the connection is closed");
  if (c->busy)
    luaL_error(L, "the connection is waiting for an answer");
  return c;
}

static fcgi_peer *peer_of(lua_State *L) {
  return fcgi_client_peer(check(L)->client);
}

/* What a method that queues returns. */
static int result(lua_State *L, int code) {
  if (code < 0)
    return fcgi_lua_fail(L, code, NULL);
  lua_settop(L, 1);
  return 1;
}

static int fail(lua_State *L, const connection *c, int code) {
  return fcgi_lua_fail(L, code,
                       c->client ? fcgi_client_message(c->client) : NULL);
}

static char *put_text(char *out, const char *text, size_t len) {
  memcpy(out, &len, sizeof len);
  memcpy(out + sizeof len, text, len);
  return out + sizeof len + len;
}

/* The bytes of reported values; written if `out` is given. */
static size_t pack_values(const fcgi_params *values, char *out) {
  fcgi_param pair;
  size_t size = 0;
  for (size_t i = 0; fcgi_params_at(values, i, &pair) == 0; i++) {
    size += 2 * sizeof(size_t) + pair.name_len + pair.value_len;
    if (out) {
      out = put_text(out, pair.name, pair.name_len);
      out = put_text(out, pair.value, pair.value_len);
    }
  }
  return size;
}

/* Copy an event, which is only lent, to the end of the list. */
static int keep(connection *c, const fcgi_peer_event *event) {
  int values = event->type == FCGI_PEER_EVENT_VALUES;
  size_t len = values ? pack_values(event->values, NULL) : event->len;
  news *item = malloc(sizeof *item + len);
  if (!item)
    return FCGI_ERR_NOMEM;
  item->next = NULL;
  item->event = *event;
  item->event.len = len;
  if (values)
    pack_values(event->values, (char *)(item + 1));
  else if (len)
    memcpy(item + 1, event->data, len);
  *c->last = item;
  c->last = &item->next;
  return 1;
}

/* Send and receive: 1 when there is one event more, or what
   fcgi_client_next returned. */
static int take(connection *c, int ms) {
  const fcgi_peer_event *event;
  int code = fcgi_client_next(c->client, &event, ms);
  return code == 1 ? keep(c, event) : code;
}

/* It goes on after the first event: a handler that writes much must find a
   reader until it returns. */
static void *move_bytes(void *data) {
  connection *c = data;
  int code;
  do {
    code = take(c, TICK_MS);
    if (code != FCGI_ERR_TIMEOUT || now() >= c->until)
      atomic_store(&c->enough, 1);
  } while ((code == 1 || code == FCGI_ERR_TIMEOUT) &&
           !(atomic_load(&c->stop) && atomic_load(&c->enough)));
  c->code = code;
  return NULL;
}

static int start_thread(pthread_t *thread, connection *c) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = pthread_create(thread, NULL, move_bytes, c);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return error;
}

/* A child that the handler has forked lacks the thread. What that was doing to
   the connection stays half done, so nothing of it can be used or freed. */
static int leave_fork(connection *c) {
  c->client = NULL;
  c->first = NULL;
  c->busy = 0;
  return FCGI_ERR_STATE;
}

/* Let the handler serve until an event has come. */
static int serve_meanwhile(lua_State *L, connection *c, int ms) {
  pthread_t thread;
  pid_t pid = getpid();
  luaL_argcheck(L, !c->server->serving, 1, "the server is serving already");
  lua_pushcfunction(L, fcgi_lua_loop);
  lua_getiuservalue(L, 1, 1);
  lua_getiuservalue(L, 1, 2);
  lua_pushlightuserdata(L, &c->enough);
  c->until = after(ms);
  atomic_store(&c->enough, 0);
  atomic_store(&c->stop, 0);
  if (start_thread(&thread, c) != 0)
    return FCGI_ERR_SYSTEM;
  c->busy = c->server->serving = 1;
  int status = lua_pcall(L, 3, 0, 0);
  c->server->serving = 0;
  if (pid != getpid()) {
    c->code = leave_fork(c);
  } else {
    atomic_store(&c->stop, 1);
    pthread_join(thread, NULL);
    c->busy = 0;
  }
  if (status != LUA_OK)
    lua_error(L);
  return c->first ? 1 : c->code;
}

/* Wait for an event: 1, 0 when nothing is open, or an error. */
static int wait_event(lua_State *L, connection *c, int ms) {
  if (c->first)
    return 1;
  int code = take(c, c->server ? 0 : ms);
  if (code == FCGI_ERR_TIMEOUT && c->server && c->server->handle)
    code = serve_meanwhile(L, c, ms);
  return code;
}

/* Push the text that put_text packed at `*at`, and go behind it. */
static void push_text(lua_State *L, const char **at) {
  size_t len;
  memcpy(&len, *at, sizeof len);
  lua_pushlstring(L, *at + sizeof len, len);
  *at += sizeof len + len;
}

static void push_values(lua_State *L, const news *item) {
  const char *at = (const char *)(item + 1);
  const char *end = at + item->event.len;
  lua_newtable(L);
  while (at < end) {
    push_text(L, &at);
    push_text(L, &at);
    lua_rawset(L, -3);
  }
}

static void set_integer(lua_State *L, const char *name, lua_Integer value) {
  lua_pushinteger(L, value);
  lua_setfield(L, -2, name);
}

static void push_event(lua_State *L, const news *item) {
#define EVENT_NAME(name, text) [FCGI_PEER_EVENT_##name] = (text),
  static const char *const names[] = {FCGI_PEER_EVENT_MAP(EVENT_NAME)};
  lua_newtable(L);
  lua_pushstring(L, names[item->event.type]);
  lua_setfield(L, -2, "type");
  set_integer(L, "id", item->event.id);
  if (item->event.type == FCGI_PEER_EVENT_END) {
    set_integer(L, "app_status", item->event.app_status);
    set_integer(L, "protocol_status", item->event.protocol_status);
  } else if (item->event.type == FCGI_PEER_EVENT_UNKNOWN_TYPE) {
    set_integer(L, "unknown", item->event.unknown);
  } else if (item->event.type == FCGI_PEER_EVENT_VALUES) {
    push_values(L, item);
    lua_setfield(L, -2, "values");
  } else if (item->event.len) {
    lua_pushlstring(L, (const char *)(item + 1), item->event.len);
    lua_setfield(L, -2, "data");
  }
}

static void drop_first(connection *c) {
  news *item = c->first;
  c->first = item->next;
  if (!c->first)
    c->last = &c->first;
  free(item);
}

/* conn:event(seconds): the next event; nil when nothing is open. */
static int connection_event(lua_State *L) {
  connection *c = check(L);
  int ms = lua_isnoneornil(L, 2) ? c->timeout_ms : fcgi_lua_wait(L, 2);
  int code = wait_event(L, c, ms);
  if (code < 0)
    return fail(L, c, code);
  if (code == 0)
    return 0;
  push_event(L, c->first);
  drop_first(c);
  return 1;
}

/* conn:flush(): send what is queued. Without a thread that reads, a handler of
   this state gets what the socket takes, and the rest with the next event. */
static int connection_flush(lua_State *L) {
  connection *c = check(L);
  long long until = after(c->timeout_ms);
  int code;
  do
    code = take(c, 0);
  while (code == 1);
  while (code == FCGI_ERR_TIMEOUT && !c->server && now() < until &&
         fcgi_peer_queued(fcgi_client_peer(c->client)) > 0)
    do
      code = take(c, TICK_MS);
    while (code == 1);
  if (code == FCGI_ERR_TIMEOUT && now() >= until)
    return fcgi_lua_fail(L, code, "the application does not read");
  return result(L, 0); /* What else failed is told by the next event. */
}

static uint16_t number_argument(lua_State *L, int index, const char *what) {
  lua_Integer number = luaL_checkinteger(L, index);
  luaL_argcheck(L, number >= 0 && number <= UINT16_MAX, index, what);
  return (uint16_t)number;
}

static uint16_t id_argument(lua_State *L) {
  return number_argument(L, 2, "a request id is 0 to 65535");
}

/* conn:begin(role, keep, id): the id, the lowest one free if none is given. */
static int connection_begin(lua_State *L) {
  fcgi_peer *peer = peer_of(L);
  uint16_t role = number_argument(L, 2, "a role is 0 to 65535");
  int flags = lua_toboolean(L, 3) ? FCGI_BEGIN_KEEP : 0;
  uint16_t id = 1;
  if (!lua_isnoneornil(L, 4))
    id = number_argument(L, 4, "a request id is 0 to 65535");
  else
    while (id < UINT16_MAX && fcgi_peer_is_open(peer, id))
      id++;
  int code = fcgi_peer_begin(peer, id, role, flags);
  if (code < 0)
    return fcgi_lua_fail(L, code, NULL);
  lua_pushinteger(L, id);
  return 1;
}

static int connection_param(lua_State *L) {
  fcgi_peer *peer = peer_of(L);
  size_t name_len;
  size_t len;
  uint16_t id = id_argument(L);
  const char *name = luaL_checklstring(L, 3, &name_len);
  const char *value = luaL_checklstring(L, 4, &len);
  return result(L, fcgi_peer_param(peer, id, name, name_len, value, len));
}

static int connection_params_end(lua_State *L) {
  return result(L, fcgi_peer_params_end(peer_of(L), id_argument(L)));
}

static fcgi_stream stream_argument(lua_State *L) {
  static const char *const names[] = {"stdin", "data", NULL};
  return luaL_checkoption(L, 3, NULL, names) ? FCGI_STREAM_DATA
                                             : FCGI_STREAM_STDIN;
}

/* conn:write(id, stream, bytes) */
static int connection_write(lua_State *L) {
  fcgi_peer *peer = peer_of(L);
  size_t len;
  const char *bytes = luaL_checklstring(L, 4, &len);
  return result(
      L, fcgi_peer_write(peer, id_argument(L), stream_argument(L), bytes, len));
}

static int connection_write_end(lua_State *L) {
  return result(
      L, fcgi_peer_write_end(peer_of(L), id_argument(L), stream_argument(L)));
}

static int connection_abort(lua_State *L) {
  return result(L, fcgi_peer_abort(peer_of(L), id_argument(L)));
}

/* conn:get_values(names): nil asks for all that the specification knows. */
static int connection_get_values(lua_State *L) {
  fcgi_peer *peer = peer_of(L);
  const char *names[NAMES_MOST];
  if (lua_isnoneornil(L, 2))
    return result(L, fcgi_peer_get_values(peer, NULL, 0));
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_Integer count = luaL_len(L, 2);
  luaL_argcheck(L, count > 0 && count <= NAMES_MOST, 2, "1 to 64 names");
  luaL_checkstack(L, NAMES_MOST + 4, "names");
  for (lua_Integer i = 0; i < count; i++) {
    lua_geti(L, 2, i + 1);
    luaL_argcheck(L, lua_type(L, -1) == LUA_TSTRING, 2, "names are strings");
    names[i] = lua_tostring(L, -1);
  }
  return result(L, fcgi_peer_get_values(peer, names, (size_t)count));
}

static int connection_raw(lua_State *L) {
  fcgi_peer *peer = peer_of(L);
  size_t len;
  const char *bytes = luaL_checklstring(L, 2, &len);
  return result(L, fcgi_peer_raw(peer, bytes, len));
}

static void close_connection(connection *c) {
  fcgi_client_free(c->client);
  c->client = NULL;
  while (c->first)
    drop_first(c);
}

/* close, __gc and __close: what is queued is not sent. */
static int connection_close(lua_State *L) {
  connection *c = check_any(L);
  if (c->busy)
    return luaL_error(L, "the connection is waiting for an answer");
  close_connection(c);
  return 0;
}

static int connection_tostring(lua_State *L) {
  connection *c = check_any(L);
  if (c->client)
    lua_pushfstring(L, "%s: %p", CONNECTION, (void *)c);
  else
    lua_pushliteral(L, CONNECTION " (closed)");
  return 1;
}

/* The server and handler at 3 and 4, which may be nil. */
static void attach(lua_State *L, connection *c) {
  if (lua_isnoneornil(L, 3))
    return;
  c->server = luaL_checkudata(L, 3, "fcgi.server");
  lua_pushvalue(L, 3);
  lua_setiuservalue(L, -2, 1);
  lua_pushvalue(L, 4);
  lua_setiuservalue(L, -2, 2);
}

/* connect(address, {timeout = seconds, split = bytes}, server, handler) */
static int client_connect(lua_State *L) {
  const char *address = luaL_checkstring(L, 1);
  lua_settop(L, 4);
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_getfield(L, 2, "timeout");
  int ms = fcgi_lua_wait(L, 5);
  lua_getfield(L, 2, "split");
  lua_Integer split = luaL_optinteger(L, 6, 0);
  luaL_argcheck(L, split >= 0, 2, "'split' is a number of bytes");
  connection *c = lua_newuserdatauv(L, sizeof *c, 2);
  *c = (connection){.last = &c->first, .timeout_ms = ms};
  luaL_setmetatable(L, CONNECTION);
  attach(L, c);
  const fcgi_peer_config peer = {.size = sizeof peer,
                                 .output_bytes = OUTPUT_MOST};
  fcgi_client_config config = {.size = sizeof config,
                               .peer = &peer,
                               .connect_timeout_ms = ms,
                               .send_bytes = (size_t)split};
  int code = fcgi_client_new(&c->client, &config);
  if (code < 0)
    return fcgi_lua_fail(L, code, NULL);
  code = fcgi_client_connect(c->client, address);
  if (code == 0)
    return 1;
  fail(L, c, code);
  close_connection(c);
  return 3;
}

static void connection_class(lua_State *L) {
  static const luaL_Reg methods[] = {
      {"begin", connection_begin},           {"param", connection_param},
      {"params_end", connection_params_end}, {"write", connection_write},
      {"write_end", connection_write_end},   {"abort", connection_abort},
      {"get_values", connection_get_values}, {"raw", connection_raw},
      {"flush", connection_flush},           {"event", connection_event},
      {"close", connection_close},           {NULL, NULL}};
  static const luaL_Reg metamethods[] = {{"__gc", connection_close},
                                         {"__close", connection_close},
                                         {"__tostring", connection_tostring},
                                         {NULL, NULL}};
  luaL_newmetatable(L, CONNECTION);
  luaL_setfuncs(L, metamethods, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 1);
}

int luaopen_fcgi_client(lua_State *L) {
  static const luaL_Reg functions[] = {{"connect", client_connect},
                                       {"start", fcgi_lua_service_start},
                                       {NULL, NULL}};
  luaL_checkversion(L);
  luaL_requiref(L, "fcgi", luaopen_fcgi, 0);
  connection_class(L);
  fcgi_lua_service_class(L);
  luaL_newlib(L, functions);
  return 1;
}
