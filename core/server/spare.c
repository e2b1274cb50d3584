/* SPDX-License-Identifier: MIT */
#include "server/spare.h"
#include "os/clock.h"
#include "server/server.h"
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
  LOOK_MS = 20,    /* Between two looks. */
  WORK_MS = 10,    /* Between two turns of work. */
  SHARE_MS = 5,    /* Between two looks where workers share their work. */
  QUIET_MS = 1000, /* Without a request before it sleeps. */
  ACCEPT_MS = 200, /* Other workers have had their chance by then. */
  START_MS = 5000, /* A worker that starts gets so long to take it. */
  GRACE_MS = 20    /* For others to see to a limit that is reached. */
};

/* What it knows from one look to the next. */
typedef struct watch {
  fcgi_server *server; /* Whose spare it is. */
  unsigned visits;     /* At the last look. */
  long long quiet;     /* When there was last something to look for. */
  int behind;          /* 1: at the last look, a foreign event loop had not come
                          for what the poller has. */
  uint64_t busy_us;    /* Since when nobody serves; 0: somebody does. */
} watch;

/* Where it only shares work, no other connection means no work to share. */
static int has_something_to_do(fcgi_server *server) {
  return atomic_load(&server->spare.open) > 0 &&
         (server->spare.watches || atomic_load(&server->open) > 1);
}

/* The two orders, of counting before and of falling asleep there, make sure
   that one of the two threads sees the other. */
void fcgi__spare_look(fcgi_server *server) {
  fcgi__spare *spare = &server->spare;
  if (!atomic_load(&spare->on) || !atomic_load(&spare->asleep) ||
      !has_something_to_do(server))
    return;
  pthread_mutex_lock(&spare->lock);
  atomic_store(&spare->asleep, 0);
  pthread_cond_signal(&spare->wake);
  pthread_mutex_unlock(&spare->lock);
}

void fcgi__spare_expect(fcgi_server *server) {
  atomic_fetch_add(&server->spare.open, 1);
  fcgi__spare_look(server);
}

void fcgi__spare_done(fcgi_server *server) {
  atomic_fetch_sub(&server->spare.open, 1);
}

/* Its lock is held. */
static void wait_until(fcgi__spare *spare, long long when) {
  const struct timespec until = {.tv_sec = (time_t)(when / 1000),
                                 .tv_nsec = (long)(when % 1000) * 1000000};
  if (atomic_load(&spare->over))
    return;
  if (when == LLONG_MAX)
    pthread_cond_wait(&spare->wake, &spare->lock);
  else
    pthread_cond_timedwait(&spare->wake, &spare->lock, &until);
}

static void rest(fcgi__spare *spare, int ms) {
  pthread_mutex_lock(&spare->lock);
  wait_until(spare, fcgi__now() + ms);
  pthread_mutex_unlock(&spare->lock);
}

/* Who sets a limit looks at `until` after that, and the spare thread at the
   limits after it has set `until`, so one of them sees the other. */
void fcgi__spare_deadline(fcgi_server *server, long long when) {
  fcgi__spare *spare = &server->spare;
  if (when >= atomic_load(&spare->until))
    return;
  pthread_mutex_lock(&spare->lock);
  pthread_cond_signal(&spare->wake);
  pthread_mutex_unlock(&spare->lock);
}

/* A limit was reached a moment ago and nobody has seen to it. */
static int is_limit_missed(fcgi_server *server) {
  return atomic_load(&server->next_sweep) <= fcgi__now() - GRACE_MS;
}

/* Its lock is held. Sleep until the next limit was reached a moment ago, or
   something is told: 1 when nobody has seen to the limit. */
static int wait_for_limit(fcgi_server *server) {
  fcgi__spare *spare = &server->spare;
  long long due = atomic_load(&server->next_sweep);
  atomic_store(&spare->until, due);
  if (atomic_load(&server->next_sweep) >= due)
    wait_until(spare, due == LLONG_MAX ? due : due + GRACE_MS);
  atomic_store(&spare->until, 0);
  return is_limit_missed(server);
}

