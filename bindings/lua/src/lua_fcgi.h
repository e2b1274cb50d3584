/* SPDX-License-Identifier: MIT */
/* What the files of the Lua module share. A function that can raise says so;
   none is ever called from inside a core function. */
#ifndef LUA_FCGI_H
#define LUA_FCGI_H

#include "compat.h"
#include <fastcgi/fastcgi.h>
#include <pthread.h>

#define FCGI_LUA_SERVER  "fcgi.server"
#define FCGI_LUA_REQUEST "fcgi.request"
#define FCGI_LUA_PARAMS  "fcgi.params"

/* The value of fcgi.server. A borrowed one belongs to a serving thread's own
   state and leaves the core server alone. User value 1 has the handlers of
   roles by number, or nil; 2 anchors `roles`. */
typedef struct fcgi_lua_server {
  fcgi_server *handle;         /* The server, owned unless `borrowed`; NULL:
                                  it is closed. */
  int borrowed;                /* 1: another state frees the handle. */
  int serving;                 /* 1: a loop of serve or requests is running. */
  const fcgi_role_spec *roles; /* Roles that are served, owned by user value
                                  2; NULL: FCGI_ROLE_SPECS. */
  size_t role_count;           /* Number of `roles`. */
} fcgi_lua_server;

/* Bytes of an input stream that were read before they were asked for. */
typedef struct fcgi_lua_ahead {
  char *bytes; /* The bytes, owned; NULL: none were read. */
  size_t at;   /* Offset of the first byte that is not yet handed out. */
  size_t len;  /* Offset behind the last byte. */
  size_t size; /* Bytes allocated at `bytes`. */
} fcgi_lua_ahead;

/* What a request has on this side of the core. One that the program takes has
   its own, after its value in the same block. A serving loop lends one to each
   of its requests in turn, so that a request costs no more than its value. */
typedef struct fcgi_lua_request {
  fcgi_request *handle;          /* NULL until taken and once finished. */
  fcgi_lua_server *server;       /* Whose closing ends the handle's life too. */
  uint64_t turn;                 /* Number of the request that has it now. */
  int answered;                  /* 1: output has begun. */
  int ref;                       /* In the registry, if lent; or LUA_NOREF. */
  int has_ctx;                   /* 1: req.ctx was asked for. */
  fcgi_lua_ahead body;           /* Bytes of STDIN that were read ahead. */
  fcgi_lua_ahead data;           /* Bytes of DATA that were read ahead. */
  struct fcgi_lua_request *next; /* Of those that no loop uses. */
} fcgi_lua_request;

/* The value of fcgi.request. It is finished when another has its turn, so that
   a program may keep it for as long as it wants. With a request of its own,
   user value 1 caches its params, 2 is the guard that ends it when it is
   collected, 3 is its ctx. */
typedef struct fcgi_lua_value {
  fcgi_lua_request *request; /* State of the request, lent; never NULL. */
  uint64_t turn;             /* The request's, when the value was made. */
} fcgi_lua_value;

/* What the options tables of fcgi.serve and fcgi.server say. The texts live as
   long as the table, which stays on the stack. */

typedef struct fcgi_lua_options {
  fcgi_server_config config; /* Options of the server, as the core takes
                                them. */
  lua_Integer threads;       /* Serving threads, at least 1. */
  const char *app;           /* A file that returns the handler, or NULL. */
  int inherit;               /* Without `bind`, serve what was inherited. */
  int roles;                 /* Where on the stack the roles are; 0: none. */
  int responder; /* 1: responders are served, whatever `roles` is. */
} fcgi_lua_options;

/* error.c */

/* Push nil, a message and the code's name; returns 3. `what` may be NULL and
   then the code's own text is the message. Can raise. */
int fcgi_lua_fail(lua_State *L, int code, const char *what);

/* Push fcgi_lua_fail with the server's own message where it has one. */
int fcgi_lua_server_fail(lua_State *L, fcgi_server *server, int code);

/* Replace the value at the top by a text, as the lua program shows errors. */
void fcgi_lua_error_text(lua_State *L);

/* options.c */

/* Push new options of Lua's launcher, and return them; those at `index`. Can
   raise. */
fcgi_options *fcgi_lua_options_push(lua_State *L);
fcgi_options *fcgi_lua_options_at(lua_State *L, int index);

