/* SPDX-License-Identifier: MIT */
/* Serving with several threads. Each has a lua_State of its own, made, used
   and closed on that thread, because some libraries care. The states share
   nothing but the core server. */
#include "lua_fcgi.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CREW "fcgi.crew"

/* What the threads are told once all have loaded the application. */
typedef enum orders { WAIT, SERVE, GIVE_UP } orders;

struct fcgi_lua_crew {
  fcgi_server *server;     /* The server that the threads serve, lent. */
  lua_State *first;        /* The calling thread's serving state, or NULL. */
  const char *app;         /* The file each of them loads. */
  const char *const *args; /* Arguments of the application, ended by NULL. */
  const char *path;        /* The caller's package.path. */
  const char *cpath;       /* The caller's package.cpath. */
  pthread_t *threads;      /* Those beside the calling one, in user value 1. */
  unsigned wanted;         /* How many to start. */
  unsigned started;        /* How many are to be joined. */
  pid_t pid;               /* Whose they are; 0 before there are any. */
  fcgi_lua_pool pool;      /* Dictionaries of this process alone. */
  pthread_mutex_t lock;    /* Guards what follows. */
  pthread_cond_t changed;  /* Some of it has changed. */
  unsigned loaded;         /* Threads that are ready, or have failed. */
  unsigned finished;       /* Threads that serve no more. */
  orders orders;           /* What they do once loaded. */
  int stream;              /* The application asks for stream mode. */
  fcgi_lua_server *model;  /* Of one state that has loaded: has the roles. */
  char error[512];         /* The first failure, "" for none. */
};

/* In a child that the application has forked the other threads are missing. One
   of them may hold the lock. Another may wait for `changed`, and to destroy a
   condition is to wait until all who wait for it have woken. */
static int is_forked(const fcgi_lua_crew *crew) {
  return crew->pid && crew->pid != getpid();
}

/* The child has come back from the application, where there is nothing more to
   do for it. */
static void leave_fork(const char *problem) {
  if (problem)
    fprintf(stderr, "fcgi: %s\n", problem);
  exit(problem ? EXIT_FAILURE : EXIT_SUCCESS);
}

static void note_error(fcgi_lua_crew *crew, const char *text) {
  pthread_mutex_lock(&crew->lock);
  if (!crew->error[0])
    snprintf(crew->error, sizeof crew->error, "%s", text ? text : "unknown");
  pthread_mutex_unlock(&crew->lock);
}

static int has_error(fcgi_lua_crew *crew) {
  pthread_mutex_lock(&crew->lock);
  int error = crew->error[0] != '\0';
  pthread_mutex_unlock(&crew->lock);
  return error;
}

/* The global table `arg`, as the lua program gives it to a script. */
static void set_arg(lua_State *L, const fcgi_lua_crew *crew) {
  lua_newtable(L);
  lua_pushstring(L, crew->app);
  lua_rawseti(L, -2, 0);
  for (int i = 0; crew->args[i]; i++) {
    lua_pushstring(L, crew->args[i]);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setglobal(L, "arg");
}

static void set_paths(lua_State *L, const fcgi_lua_crew *crew) {
  lua_getglobal(L, "package");
  lua_pushstring(L, crew->path);
  lua_setfield(L, -2, "path");
  lua_pushstring(L, crew->cpath);
  lua_setfield(L, -2, "cpath");
  lua_pop(L, 1);
}

static void note_loaded(fcgi_lua_crew *crew, fcgi_lua_server *server,
                        int stream) {
  pthread_mutex_lock(&crew->lock);
  crew->stream |= stream;
  crew->model = server;
  pthread_mutex_unlock(&crew->lock);
}

/* Protected: fill a new state and leave what the loop needs, the server and
   the handler. */
static int prepare(lua_State *L) {
  fcgi_lua_crew *all = lua_touserdata(L, 1);
  int stream = 0;
  luaL_openlibs(L);
  luaL_requiref(L, "fcgi", luaopen_fcgi, 0);
  lua_settop(L, 0);
  fcgi_lua_pool_use(L, &all->pool);
  set_paths(L, all);
  set_arg(L, all);
  fcgi_lua_server *server = fcgi_lua_server_new(L);
  server->borrowed = 1;
  int loaded = fcgi_lua_app_load(L, all->app, all->args, &stream);
  if (is_forked(all))
    leave_fork(loaded ? NULL : lua_tostring(L, -1));
  if (!loaded)
    return lua_error(L);
  fcgi_lua_roles_take(L, 1, lua_gettop(L), !lua_isnil(L, -2));
  note_loaded(all, server, stream);
  lua_copy(L, -2, 2);
  lua_settop(L, 2);
  return 2;
}

/* A state that is ready to serve, or NULL after noting why not. */
static lua_State *state_new(fcgi_lua_crew *crew) {
  lua_State *L = luaL_newstate();
  if (!L) {
    note_error(crew, "out of memory for a Lua state");
    return NULL;
  }
  lua_pushcfunction(L, prepare);
  lua_pushlightuserdata(L, crew);
  if (lua_pcall(L, 1, 2, 0) == LUA_OK)
    return L;
  note_error(crew, lua_tostring(L, -1));
  lua_close(L);
  return NULL;
}

/* Serve until stopped. A thread that fails takes the others with it: half a
   service is worse to find than none. */
static void state_serve(fcgi_lua_crew *crew, lua_State *L) {
  fcgi_lua_server *server = lua_touserdata(L, 1);
  lua_pushcfunction(L, fcgi_lua_loop);
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 2);
  server->handle = crew->server;
  int status = lua_pcall(L, 2, 2, 0);
  server->handle = NULL;
  if (status == LUA_OK && lua_toboolean(L, -2))
    return;
  const char *text = lua_tostring(L, -1);
  if (is_forked(crew))
    leave_fork(text ? text : "a child of a handler failed");
  note_error(crew, text);
  fcgi_server_stop(crew->server, FCGI_STOP_GRACEFUL);
}

