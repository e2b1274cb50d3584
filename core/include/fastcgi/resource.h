/* SPDX-License-Identifier: MIT */
/* What is expensive to open and is kept between requests, such as a connection
   to a database. The library decides when one is opened, checked, reset,
   replaced and closed; your callbacks do it.

     fcgi_resource_take(db, fcgi_request_holder(request), &value);
     ...
     fcgi_resource_give(db, fcgi_request_holder(request));

   What is kept is a handle, and what `open` made is its value. A holder has
   handles until it gives them back or ends: a request, or one that you make.
   Without a holder, the calling thread has it. Whoever has a handle of a
   resource and takes once more gets the same one.

   Languages whose code must not be called from here do the work themselves: the
   functions named `begin` return the step that comes next, and fcgi_handle_done
   the one after it, until that is FCGI_RESOURCE_READY or an error. */
#ifndef FASTCGI_RESOURCE_H
#define FASTCGI_RESOURCE_H

#include <fastcgi/alloc.h>
#include <fastcgi/export.h>
#include <fastcgi/timeout.h>
#include <stddef.h>
#include <stdint.h>

typedef struct fcgi_resource fcgi_resource;
typedef struct fcgi_handle fcgi_handle;
typedef struct fcgi_holder fcgi_holder;

/* X(NAME, key): how many handles there are. THREAD: one for each thread, which
   no other thread is given. WORKER: one, which one holder has at a time. POOL:
   as many as `most`. */
#define FCGI_RESOURCE_SCOPE_MAP(X)                                             \
  X(THREAD, thread)                                                            \
  X(WORKER, worker)                                                            \
  X(POOL, pool)

typedef enum fcgi_resource_scope {
#define FCGI_RESOURCE_ENUM(name, key) FCGI_RESOURCE_##name,
  FCGI_RESOURCE_SCOPE_MAP(FCGI_RESOURCE_ENUM)
#undef FCGI_RESOURCE_ENUM
      FCGI_RESOURCE_SCOPES /* Number of scopes in this version. */
} fcgi_resource_scope;

/* X(NAME, key): whether a request is run again that fails because a handle
   broke which it had. SAFE: once, if its method is GET or HEAD. */
#define FCGI_RETRY_MAP(X)                                                      \
  X(NEVER, never)                                                              \
  X(SAFE, safe)

typedef enum fcgi_retry {
#define FCGI_RETRY_ENUM(name, key) FCGI_RETRY_##name,
  FCGI_RETRY_MAP(FCGI_RETRY_ENUM)
#undef FCGI_RETRY_ENUM
      FCGI_RETRIES /* Number of them in this version. */
} fcgi_retry;

/* What is to be done with a handle next. */
typedef enum fcgi_resource_step {
  FCGI_RESOURCE_READY = 0, /* Nothing: it is taken, given back or tidied up. */
  FCGI_RESOURCE_OPEN,      /* Open, and set the value of the handle. */
  FCGI_RESOURCE_CHECK,     /* See whether the value still works. */
  FCGI_RESOURCE_RESET,     /* Undo what its holder has left open. */
  FCGI_RESOURCE_CLOSE      /* Close the value. */
} fcgi_resource_step;

/* X(NAME, key): why a handle was closed. */
#define FCGI_RESOURCE_CAUSE_MAP(X)                                             \
  X(CHECK, check)             /* The check failed. */                          \
  X(RESET, reset)             /* The reset failed. */                          \
  X(INVALIDATED, invalidated) /* fcgi_resource_invalidate said so. */          \
  X(AGE, age)                 /* It was older than max_age_ms. */              \
  X(IDLE, idle)               /* It rested for max_idle_ms, or gave way. */    \
  X(DRAINED, drained)         /* fcgi_resource_drain said so. */               \
  X(KEPT, kept)               /* It was not given back. */                     \
  X(STOPPED, stopped)         /* Its thread or the resource has ended. */

typedef enum fcgi_resource_cause {
#define FCGI_RESOURCE_ENUM(name, key) FCGI_RESOURCE_BY_##name,
  FCGI_RESOURCE_CAUSE_MAP(FCGI_RESOURCE_ENUM)
#undef FCGI_RESOURCE_ENUM
      FCGI_RESOURCE_CAUSES /* Number of causes in this version. */
} fcgi_resource_cause;

enum {
  FCGI_RESOURCE_WAITS = 16,  /* Buckets of the times of waiting. */
  FCGI_RESOURCE_WHY = 256,   /* Bytes of a cause, with its NUL. */
  FCGI_RESOURCE_TOTAL = 1024 /* Highest limit_total. */
};

/* A field left 0 takes its default. Fields that end in _ms are milliseconds,
   and FCGI_WAIT_FOREVER means "no limit". The callbacks get `user_data`. They
   may run on any thread that takes, gives back or serves, one at a time for
   each value, and must not take the same resource. Texts are copied. */