/* Give an option the value at the top, which may be replaced. Raises when it is
   not what is wanted. */
void fcgi_lua_options_give(lua_State *L, fcgi_options *options,
                           const fcgi_option *option);

/* Read the table at `index`; `serve` tells whether the options of fcgi.serve
   are known beside those of fcgi.server. Raises on anything wrong. */
void fcgi_lua_options_read(lua_State *L, int index, int serve,
                           fcgi_lua_options *options);

/* launch.c: supervisor.options(). */
int fcgi_lua_launch_options(lua_State *L);

/* server.c */

/* Leave the server class on the registry. Can raise. */
void fcgi_lua_server_class(lua_State *L);

/* Push a closed server value and return it; fill in `handle` at once. */
fcgi_lua_server *fcgi_lua_server_new(lua_State *L);

/* The seconds at `index` as milliseconds, rounded up so that a short wait does
   not spin; -1, without end, for nil. Raises for anything else. */
int fcgi_lua_wait(lua_State *L, int index);

/* fcgi.server{...}: 1 server, or nil, message, code. */
int fcgi_lua_server_open(lua_State *L);

/* Make a server from `options` and listen on the addresses that the table at
   `index` gives as `bind`: 1 and the server is pushed, or 3 values of failure
   are pushed. */
int fcgi_lua_server_make(lua_State *L, int index,
                         const fcgi_lua_options *options);

/* roles.c */

/* Let the server value at `server` have the roles in the table at `index`; nil
   changes nothing. With `responder` those are served too. Raises when the table
   is wrong. The core's server learns of them by fcgi_lua_roles_set. */
void fcgi_lua_roles_take(lua_State *L, int server, int index, int responder);

/* Tell `handle` of the roles of `server`: 0, or an error of the core. */
int fcgi_lua_roles_set(const fcgi_lua_server *server, fcgi_server *handle);

/* request.c */

/* Leave the request class on the registry, which has that of params. */
void fcgi_lua_request_class(lua_State *L);

/* Push the value of a request of its own that has no handle yet. It keeps the
   server value at `server_index` alive and ends its request when collected. Can
   raise. */
fcgi_lua_request *fcgi_lua_request_new(lua_State *L, fcgi_lua_server *server,
                                       int server_index);

/* Push a request to lend until the running function returns. Can raise. */
fcgi_lua_request *fcgi_lua_request_lend(lua_State *L, fcgi_lua_server *server);

/* Lend it to the next request of the core. Never raises. */
void fcgi_lua_request_take(fcgi_lua_request *request, fcgi_request *handle);

/* Push the value of a lent request; the metatable of all of them is at `class`.
   Can raise. */
void fcgi_lua_request_push(lua_State *L, fcgi_lua_request *request, int class);

/* The open request that is argument 1 of a method; raises when finished. */
fcgi_lua_request *fcgi_lua_request_check(lua_State *L);

/* The request of the value at `index`, or NULL when finished. */
fcgi_lua_request *fcgi_lua_request_at(lua_State *L, int index);

/* 1 while the request can be used. */
int fcgi_lua_request_open(const fcgi_lua_request *request);

/* End it, or fail it, if still open, and free what it holds. A request that
   nothing was written for fails even when `failed` is 0. Never raises. */
void fcgi_lua_request_release(fcgi_lua_request *request, int failed);

/* Release one of its own, whose value is at `index`, and close what its ctx
   holds. Can raise. */
void fcgi_lua_request_leave(lua_State *L, fcgi_lua_request *request, int index,
                            int failed);

/* End it with `app_status` and free what it holds; the core's result. */
int fcgi_lua_request_end(fcgi_lua_request *request, uint32_t app_status);

/* Take the core's request, to end it, and free what was read ahead; NULL when
   it has ended. */
fcgi_request *fcgi_lua_request_detach(fcgi_lua_request *request);

/* ctx.c */

/* Push req.ctx of the request whose value is at `index`. Can raise. */
void fcgi_lua_ctx_push(lua_State *L, fcgi_lua_request *request, int index);

/* Close what it holds, and forget it; errors are logged. The request has a ctx,
   and may have ended. `index` is for one of its own. Can raise for want of
   memory. */
