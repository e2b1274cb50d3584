/* SPDX-License-Identifier: MIT */
/* What a handler does, for the slow log. Its state is asked by a hook, which
   runs there before the next instruction; a handler that waits in a C function
   is asked in vain, and the core says where it waits. */
#include "lua_fcgi.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PATIENCE_MS = 500 };

struct fcgi_lua_tracer {
  const fcgi_server *server; /* Whose handlers they are. */
  pthread_mutex_t lock;      /* Of all that follows. */
  pthread_cond_t told;       /* `asked` was answered, or has ended. */
  fcgi_lua_run *runs;        /* Handlers that run. */
  fcgi_lua_run *asked;       /* The one whose stack is wanted, or NULL. */
  char *out;                 /* Where the lines of the stack go, lent. */
  size_t len;                /* Bytes of room at `out`. */
};

/* In the registry of each state that serves; only its address counts. */
static const char tracer_key = 0;

static fcgi_lua_tracer *tracer_new(void) {
  fcgi_lua_tracer *tracer = calloc(1, sizeof *tracer);
  pthread_condattr_t monotonic;
  if (!tracer)
    return NULL;
  pthread_mutex_init(&tracer->lock, NULL);
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init(&tracer->told, &monotonic);
  pthread_condattr_destroy(&monotonic);
  return tracer;
}

static void tracer_free(fcgi_lua_tracer *tracer) {
  if (!tracer)
    return;
  pthread_cond_destroy(&tracer->told);
  pthread_mutex_destroy(&tracer->lock);
  free(tracer);
}

/* The lock is held, and this is the handler's thread. */
static void unhook(fcgi_lua_run *run) {
  if (run->hooked)
    lua_sethook(run->co, run->hook, run->mask, run->count);
  run->hooked = 0;
}

static void answer(fcgi_lua_tracer *tracer, const char *text) {
  size_t len = strlen(text);
  if (len >= tracer->len)
    len = tracer->len - 1;
  memcpy(tracer->out, text, len);
  tracer->out[len] = '\0';
  tracer->asked = NULL;
  pthread_cond_signal(&tracer->told);
}

/* The text is made before the lock is taken: making it can raise. A child that
   the handler has forked while it was asked has nobody to tell, and the lock
   may be that of who asked. */
static void hook(lua_State *L, lua_Debug *about) {
  (void)about;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &tracer_key);
  fcgi_lua_tracer *tracer = lua_touserdata(L, -1);
  if (fcgi_server_forked(tracer->server)) {
    lua_sethook(L, NULL, 0, 0);
    lua_pop(L, 1);
    return;
  }
  luaL_traceback(L, L, NULL, 0);
  pthread_mutex_lock(&tracer->lock);
  fcgi_lua_run *run = tracer->runs;
  while (run && run->co != L)
    run = run->next;
  if (run && tracer->asked == run)
    answer(tracer, lua_tostring(L, -1));
  if (run)
    unhook(run);
  pthread_mutex_unlock(&tracer->lock);
  lua_pop(L, 2);
}

/* lua_sethook is made to be called while the state runs, from a signal handler;
   here it is from another thread, and the handler cannot end meanwhile. */
static void ask(fcgi_lua_tracer *tracer, fcgi_lua_run *run) {
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_nsec += PATIENCE_MS * 1000000L;
  until.tv_sec += until.tv_nsec / 1000000000;
  until.tv_nsec %= 1000000000;
  if (!run->hooked) {
    run->hook = lua_gethook(run->co);
    run->mask = lua_gethookmask(run->co);
    run->count = lua_gethookcount(run->co);
    run->hooked = 1;
    lua_sethook(run->co, hook, LUA_MASKCOUNT, 1);
  }
  tracer->asked = run;
  while (tracer->asked == run &&
         pthread_cond_timedwait(&tracer->told, &tracer->lock, &until) == 0)
    ;
  tracer->asked = NULL;
}

static void trace(uintptr_t thread, fcgi_request *request, char *out,
                  size_t len, void *user_data) {
  fcgi_lua_tracer *tracer = user_data;
  (void)thread;
  pthread_mutex_lock(&tracer->lock);
  fcgi_lua_run *run = tracer->runs;
  while (run && run->request != request)
    run = run->next;
  tracer->out = out;
  tracer->len = len;
  if (run)
    ask(tracer, run);
  pthread_mutex_unlock(&tracer->lock);
}

void fcgi_lua_trace_init(fcgi_server *server) {
  fcgi_lua_tracer *tracer = tracer_new();
  if (!tracer)
    return;
  tracer->server = server;
  fcgi_server_set_tracer(server, trace, tracer);
  if (fcgi_server_tracer_data(server) != tracer)
    tracer_free(tracer);
}

void fcgi_lua_server_free(fcgi_server *server) {
  fcgi_lua_tracer *tracer = server ? fcgi_server_tracer_data(server) : NULL;
  if (server && fcgi_server_forked(server))
    return;
  fcgi_server_free(server);
  tracer_free(tracer);
}

int fcgi_lua_trace_prepare(lua_State *L, fcgi_server *server) {
  void *tracer = fcgi_server_tracer_data(server);
  lua_pushlightuserdata(L, tracer);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &tracer_key);
  return tracer != NULL;
}

void fcgi_lua_trace_begin(fcgi_lua_run *run, fcgi_server *server, lua_State *co,
                          const fcgi_request *request) {
  fcgi_lua_tracer *tracer = fcgi_server_tracer_data(server);
  run->tracer = tracer;
  if (!tracer)
    return;
  *run = (fcgi_lua_run){.tracer = tracer, .co = co, .request = request};
  pthread_mutex_lock(&tracer->lock);
  run->next = tracer->runs;
  tracer->runs = run;
  pthread_mutex_unlock(&tracer->lock);
}

void fcgi_lua_trace_end(fcgi_lua_run *run) {
  fcgi_lua_tracer *tracer = run->tracer;
  if (!tracer)
    return;
  if (fcgi_server_forked(tracer->server)) { /* The lock may be another's. */
    run->tracer = NULL;
    return;
  }
  pthread_mutex_lock(&tracer->lock);
  fcgi_lua_run **at = &tracer->runs;
  while (*at != run)
    at = &(*at)->next;
  *at = run->next;
  unhook(run);
  if (tracer->asked == run) {
    tracer->asked = NULL;
    pthread_cond_signal(&tracer->told);
  }
  run->tracer = NULL;
  pthread_mutex_unlock(&tracer->lock);
}