/* 1 when it is a limit that has passed. */
static int sleep_until_told(fcgi_server *server) {
  fcgi__spare *spare = &server->spare;
  int missed = 0;
  pthread_mutex_lock(&spare->lock);
  atomic_store(&spare->asleep, 1);
  while (atomic_load(&spare->asleep) && !atomic_load(&spare->over) &&
         !has_something_to_do(server) && !missed)
    missed = wait_for_limit(server);
  atomic_store(&spare->asleep, 0);
  pthread_mutex_unlock(&spare->lock);
  return missed;
}

/* What has come in time is read first. */
static void see_to_limits(fcgi_server *server) {
  fcgi__server_serve_waiting(server, 0);
  fcgi__server_sweep(server);
}

/* A foreign event loop sleeps somewhere else: it is busy when it does not come
   for what the poller has had since the last look. */
static int is_loop_behind(watch *w) {
  struct pollfd at = {.fd = fcgi__poller_fd(w->server->poller),
                      .events = POLLIN};
  int before = w->behind;
  w->behind = at.fd < 0 || poll(&at, 1, 0) > 0;
  return before && w->behind;
}

/* Threads inside the poller are counted; one that serves a report right now
   came for events since the last look, or works on one for long. */
static int is_needed(watch *w) {
  fcgi_server *server = w->server;
  unsigned visits = atomic_load(&server->spare.visits);
  int needed = visits == w->visits && atomic_load(&server->sleepers) == 0 &&
               atomic_load(&server->spare.open) > 0;
  w->visits = visits;
  if (!needed)
    w->behind = 0;
  return needed && (atomic_load(&server->waits) || is_loop_behind(w));
}

/* 1: this worker takes a connection, or soon will. */
static int is_free(const fcgi__board_slot *slot, uint64_t now) {
  uint32_t state = atomic_load(&slot->state);
  uint64_t busy = atomic_load(&slot->busy_us);
  if (state == FCGI_WORKER_STARTING)
    return now < atomic_load(&slot->started_us) + (uint64_t)START_MS * 1000;
  return state == FCGI_WORKER_READY &&
         (busy == 0 || now < busy + (uint64_t)ACCEPT_MS * 1000);
}

/* A connection that is accepted here waits for a handler of this process. It
   is left to other workers while one of them is free. */
static int may_accept(const fcgi_server *server, uint64_t now) {
  unsigned count = fcgi__board_slots(&server->observer.board);
  for (unsigned i = 0; i < count; i++) {
    if (is_free(fcgi__board_slot_at(&server->observer.board, (int)i), now))
      return 0;
  }
  return 1;
}

/* Where nothing is asked of it but to share work, there has to be another
   worker; in a stop there may be one of another supervisor. */
static int may_help(fcgi_server *server) {
  return server->spare.watches || atomic_load(&server->stop_wanted) ||
         fcgi__share_has_others(server);
}

/* What has come in time is read before a limit is judged. */
static void help(fcgi_server *server, int needed, uint64_t now) {
  int helps = needed && may_help(server);
  if (!helps && !is_limit_missed(server))
    return;
  fcgi__server_serve_waiting(server, helps && server->spare.watches &&
                                         may_accept(server, now));
  fcgi__server_sweep(server);
}

static int look(watch *w) {
  fcgi_server *server = w->server;
  fcgi__board_slot *slot = atomic_load(&server->observer.slot);
  uint64_t now = fcgi__now_us();
  int needed = is_needed(w);
  if (!needed)
    w->busy_us = 0;
  else if (w->busy_us == 0)
    w->busy_us = now;
  if (server->spare.watches)
    atomic_store(&slot->alive_us, now);
  atomic_store(&slot->busy_us, w->busy_us);
  fcgi__slow_look(server);
  help(server, needed, now);
  if (atomic_load(&server->ready_count) > 0)
    fcgi__server_nudge(server); /* It may have found requests to give out. */
  return fcgi__share_is_on(&server->share) ? SHARE_MS
         : needed                          ? WORK_MS
                                           : LOOK_MS;
}

void fcgi__spare_trace(fcgi_server *server) {
  fcgi__spare *spare = &server->spare;
  if (!atomic_load(&spare->traces))
    return;
  pthread_mutex_lock(&spare->lock);
  atomic_store(&spare->trace_due, 1);
  pthread_cond_signal(&spare->trace);
  pthread_mutex_unlock(&spare->lock);
}