static orders report_loaded(fcgi_lua_crew *crew) {
  pthread_mutex_lock(&crew->lock);
  crew->loaded++;
  pthread_cond_broadcast(&crew->changed);
  while (crew->orders == WAIT)
    pthread_cond_wait(&crew->changed, &crew->lock);
  orders told = crew->orders;
  pthread_mutex_unlock(&crew->lock);
  return told;
}

static void report_finished(fcgi_lua_crew *crew) {
  pthread_mutex_lock(&crew->lock);
  crew->finished++;
  pthread_cond_broadcast(&crew->changed);
  pthread_mutex_unlock(&crew->lock);
}

static void *thread_main(void *data) {
  fcgi_lua_crew *crew = data;
  lua_State *L = state_new(crew);
  if (report_loaded(crew) == SERVE && L)
    state_serve(crew, L);
  if (is_forked(crew))
    leave_fork(NULL);
  report_finished(crew);
  if (L)
    lua_close(L);
  return NULL;
}

static void wait_loaded(fcgi_lua_crew *crew, unsigned count) {
  pthread_mutex_lock(&crew->lock);
  while (crew->loaded < count)
    pthread_cond_wait(&crew->changed, &crew->lock);
  pthread_mutex_unlock(&crew->lock);
}

/* Start them one by one: an application that makes its tables on loading does
   not race with itself. */
static void start_all(fcgi_lua_crew *crew) {
  crew->pid = getpid();
  while (crew->started < crew->wanted && !has_error(crew)) {
    int error =
        pthread_create(&crew->threads[crew->started], NULL, thread_main, crew);
    if (error) {
      note_error(crew, strerror(error));
      return;
    }
    crew->started++;
    wait_loaded(crew, crew->started);
  }
}

static void join_all(fcgi_lua_crew *crew) {
  while (crew->started > 0)
    pthread_join(crew->threads[--crew->started], NULL);
}

static orders give_orders(fcgi_lua_crew *crew, orders wanted) {
  orders told = has_error(crew) ? GIVE_UP : wanted;
  pthread_mutex_lock(&crew->lock);
  if (crew->orders == WAIT)
    crew->orders = told;
  pthread_cond_broadcast(&crew->changed);
  pthread_mutex_unlock(&crew->lock);
  return told;
}

/* Run by fcgi_serve_signals: no Lua error leaves it. */
static int run_all(void *data) {
  fcgi_lua_crew *crew = data;
  start_all(crew);
  if (give_orders(crew, SERVE) == SERVE)
    state_serve(crew, crew->first);
  if (!is_forked(crew))
    join_all(crew);
  return 0;
}

/* A text of the caller's package table, left on the stack. */
static const char *package_text(lua_State *L, const char *name) {
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_getfield(L, -1, LUA_LOADLIBNAME);
  lua_getfield(L, -1, name);
  const char *text = lua_tostring(L, -1);
  return text ? text : "";
}