void fcgi_lua_ctx_end(lua_State *L, fcgi_lua_request *request, int index);

/* headers.c */

/* The headers of one answer while they are collected. Their texts stay
   anchored in the caller's table or on the stack. */
typedef struct fcgi_lua_headers {
  fcgi_header *items;  /* `few`, or a block that the stack anchors. */
  size_t count;        /* How many are filled. */
  size_t room;         /* Number of entries that there is room for. */
  int block;           /* The place on the stack of such a block. */
  int has_length;      /* 1: Content-Length is among them. */
  char length[24];     /* The text of an added Content-Length. */
  fcgi_header few[24]; /* Enough for nearly every answer. */
} fcgi_lua_headers;

/* Collect the table at `index`, or nothing for 0. What the stack holds above it
   afterwards anchors texts. Raises when the core would refuse one. */
void fcgi_lua_headers_collect(lua_State *L, int index, fcgi_lua_headers *list);

/* What Content-Length says; the largest number where it is not there. */
lua_Integer fcgi_lua_headers_length(const fcgi_lua_headers *list);

/* Add Content-Length, which must not be negative, unless it is there. */
void fcgi_lua_headers_add_length(lua_State *L, fcgi_lua_headers *list,
                                 lua_Integer length);

/* fcgi_lua_fail for writing or ending an answer. */
int fcgi_lua_fail_answer(lua_State *L, int code);

/* Write slices; 0, or 1 where nobody reads them, or an error. With timeout 0 a
   part may be taken only: that is an error as well, and `*taken` says how much.
 */
int fcgi_lua_send_slices(fcgi_lua_request *request, const struct iovec *slices,
                         int count, size_t *taken);

/* read.c, response.c and send_file.c: the methods of a request. */
int fcgi_lua_read(lua_State *L);
int fcgi_lua_read_data(lua_State *L);
int fcgi_lua_allow(lua_State *L);
int fcgi_lua_read_some(lua_State *L);
int fcgi_lua_lines(lua_State *L);
int fcgi_lua_start(lua_State *L);
int fcgi_lua_write(lua_State *L);
int fcgi_lua_flush(lua_State *L);
int fcgi_lua_set_timeout(lua_State *L);
int fcgi_lua_log(lua_State *L);
int fcgi_lua_send_file(lua_State *L);

/* req:reply(status, headers, body). May yield in a body that is an iterator.
   Leaves the request ended. */
int fcgi_lua_reply(lua_State *L);

/* The same for an open request; exactly its value and the three are on the
   stack. A lent request needs no value there, and has nil instead. */
int fcgi_lua_answer(lua_State *L, fcgi_lua_request *request);

/* Begin the answer with the status at 2 and the headers at 3; raises when they
   are wrong. `length` is added as Content-Length unless negative, not allowed
   for the status or given already; below 0 it is -1 less the bytes of a first
   piece, more of which may follow. Returns the core's result. */
int fcgi_lua_begin(lua_State *L, fcgi_lua_request *request, lua_Integer length);

/* params.c */

void fcgi_lua_params_class(lua_State *L);

/* Push the params of an open request whose value is at `index`; the metatable
   of all params is at `class`. Can raise. */
void fcgi_lua_params_push(lua_State *L, fcgi_lua_request *request, int index,
                          int class);

/* serve.c */

/* A protected function: serve server 1 with handler 2 until stopped, or until
   the atomic_int that the light userdata 3 points to, if given, is not 0 while
   no handler runs. Returns true, or nil, message, code. */
int fcgi_lua_loop(lua_State *L);

/* The texts of option `args` of the table at 1 as a C array that ends in NULL,
   anchored by a block pushed on the stack and by the table itself. */
const char *const *fcgi_lua_arguments(lua_State *L);

/* fcgi.serve{...}. */
int fcgi_lua_serve(lua_State *L);

/* app.c */

/* Load file `app` with the texts of `args` as its arguments and push the
   handler and the table of roles, one of which may be nil: 1, or 0 and one line
   of text is pushed. `*stream` becomes 1 when the file asks for stream mode.
   What the file raises is caught. */
int fcgi_lua_app_load(lua_State *L, const char *app, const char *const *args,
                      int *stream);

/* 1 when the value at `index` can be called. */
int fcgi_lua_callable(lua_State *L, int index);