typedef struct fcgi_resource_config {
  size_t size;               /* sizeof(fcgi_resource_config). */
  fcgi_allocator allocator;  /* Where memory comes from. Default: the C
                                library's. */
  const char *name;          /* For messages. Default: "resource". */
  fcgi_resource_scope scope; /* Default: FCGI_RESOURCE_THREAD. */
  unsigned most;             /* Most handles of a pool. Default: 8. */
  unsigned least;            /* Handles that stay open though they are idle; a
                                pool opens them by itself. Default: 0. */
  int eager;                 /* 1: a server is ready once one is open. */
  int acquire_timeout_ms;    /* Longest wait for a handle. Default: 5 s. */
  int check_after_ms;        /* Rest after which one is checked before it is
                                given out. FCGI_WAIT_NEVER checks it each time,
                                FCGI_WAIT_FOREVER only when another one was
                                found broken. Default: 30 s. */
  int max_age_ms;            /* Age at which one is replaced, less a random
                                tenth. Default: 1 h. */
  int max_idle_ms;           /* Rest after which one is closed. Default:
                                10 min. */
  fcgi_retry retry;          /* Whether fcgi_request_retry runs a request again
                                when one broke. Default: FCGI_RETRY_NEVER. */
  int steps;                 /* 1: no callbacks are called; the program takes
                                steps. */
  unsigned wanted;           /* The steps that the program wants, an or of
                                1u << step; OPEN and CLOSE always are. */
  void *user_data;           /* The pointer that callbacks are called with. */

  /* Make a value, which is not NULL. Otherwise return an error and write one
     line into `why`: FCGI_ERR_INVALID if no further attempt can help,
     FCGI_ERR_TIMEOUT if there is none for this take, which fails at once, any
     other if what it connects to may come back. */
  int (*open)(void **value, char *why, size_t len, void *user_data);
  /* 0: the value works. NULL: no check. */
  int (*check)(void *value, void *user_data);
  /* 0: the next holder may have it; nothing of this one is left, such as an
     open transaction. NULL: no reset. */
  int (*reset)(void *value, void *user_data);
  /* Close it; it may be broken. NULL: nothing is done. */
  void (*close)(void *value, void *user_data);

  unsigned limit_total; /* Most handles that are open in all workers of a
                           supervisor together, of all resources of this name;
                           without one, of this resource. Whoever needs one
                           more has the one closed that has rested for longest.
                           The limit that was declared last holds. Default:
                           none. */
} fcgi_resource_config;

/* What has been counted. The caller sets `size`. */
typedef struct fcgi_resource_stats {
  size_t size;      /* sizeof(fcgi_resource_stats). */
  unsigned open;    /* Handles that are open. */
  unsigned in_use;  /* Handles that somebody holds. */
  unsigned waiting; /* Threads that wait for one. */
  int away;         /* 1: the last attempt to open failed. */
  uint64_t taken;   /* How often one was taken, nested takes included. */
  uint64_t opened;  /* How often one was opened. */
  uint64_t failed;  /* Attempts to open that failed. */
  uint64_t refused; /* Takes that failed. */
  uint64_t unended; /* Handles that were taken back at the holder's end. */
  uint64_t closed[FCGI_RESOURCE_CAUSES]; /* By fcgi_resource_cause. */
  uint64_t waits[FCGI_RESOURCE_WAITS];   /* Takes that had to wait: bucket n has
                                            those of less than 2^n ms, the last
                                            one all others. */
  uint64_t waited_ms;                    /* Sum of these waits. */
  unsigned total;       /* With limit_total: handles of all workers that are
                           open or being opened, */
  unsigned limit_total; /* of how many; 0: there is no such limit. */
  uint64_t abandoned;   /* Handles that killed workers have left; what they had
                           open may live until its query ends. */
} fcgi_resource_stats;

/* Makes a resource; nothing is opened yet. FCGI_ERR_INVALID for values that
   make no sense, FCGI_ERR_NOMEM, FCGI_ERR_LIMIT without a free key for data of
   threads or a free row for limit_total, FCGI_ERR_DAMAGED or FCGI_ERR_STATE
   where the table of the supervisor cannot be used. On failure `why`, unless
   NULL, gets one line for a person. */
FCGI_EXPORT int fcgi_resource_new(fcgi_resource **out,
                                  const fcgi_resource_config *config, char *why,
                                  size_t len);

/* Closes what is open with the callbacks and frees the resource; no thread may
   be in a call or hold a handle. One that takes steps is tidied up before by
   its program. In a fork nothing is closed. NULL is fine. */
FCGI_EXPORT void fcgi_resource_free(fcgi_resource *resource);