static void *run_tracer(void *data) {
  fcgi_server *server = data;
  fcgi__spare *spare = &server->spare;
  pthread_mutex_lock(&spare->lock);
  while (!atomic_load(&spare->over)) {
    if (!atomic_exchange(&spare->trace_due, 0)) {
      pthread_cond_wait(&spare->trace, &spare->lock);
      continue;
    }
    pthread_mutex_unlock(&spare->lock);
    fcgi__slow_trace(server);
    pthread_mutex_lock(&spare->lock);
  }
  pthread_mutex_unlock(&spare->lock);
  return NULL;
}

/* Sleep until a limit was reached a moment ago and nobody has seen to it. */
static int await_limit(fcgi_server *server) {
  fcgi__spare *spare = &server->spare;
  pthread_mutex_lock(&spare->lock);
  while (!atomic_load(&spare->over) && !wait_for_limit(server))
    ;
  pthread_mutex_unlock(&spare->lock);
  return !atomic_load(&spare->over);
}

static void *run_limits(void *data) {
  fcgi_server *server = data;
  while (await_limit(server))
    see_to_limits(server);
  return NULL;
}

static void *run(void *data) {
  watch w = {.server = data, .quiet = fcgi__now()};
  fcgi__spare *spare = &w.server->spare;
  while (!atomic_load(&spare->over)) {
    if (has_something_to_do(w.server))
      w.quiet = fcgi__now();
    if (fcgi__now() - w.quiet > QUIET_MS) {
      atomic_store(&atomic_load(&w.server->observer.slot)->busy_us, 0);
      while (sleep_until_told(w.server))
        see_to_limits(w.server);
      w.quiet = fcgi__now();
    }
    rest(spare, look(&w));
  }
  return NULL;
}

/* They block every signal, which are the program's. */
static int start_threads(fcgi_server *server, int looks) {
  fcgi__spare *spare = &server->spare;
  sigset_t all, before;
  int error;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  error =
      pthread_create(&spare->thread, NULL, looks ? run : run_limits, server);
  if (!error && server->spare.watches && server->config.slow_log_ms > 0)
    atomic_store(&spare->traces,
                 pthread_create(&spare->tracer, NULL, run_tracer, server) == 0);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return error;
}

void fcgi__spare_start(fcgi_server *server, int watches) {
  fcgi__spare *spare = &server->spare;
  int looks = watches || fcgi__share_is_on(&server->share), error;
  pthread_condattr_t monotonic;
  pthread_mutex_init(&spare->lock, NULL);
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init(&spare->wake, &monotonic);
  pthread_cond_init(&spare->trace, NULL);
  pthread_condattr_destroy(&monotonic);
  spare->pid = getpid();
  spare->watches = watches;
  atomic_store(&spare->started, 1);
  error = start_threads(server, looks);
  if (!error) {
    atomic_store(&spare->on, looks);
    return;
  }
  atomic_store(&spare->started, 0);
  fcgi__server_log(server, FCGI_LOG_ERROR,
                   "cannot start a thread: %s; status pages and time limits "
                   "wait while every handler is busy",
                   strerror(error));
  pthread_cond_destroy(&spare->trace);
  pthread_cond_destroy(&spare->wake);
  pthread_mutex_destroy(&spare->lock);
}

void fcgi__spare_end(fcgi_server *server) {
  fcgi__spare *spare = &server->spare;
  if (!atomic_load(&spare->started) || spare->pid != getpid())
    return;
  atomic_store(&spare->over, 1);
  pthread_mutex_lock(&spare->lock);
  pthread_cond_signal(&spare->wake);
  pthread_cond_signal(&spare->trace);
  pthread_mutex_unlock(&spare->lock);
  pthread_join(spare->thread, NULL);
  if (atomic_load(&spare->traces))
    pthread_join(spare->tracer, NULL);
  pthread_cond_destroy(&spare->trace);
  pthread_cond_destroy(&spare->wake);
  pthread_mutex_destroy(&spare->lock);
}