/* exit.c */

/* What keeps os.exit from ending the process. */
typedef struct fcgi_lua_guard {
  int held;  /* Calls of the state's that load or serve an application. */
  pid_t pid; /* The process whose they are. */
} fcgi_lua_guard;

/* The state's guard, for this process; the caller counts. Can raise. */
fcgi_lua_guard *fcgi_lua_exit_guard(lua_State *L);

/* keeping.c, resource.c */

/* What a state has of resources. */
typedef struct fcgi_lua_keeper {
  struct fcgi_lua_resource *first; /* The one that was made last, or NULL. */
  fcgi_holder *holder;             /* Who has their handles; NULL: there is
                                      no resource. */
  fcgi_lua_request *request;       /* Of the loop that runs, or NULL. */
  fcgi_resource *refused;          /* The one that its handler was refused, or
                                      NULL. */
  long long due;                   /* When it is tidied up; 0: not known. */
} fcgi_lua_keeper;

/* 1: a failure waits until it is known what broke. */
static inline int fcgi_lua_may_retry(const fcgi_lua_keeper *keeper) {
  return keeper->holder && fcgi_holder_wants_retry(keeper->holder);
}

/* retry.c */

/* The handler has failed. 1: what it has was given back, a resource broke, and
   it is to be called once more. Raises for want of memory alone. */
int fcgi_lua_retry(lua_State *L, fcgi_lua_keeper *keeper,
                   fcgi_lua_request *request);
/* The same if the 3 values from 2 on, which it has returned, are an error
   page. */
int fcgi_lua_retry_page(lua_State *L, fcgi_lua_keeper *keeper,
                        fcgi_lua_request *request);
int fcgi_lua_want_retry(lua_State *L);
int fcgi_lua_query(lua_State *L);
int fcgi_lua_form(lua_State *L);
int fcgi_lua_cookies(lua_State *L);

/* keeping.c, resource.c */

/* Leave the class of keepers, and the state's, on the registry. */
void fcgi_lua_keeper_class(lua_State *L);
fcgi_lua_keeper *fcgi_lua_keeper_of(lua_State *L);

/* A fork that serves has its own resources. Have open what is eager, for as
   long as the server is not stopped. */
void fcgi_lua_keeper_prepare(lua_State *L, const fcgi_lua_keeper *keeper,
                             fcgi_server *server);

/* How long a loop may wait that would wait for `ms`, and what it calls then, if
   only a thread that serves does so. Raises for want of memory alone. */
int fcgi_lua_keeper_wait_ms(const fcgi_lua_keeper *keeper, int ms);
void fcgi_lua_keeper_reap(lua_State *L, fcgi_lua_keeper *keeper);

/* Give back all that is taken: the handler is done. */
void fcgi_lua_keeper_end_all(lua_State *L, fcgi_lua_keeper *keeper);

/* The state serves no more: close what is open. */
void fcgi_lua_keeper_leave(lua_State *L, fcgi_lua_keeper *keeper);

void fcgi_lua_resource_class(lua_State *L);

/* fcgi.resource{...}: 1 resource, or nil, message, code. */
int fcgi_lua_resource_new(lua_State *L);

/* shared.c */

/* The dictionaries that the states of a process without a supervisor have in
   common. */
typedef struct fcgi_lua_pool {
  pthread_mutex_t lock;           /* Guards the following. */
  struct fcgi_lua_private *first; /* The list of them, owned. */
} fcgi_lua_pool;

void fcgi_lua_pool_init(fcgi_lua_pool *pool);
/* No state uses it any more. */
void fcgi_lua_pool_free(fcgi_lua_pool *pool);
/* Let a state use it, which is closed before it is freed. Can raise. */
void fcgi_lua_pool_use(lua_State *L, fcgi_lua_pool *pool);

void fcgi_lua_shared_class(lua_State *L);

/* fcgi.shared(name, size): 1 dictionary, or nil, message, code. */
int fcgi_lua_shared(lua_State *L);

/* thread.c */

/* The states that serve one application, each on a thread of its own. */
typedef struct fcgi_lua_crew fcgi_lua_crew;

void fcgi_lua_crew_class(lua_State *L);

