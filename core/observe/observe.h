/* SPDX-License-Identifier: MIT */
/* What is kept of a server's work for those outside: counters on the
   scoreboard, the access log, the error log. The server calls these hooks as a
   request goes its way; where nobody looks, each costs one test. The hooks of a
   request are called with its connection's lock held, unless said otherwise. */
#ifndef FCGI_OBSERVE_OBSERVE_H
#define FCGI_OBSERVE_OBSERVE_H

#include "observe/access.h"
#include "observe/logs.h"
#include "observe/tally.h"
#include "observe/trouble.h"

/* One for each server. */
typedef struct fcgi__observer {
  _Atomic(fcgi__board_slot *) slot; /* The slot we count in, or NULL. */
  fcgi__board board;                /* The scoreboard with that slot. */
  fcgi__logs *logs;                 /* The error log and the access log. */
  fcgi__access_format *access;      /* Form of the access log; NULL: none. */
  fcgi_allocator allocator;         /* For what is kept of requests. */
  fcgi__troubles troubles;          /* What others did wrong. */
  unsigned char thread_ids; /* 1: the kernel's numbers of threads are noted. */
} fcgi__observer;

/* What is noted of one request. Zero-initialised it is nothing. */
typedef struct fcgi__observed {
  fcgi__tally tally;       /* For the scoreboard. */
  fcgi__access *access;    /* For the access log, or NULL. */
  fcgi__buffer error_line; /* STDERR for the error log, up to a newline. */
} fcgi__observed;

/* Find the scoreboard that `said` (PID:FD:SLOT) names, or make one if `wanted`.
   Without one there is no slot; what went wrong is logged. */
void fcgi__observer_begin(fcgi__observer *observer, const char *said,
                          int wanted);
/* Note the worker's state. */
void fcgi__observer_state(fcgi__observer *observer, fcgi_worker_state state);
/* Free everything but the logs, which are ended before. */
void fcgi__observer_end(fcgi__observer *observer);

/* Count `amount` more. Any thread; needs no lock. */
static inline void fcgi__observe_count(fcgi__observer *observer,
                                       fcgi_metric value, uint64_t amount) {
  fcgi__board_add(atomic_load_explicit(&observer->slot, memory_order_relaxed),
                  value, amount);
}

/* Note what may go down. Any thread; needs no lock. */
static inline void fcgi__observe_set(fcgi__observer *observer,
                                     fcgi_metric value, uint64_t amount) {
  fcgi__board_slot *slot =
      atomic_load_explicit(&observer->slot, memory_order_relaxed);
  if (slot)
    atomic_store_explicit(&slot->counts.values[value], amount,
                          memory_order_relaxed);
}

/* A request's parameters are complete. */
static inline void fcgi__observe_begin(fcgi__observer *observer,
                                       fcgi__observed *request) {
  if (observer->access)
    request->access = fcgi__access_begin(&observer->allocator);
}

/* It is ready for a handler; there is a slot. */
static inline void fcgi__observe_queued(fcgi__observer *observer,
                                        fcgi__observed *request,
                                        const fcgi_params *params) {
  fcgi__tally_begin(&request->tally, atomic_load(&observer->slot), params);
}

/* A handler gets it; the server's lock is held instead. */
static inline void fcgi__observe_given(fcgi__observer *observer,
                                       fcgi__observed *request) {
  if (request->tally.counted)
    fcgi__tally_given(&request->tally, atomic_load(&observer->slot),
                      observer->thread_ids);
}

/* The head of its answer is known: `status`, and `len` bytes of which `sent`
   are on their way. */
static inline void fcgi__observe_head(fcgi__observer *observer,
                                      fcgi__observed *request, int status,
                                      const void *data, size_t len,
                                      size_t sent) {
  request->tally.status = (uint16_t)status;
  if (request->access)
    fcgi__access_head(request->access, &observer->allocator, data, len, sent);
}

/* `len` bytes of its STDOUT are on their way, be they head or body. */
static inline void fcgi__observe_output(fcgi__observed *request, size_t len) {
  if (request->access)
    request->access->written += len;
}

/* It writes STDERR; `data` NULL: no more. */
void fcgi__observe_stderr(fcgi__observer *observer, fcgi__observed *request,
                          const char *data, size_t len);

/* Its handler has not returned by the deadline. */
void fcgi__observe_overdue(fcgi__observer *observer, fcgi__observed *request);

/* The program has ended it; some of its answer may still have to be sent. */
static inline void fcgi__observe_ended(fcgi__observer *observer,
                                       fcgi__observed *request) {
  if (request->tally.counted)
    fcgi__tally_ended(&request->tally, atomic_load(&observer->slot));
  if (request->access)
    fcgi__access_ended(request->access);
}

/* It is over, `unsent` bytes of its answer never having left: its line is
   written. The parameters are still there. */
void fcgi__observe_close(fcgi__observer *observer, fcgi__observed *request,
                         const fcgi_params *params, uint64_t unsent);

/* A session has answered a request by itself with the `len` bytes of `data`. */
void fcgi__observe_refused(fcgi__observer *observer, const fcgi_params *params,
                           const void *data, size_t len, uint64_t unsent);

/* Its memory is freed; no lock is needed. */
void fcgi__observe_free(fcgi__observer *observer, fcgi__observed *request);

#endif