/* Takes a handle for `holder`, NULL for the calling thread, and lends its value
   until it is given back. FCGI_ERR_TIMEOUT when acquire_timeout_ms is over, or
   at once where what it connects to has been away for that long;
   FCGI_ERR_STATE in a fork, inside a callback, or where another holder has the
   handle of this thread; FCGI_ERR_CLOSED once it is stopped; FCGI_ERR_INVALID
   where `open` says so, or returned what is open already.
   fcgi_resource_message says why. */
FCGI_EXPORT int fcgi_resource_take(fcgi_resource *resource, fcgi_holder *holder,
                                   void **value);

/* Takes one that the end of the holder, which is not NULL, gives back. A
   further call returns the same value and asks for no further give. */
FCGI_EXPORT int fcgi_resource_get(fcgi_resource *resource, fcgi_holder *holder,
                                  void **value);

/* Gives back what fcgi_resource_take took. The last of nested ones resets the
   value. FCGI_ERR_STATE when this holder, or this thread, has none. */
FCGI_EXPORT int fcgi_resource_give(fcgi_resource *resource,
                                   fcgi_holder *holder);

/* Says that the value which the holder has is broken: it is closed when it is
   given back, and the others are checked before they are given out again.
   FCGI_ERR_STATE when the holder, or this thread, has none. */
FCGI_EXPORT int fcgi_resource_invalidate(fcgi_resource *resource,
                                         fcgi_holder *holder);

/* Sets the steps that the program wants from now on, as `wanted` of the
   configuration has them. */
FCGI_EXPORT void fcgi_resource_want(fcgi_resource *resource, unsigned wanted);

/* Has all that are open now closed: those that rest when their thread or a
   server next looks, the others when they are given back. */
FCGI_EXPORT void fcgi_resource_drain(fcgi_resource *resource);

/* Refuses further takes; what is open is closed as fcgi_resource_drain says. */
FCGI_EXPORT void fcgi_resource_stop(fcgi_resource *resource);

/* Has the resource belong to this process, a child of fork(2) of its own.
   Handles of the parent's are forgotten and not closed. No other thread may use
   it. */
FCGI_EXPORT void fcgi_resource_renew(fcgi_resource *resource);

/* Returns 1 in a fork of the process whose handles it has. */
FCGI_EXPORT int fcgi_resource_forked(const fcgi_resource *resource);

/* X(NAME, key): what is tidied up. REAP: handles that are too old, rest for too
   long or are drained; a pool opens `least`. LEAVE: the handle of this thread,
   which ends. ALL: whatever rests, of every thread. */
#define FCGI_RESOURCE_TIDY_MAP(X)                                              \
  X(REAP, reap)                                                                \
  X(LEAVE, leave)                                                              \
  X(ALL, all)

typedef enum fcgi_resource_tidying {
#define FCGI_RESOURCE_ENUM(name, key) FCGI_RESOURCE_##name,
  FCGI_RESOURCE_TIDY_MAP(FCGI_RESOURCE_ENUM)
#undef FCGI_RESOURCE_ENUM
      FCGI_RESOURCE_TIDYINGS /* Number of them in this version. */
} fcgi_resource_tidying;

/* Tidies up with the callbacks. A handle of a thread is closed by that thread,
   or by any once the thread has ended. The threads of a server do this for what
   fcgi_server_keep names. */
FCGI_EXPORT void fcgi_resource_tidy(fcgi_resource *resource,
                                    fcgi_resource_tidying what);

/* Returns after how many milliseconds a thread that serves should call
   FCGI_RESOURCE_REAP again; -1: it never has to. */
FCGI_EXPORT int fcgi_resource_tidy_ms(const fcgi_resource *resource);

/* Fills `out` as far as `out->size` goes. FCGI_ERR_INVALID without it. */
FCGI_EXPORT int fcgi_resource_count(fcgi_resource *resource,
                                    fcgi_resource_stats *out);

/* Tells what a pool of the program's own has counted so far, which lends what
   `open` returns and takes it back in `close`. Its open, in_use, opened and
   closed take the place of the resource's, and its waiting, failed, waits and
   waited_ms are added. FCGI_ERR_NOMEM; FCGI_ERR_INVALID without its size. */
FCGI_EXPORT int fcgi_resource_tell(fcgi_resource *resource,
                                   const fcgi_resource_stats *pool);

/* Copies why the last take failed, one line for a person, into `out`. */
FCGI_EXPORT void fcgi_resource_message(fcgi_resource *resource, char *out,
                                       size_t len);

/* Return what the configuration has. */
FCGI_EXPORT const char *fcgi_resource_name(const fcgi_resource *resource);
FCGI_EXPORT void *fcgi_resource_user_data(const fcgi_resource *resource);

/* Returns 1 when a server is ready only once one is open. */
FCGI_EXPORT int fcgi_resource_eager(const fcgi_resource *resource);