static int crew_close(lua_State *L) {
  fcgi_lua_crew *crew = luaL_checkudata(L, 1, CREW);
  fcgi_lua_crew_end(crew, 0);
  if (crew->app && crew->first)
    lua_close(crew->first);
  if (crew->app && !is_forked(crew)) {
    pthread_cond_destroy(&crew->changed);
    pthread_mutex_destroy(&crew->lock);
    fcgi_lua_pool_free(&crew->pool);
  }
  crew->first = NULL;
  crew->app = NULL;
  return 0;
}

void fcgi_lua_crew_class(lua_State *L) {
  static const luaL_Reg metamethods[] = {
      {"__gc", crew_close}, {"__close", crew_close}, {NULL, NULL}};
  luaL_newmetatable(L, CREW);
  luaL_setfuncs(L, metamethods, 0);
  lua_pop(L, 1);
}

/* Push a crew with room for `threads`; the strings of the package table stay
   on the stack below it. */
static fcgi_lua_crew *push_crew(lua_State *L, const char *app,
                                const char *const *args, unsigned threads) {
  const char *path = package_text(L, "path");
  const char *cpath = package_text(L, "cpath");
  fcgi_lua_crew *crew = lua_newuserdatauv(L, sizeof *crew, 1);
  *crew = (fcgi_lua_crew){
      .args = args, .path = path, .cpath = cpath, .wanted = threads};
  crew->threads = lua_newuserdatauv(L, (threads + 1) * sizeof(pthread_t), 0);
  lua_setiuservalue(L, -2, 1);
  luaL_setmetatable(L, CREW);
  pthread_mutex_init(&crew->lock, NULL);
  pthread_cond_init(&crew->changed, NULL);
  fcgi_lua_pool_init(&crew->pool);
  crew->app = app;
  return crew;
}

fcgi_lua_crew *fcgi_lua_crew_new(lua_State *L, const char *app,
                                 const char *const *args, unsigned threads,
                                 int *stream) {
  fcgi_lua_crew *crew = push_crew(L, app, args, threads - 1);
  crew->first = state_new(crew);
  *stream = crew->stream;
  if (crew->first)
    return crew;
  lua_pushstring(L, crew->error);
  return NULL;
}

int fcgi_lua_crew_serve(lua_State *L, fcgi_lua_crew *crew,
                        fcgi_server *server) {
  crew->server = server;
  int code = fcgi_lua_roles_set(crew->model, server);
  if (code == 0)
    code = fcgi_serve_signals(server, run_all, crew);
  if (crew->error[0])
    return fcgi_lua_fail(L, FCGI_ERR_STATE, crew->error);
  if (code < 0)
    return fcgi_lua_server_fail(L, server, code);
  lua_pushboolean(L, 1);
  return 1;
}

fcgi_lua_crew *fcgi_lua_crew_start(lua_State *L, const char *app,
                                   const char *const *args, unsigned threads,
                                   int *stream) {
  fcgi_lua_crew *crew = push_crew(L, app, args, threads);
  start_all(crew);
  *stream = crew->stream;
  if (!has_error(crew))
    return crew;
  fcgi_lua_crew_end(crew, 0);
  lua_pushstring(L, crew->error);
  return NULL;
}

int fcgi_lua_crew_go(fcgi_lua_crew *crew, fcgi_server *server) {
  int code = fcgi_lua_roles_set(crew->model, server);
  if (code < 0)
    return code;
  crew->server = server;
  give_orders(crew, SERVE);
  return 0;
}

/* Wait until all have finished, or `ms` milliseconds have passed. */
static int wait_finished(fcgi_lua_crew *crew, int ms) {
  struct timespec until;
  int error = 0;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec +=
      ms / 1000 + (until.tv_nsec + ms % 1000 * 1000000L) / 1000000000L;
  until.tv_nsec = (until.tv_nsec + ms % 1000 * 1000000L) % 1000000000L;
  pthread_mutex_lock(&crew->lock);
  while (crew->finished < crew->started && !error)
    error = pthread_cond_timedwait(&crew->changed, &crew->lock, &until);
  pthread_mutex_unlock(&crew->lock);
  return error == 0;
}

const char *fcgi_lua_crew_end(fcgi_lua_crew *crew, int ms) {
  if (!crew->started || is_forked(crew))
    return NULL;
  give_orders(crew, GIVE_UP);
  if (crew->server) {
    fcgi_server_stop(crew->server, FCGI_STOP_GRACEFUL);
    if (!wait_finished(crew, ms))
      fcgi_server_stop(crew->server, FCGI_STOP_NOW);
  }
  join_all(crew);
  return crew->error[0] ? crew->error : NULL;
}