/* Push a crew of `threads`, the calling one among them, whose first state has
   loaded `app`. NULL, and one line of text is pushed, when it does not load.
   `args` ends in NULL and stays lent. `*stream` becomes 1 when the file asks
   for stream mode. */
fcgi_lua_crew *fcgi_lua_crew_new(lua_State *L, const char *app,
                                 const char *const *args, unsigned threads,
                                 int *stream);

/* Serve until stopped; pushes what fcgi.serve returns. */
int fcgi_lua_crew_serve(lua_State *L, fcgi_lua_crew *crew, fcgi_server *server);

/* The same with `threads` threads beside the calling one, all of which have
   loaded `app` when it returns. Their end must be waited for. */
fcgi_lua_crew *fcgi_lua_crew_start(lua_State *L, const char *app,
                                   const char *const *args, unsigned threads,
                                   int *stream);

/* Let a started crew serve `server`, with the roles of its application, from
   now on: 0, or an error of the core. */
int fcgi_lua_crew_go(fcgi_lua_crew *crew, fcgi_server *server);

/* Stop a started crew: what runs may go on for `ms` milliseconds, then it is
   aborted. Returns when all threads have ended; afterwards nothing uses the
   server. What failed while it served, or NULL. */
const char *fcgi_lua_crew_end(fcgi_lua_crew *crew, int ms);

/* service.c: fcgi.client's start{...}, which serves an application file on
   threads beside this one, and the class of what it returns. */
int fcgi_lua_service_start(lua_State *L);
void fcgi_lua_service_class(lua_State *L);

/* supervisor.c */

/* run{...} of fcgi.supervisor: workers until they are stopped. */
int fcgi_lua_supervisor_run(lua_State *L);

/* 1 when a supervisor has started this process to serve. */
int fcgi_lua_is_worker(void);

/* Write text to stderr where there is no server to log it; what nobody takes
   within a second is lost. */
void fcgi_lua_say(const char *text);

/* workers.c: fcgi.serve{workers=...}. Has this process to watch over workers,
   it does so: the number of results, which are pushed. Otherwise 0; the table
   at 1 then says what this process serves itself. */
int fcgi_lua_workers(lua_State *L);

/* trace.c */

typedef struct fcgi_lua_tracer fcgi_lua_tracer;

/* A handler that runs, for as long as it does. */
typedef struct fcgi_lua_run {
  fcgi_lua_tracer *tracer;     /* Of its server; NULL: there is no slow log. */
  lua_State *co;               /* The coroutine that the handler runs in. */
  const fcgi_request *request; /* What for; never followed. */
  struct fcgi_lua_run *next;   /* Of the tracer's list. */
  int hooked;                  /* 1: ours is the hook, theirs are kept here. */
  lua_Hook hook;               /* The program's own hook. */
  int mask;                    /* Mask of the previous hook. */
  int count;                   /* Count of the previous hook. */
} fcgi_lua_run;

/* Let the slow log of a new server show Lua's stacks. */
void fcgi_lua_trace_init(fcgi_server *server);

/* fcgi_server_free, for one that may have been traced. */
void fcgi_lua_server_free(fcgi_server *server);

/* The state is about to serve; 1 when its handlers are to be traced. Can
   raise. */
int fcgi_lua_trace_prepare(lua_State *L, fcgi_server *server);

/* A handler begins to run in `co`, and has returned; the latter may be said
   twice. */
void fcgi_lua_trace_begin(fcgi_lua_run *run, fcgi_server *server, lua_State *co,
                          const fcgi_request *request);
void fcgi_lua_trace_end(fcgi_lua_run *run);

/* watch.c */

typedef struct fcgi_lua_watcher fcgi_lua_watcher;

/* Push a watcher that sends SIGHUP to this process when Lua files below the
   directories, or the files, that `places` lends have changed. Raises. */
fcgi_lua_watcher *fcgi_lua_watch_start(lua_State *L, const char *const *places);
void fcgi_lua_watch_stop(fcgi_lua_watcher *watcher);

/* module.c; client.c for what fcgi.test is made of; supervisor.c. */

FCGI_LUA_API int luaopen_fcgi(lua_State *L);
FCGI_LUA_API int luaopen_fcgi_client(lua_State *L);
FCGI_LUA_API int luaopen_fcgi_supervisor(lua_State *L);

#endif