/* Makes a holder that is no request. FCGI_ERR_NOMEM. */
FCGI_EXPORT int fcgi_holder_new(fcgi_holder **out,
                                const fcgi_allocator *allocator);

/* Ends the holder as fcgi_holder_end does and frees it. NULL is fine. */
FCGI_EXPORT void fcgi_holder_free(fcgi_holder *holder);

/* Gives back all that it has; what was taken and not given back is closed.
   Returns how many of these there were. The holder can be used again. */
FCGI_EXPORT unsigned fcgi_holder_end(fcgi_holder *holder);

/* Returns 1 while it has a handle; a look without a lock. */
FCGI_EXPORT int fcgi_holder_is_busy(const fcgi_holder *holder);

/* Begins another request with a holder that is no request itself: nothing that
   it had counts as broken, and it wants no retry. */
FCGI_EXPORT void fcgi_holder_begin(fcgi_holder *holder);

/* Wants a retry if a handle that the holder has breaks, whatever the resource
   says of it: for a handler that knows its work to be safe. */
FCGI_EXPORT void fcgi_holder_want_retry(fcgi_holder *holder);

/* Returns 1 when the holder has a handle of a resource that retries, had one
   that broke, or wants a retry: an answer of 500 or more is worth to be held
   back until what it has is given back. */
FCGI_EXPORT int fcgi_holder_wants_retry(fcgi_holder *holder);

/* --- Steps --- */

/* Flags of fcgi_resource_begin_take. */
enum {
  FCGI_TAKE_KEEP = 1, /* Until the holder ends, as fcgi_resource_get. */
  FCGI_TAKE_NOW = 2   /* FCGI_ERR_AGAIN instead of a wait. */
};

/* Begins to take: READY with `*out`, a step, or an error. `*until` is 0 at
   first; the call sets it to when the waiting ends. FCGI_ERR_AGAIN, from this
   function with FCGI_TAKE_NOW or from fcgi_handle_done, asks for another call
   with the same `until`. */
FCGI_EXPORT int fcgi_resource_begin_take(fcgi_resource *resource,
                                         fcgi_holder *holder, unsigned flags,
                                         long long *until, fcgi_handle **out);

/* Returns the handle that the holder or, if it is NULL, the thread has; NULL
   without one and in a fork. */
FCGI_EXPORT fcgi_handle *fcgi_resource_held(fcgi_resource *resource,
                                            fcgi_holder *holder);

/* Begins to give back one take: READY, a step, or FCGI_ERR_STATE. `*place` gets
   the place of the handle, which has none any more; NULL if a nested take was
   given back. */
FCGI_EXPORT int fcgi_resource_begin_give(fcgi_resource *resource,
                                         fcgi_holder *holder, void **place,
                                         fcgi_handle **out);

/* Returns the handle that fcgi_holder_begin_end gives back next, or NULL. */
FCGI_EXPORT fcgi_handle *fcgi_holder_first(fcgi_holder *holder);

/* Begins to give back the next handle that the holder has at its end: a step,
   or READY with `*out`; READY with `*out` NULL when there is none left. */
FCGI_EXPORT int fcgi_holder_begin_end(fcgi_holder *holder, void **place,
                                      fcgi_handle **out);

/* Begins to tidy up the next handle: OPEN or CLOSE, or READY with `*out` NULL
   when nothing is left to do. */
FCGI_EXPORT int fcgi_resource_begin_tidy(fcgi_resource *resource,
                                         fcgi_resource_tidying what,
                                         fcgi_handle **out);

/* Returns what comes after the step that has been carried out; `outcome` is 0,
   or an error as the callbacks return it. */
FCGI_EXPORT int fcgi_handle_done(fcgi_handle *handle, int outcome);

/* Says for fcgi_resource_message why the step OPEN fails. */
FCGI_EXPORT void fcgi_handle_explain(fcgi_handle *handle, const char *why);

/* Returns what the handle is one of. */
FCGI_EXPORT fcgi_resource *fcgi_handle_resource(const fcgi_handle *handle);

/* Return and set what was opened. */
FCGI_EXPORT void *fcgi_handle_value(const fcgi_handle *handle);
FCGI_EXPORT void fcgi_handle_set_value(fcgi_handle *handle, void *value);

/* Return and set a pointer of the program's that tells where the handle was
   taken; NULL after a take that is not nested. With callbacks it is the address
   that the take returned to. */
FCGI_EXPORT void *fcgi_handle_place(const fcgi_handle *handle);
FCGI_EXPORT void fcgi_handle_set_place(fcgi_handle *handle, void *place);

/* Returns 1 when the holder's end has found that it was not given back. */
FCGI_EXPORT int fcgi_handle_unended(const fcgi_handle *handle);

#endif
