/* SPDX-License-Identifier: MIT */
/* What a serving thread does between two requests. */
#include "os/clock.h"
#include "server/server.h"
#include <errno.h>
#include <fastcgi/error.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>

enum { SERVED = 1, TAKEN = 2 }; /* What a wait has brought. */

enum {
  LOOK_MS = 5,       /* From one look at the poller to the next. */
  REPORTS = 16,      /* Taken from the poller at once by a lone thread. */
  SPARE_TURNS = 64,  /* Looks of the spare thread at the poller. */
  STOP_LOOK_MS = 20, /* Between two looks in a stop. */
  SLOW_MS = 2        /* After which a client may well have gone. */
};

void fcgi__server_deadline(fcgi_server *server, long long when) {
  if (when >= atomic_load_explicit(&server->next_sweep, memory_order_relaxed))
    return;
  fcgi__lower_to(&server->next_sweep, when);
  if (atomic_load(&server->sleepers) > 0)
    fcgi__poller_wake(server->poller);
  fcgi__spare_deadline(server, when);
}

/* Threads of fcgi_server_run look at the ready list before they sleep, and
   wait_once once more after it is known that they will; only a sleeper, or a
   foreign event loop, has to be told. */
void fcgi__server_nudge(fcgi_server *server) {
  if (atomic_load(&server->sleepers) > 0 || atomic_load(&server->running) == 0)
    fcgi__poller_wake(server->poller);
}

void fcgi__server_each_connection(fcgi_server *server,
                                  void (*visit)(fcgi__connection *, void *),
                                  void *data) {
  unsigned count = atomic_load(&server->segment_count);
  for (unsigned i = 0; i < count; i++)
    for (unsigned j = 0; j < FCGI__POOL_SEGMENT; j++)
      visit(&server->segments[i][j], data);
}

/* Most deadlines are put off, or are met: a timer that comes too soon is set
   again when it is taken, so that nothing is done here as a rule. */
void fcgi__server_connection_due(fcgi__connection *connection, long long when,
                                 long long now) {
  fcgi_server *server = connection->server;
  long long next;
  if (fcgi__timer_is_soon(&connection->timer, when, now))
    return;
  next = fcgi__wheel_arm(&server->wheel, &connection->timer, when, now);
  fcgi__server_deadline(server, next);
}

static long long earliest(fcgi__connection *connection) {
  long long own = atomic_load(&connection->deadline);
  long long due = atomic_load(&connection->request_due);
  return own < due ? own : due;
}

/* What is due again at once has a moment. */
static void sweep_one(fcgi__connection *connection) {
  long long now = fcgi__now(), next;
  if (earliest(connection) <= now) {
    fcgi__connection_lock(connection);
    fcgi__connection_expire(connection, now);
    fcgi__connection_overdue(connection, now);
    fcgi__connection_settle(connection);
  }
  next = earliest(connection);
  fcgi__server_connection_due(connection, next > now ? next : now + 1, now);
}

/* As many as are due now: what becomes due again meanwhile is left to the next
   sweep, or a slow machine might never end this one. */
static void sweep_connections(fcgi_server *server, long long now) {
  const size_t offset = offsetof(fcgi__connection, timer);
  unsigned count = fcgi__wheel_turn(&server->wheel, now);
  fcgi__timer *timer;
  while (count-- > 0 && (timer = fcgi__wheel_take(&server->wheel)) != NULL)
    sweep_one((fcgi__connection *)((char *)timer - offset));
}

/* What else is seen to when its time has come. Returns when it is next. */
static long long sweep_server(fcgi_server *server, long long now) {
  long long next, told;
  if (atomic_load(&server->accept_again) <= now) {
    atomic_store(&server->accept_again, LLONG_MAX);
    fcgi__accept_resume(server);
  }
  next = fcgi__trouble_tell(&server->observer, now);
  told = fcgi__notify_again(&server->notify, server->starter.notify, now);
  next = told < next ? told : next;
  told = atomic_load(&server->accept_again);
  return told < next ? told : next;
}

/* Not before the earliest deadline known, and by one thread. */
void fcgi__server_sweep(fcgi_server *server) {
  long long now = fcgi__now(), due = atomic_load(&server->next_sweep);
  if (due > now ||
      !atomic_compare_exchange_strong(&server->next_sweep, &due, LLONG_MAX))
    return;
  sweep_connections(server, now);
  fcgi__server_deadline(server, sweep_server(server, now));
  fcgi__server_deadline(server, fcgi__wheel_next(&server->wheel));
}

/* Nobody has a connection in their hands, and none is open that counts. */
static int is_empty(fcgi_server *server, int stopping) {
  return atomic_load(&server->carrying) == 0 &&
         atomic_load(&server->ready_count) == 0 &&
         (stopping == FCGI__ABORTING || atomic_load(&server->open) == 0);
}

/* Whoever carries something counts as open what it takes, before it is done: so
   that is asked again when nothing is left to take. */
static int is_over(fcgi_server *server) {
  int stopping = atomic_load(&server->stopping);
  if (!stopping)
    return 0;
  fcgi__service_look(server);
  return is_empty(server, stopping) &&
         (stopping == FCGI__ABORTING ||
          (fcgi__share_is_through(server) &&
           fcgi__handover_is_through(server) && is_empty(server, stopping)));
}

static void serve_own(fcgi_server *server, void *owner) {
  if (owner == &server->handover)
    fcgi__handover_take(server);
  else if (owner == &server->share)
    fcgi__share_take(server);
  else if (owner != &server->lifeline)
    fcgi__accept_one(server, owner);
  else if (fcgi__lifeline_leave(&server->lifeline, server->poller))
    fcgi_server_stop(server, FCGI_STOP_GRACEFUL);
}

static inline void serve_report(fcgi_server *server,
                                const fcgi__ready *report) {
  fcgi__connection *connection = report->owner;
  if (fcgi__server_is_own(server, report->owner)) {
    serve_own(server, report->owner);
    return;
  }
  fcgi__connection_lock(connection);
  fcgi__connection_ready(connection, report->events);
  fcgi__connection_settle(connection);
}

void fcgi__server_serve(fcgi_server *server, const fcgi__ready *report) {
  serve_report(server, report);
}

/* What is ready alone is this thread's: TAKEN, with REQUEST in `event`. */
static int serve_only_report(fcgi_server *server, const fcgi__ready *report,
                             fcgi_server_event *event, int hold) {
  fcgi__connection *connection = report->owner;
  if (fcgi__server_is_own(server, report->owner)) {
    serve_own(server, report->owner);
    return SERVED;
  }
  fcgi__connection_lock(connection);
  connection->life.lone = 1;
  fcgi__connection_ready(connection, report->events);
  return fcgi__connection_settle_and_take(connection, event, hold) ? TAKEN
                                                                   : SERVED;
}

/* In a stop many deadlines are short, and whoever was told of one may be in a
   handler by then: each thread looks by itself. */
static int wait_ms(fcgi_server *server, long long until, long long now) {
  long long sweep_at = atomic_load(&server->next_sweep);
  int stopping = atomic_load(&server->stopping);
  if (sweep_at < until)
    until = sweep_at;
  if (until == LLONG_MAX && !stopping)
    return -1;
  if (stopping && until > now + STOP_LOOK_MS)
    until = now + STOP_LOOK_MS;
  if (until <= now)
    return 0;
  return until - now > INT_MAX ? INT_MAX : (int)(until - now);
}

/* No thread of this process is free to run what would be accepted, or taken
   from the queue; a server that stops may pass that on. Where workers share
   their work, what another process passes is left to whoever is free, too. */
static int is_to_serve(fcgi_server *server, const fcgi__ready *report,
                       int accept) {
  if (fcgi__server_is_listener(server, report->owner))
    return accept;
  if (report->owner == &server->handover)
    return !fcgi__share_is_used(&server->share);
  return report->owner != &server->share || fcgi__handover_is_on(server);
}

static void serve_all(fcgi_server *server, int accept) {
  fcgi__ready reports[REPORTS];
  int served = 1;
  for (int turns = 0; served && turns < SPARE_TURNS; turns++) {
    int count = fcgi__poller_wait(server->poller, reports, REPORTS, 0);
    served = 0;
    for (int i = 0; i < count; i++)
      if (is_to_serve(server, &reports[i], accept)) {
        if (fcgi__server_is_listener(server, reports[i].owner))
          fcgi__server_doubt(server);
        fcgi__server_serve(server, &reports[i]);
        served = 1;
      }
  }
}

static void carry_out_stop(fcgi_server *server) {
  if (atomic_load(&server->stop_wanted) != atomic_load(&server->stopping))
    fcgi__service_stop(server, 0);
}

/* A stop that is asked for comes first where workers share their work: what is
   at rest is not read any more.

   A wake that is taken here was meant for a thread that takes events: it is
   given back wherever one sleeps, or a foreign event loop waits. No thread
   leaves while a connection is in the hands of this one. */
void fcgi__server_serve_waiting(fcgi_server *server, int accept) {
  atomic_fetch_add(&server->carrying, 1);
  if (atomic_load(&server->share.queue.in) >= 0)
    carry_out_stop(server);
  if (!fcgi__share_is_used(&server->share) ||
      !fcgi__share_relieve(server, accept))
    serve_all(server, accept);
  carry_out_stop(server);
  atomic_fetch_sub(&server->carrying, 1);
  if (atomic_load(&server->ready_count) > 0 || is_over(server) ||
      atomic_load(&server->sleepers) > 0)
    fcgi__server_nudge(server);
}

int fcgi_server_wait_ms(fcgi_server *server) {
  if (fcgi_server_forked(server))
    return -1;
  return wait_ms(server, fcgi__service_wait(server), fcgi__now());
}

/* The connection of a request that goes on, though its handler has returned:
   settling it while there are sleepers registers it. */
static void watch_unwatched(fcgi_server *server) {
  fcgi__connection *connection = atomic_exchange(&server->unwatched, NULL);
  if (!connection)
    return;
  fcgi__connection_lock(connection);
  fcgi__connection_settle(connection);
}

/* Nobody was in the poller since then: every thread was busy. It is noted
   before the thread counts as one that is. */
static void note_busy(fcgi_server *server, long long since, long long now) {
  if (now - since >= SLOW_MS)
    fcgi__server_doubt(server);
}

/* The poller had nothing to report, so who comes next does not wait. `doubts`
   are those from before it was asked. */
static void note_nothing(fcgi_server *server, int doubts) {
  atomic_compare_exchange_strong(&server->doubts, &doubts, 0);
}

/* Ask the poller. While clients may be waiting it is asked without waiting
   first, which tells whether any are. */
static int ask_poller(fcgi_server *server, fcgi__ready *reports, int most,
                      int timeout) {
  int doubts = atomic_load(&server->doubts), count = 0;
  errno = EBUSY;
  if (doubts > 0)
    count = fcgi__poller_wait(server->poller, reports, most, 0);
  if (doubts > 0 && count == 0 && errno == ETIMEDOUT)
    note_nothing(server, doubts);
  if (count == 0 && (errno == EBUSY || (errno == ETIMEDOUT && timeout != 0)))
    count = fcgi__poller_wait(server->poller, reports, most, timeout);
  return count;
}

/* Where several threads wait, each takes one report at a time: it runs what it
   has read without a list, a lock or a wake, and a slow handler never sits on
   its neighbours' work. A lone thread has nobody to leave anything to. Where
   workers share their work, what is left over has to be seen to be given. */
static int most_reports(fcgi_server *server, int others, int shares) {
  int several = atomic_load_explicit(&server->several, memory_order_relaxed);
  if (others > 0 && !several)
    atomic_store_explicit(&server->several, 1, memory_order_relaxed);
  return others > 0 || (several && !shares) ? 1 : REPORTS;
}

/* How long to wait where requests are in the list: they came after the look at
   it. What is withheld may be all of it. */
static int wait_beside_ready(const fcgi_server *server, int timeout) {
  if (!atomic_load(&server->withholds))
    return 0;
  return timeout < 0 || timeout > LOOK_MS ? LOOK_MS : timeout;
}

/* Wait once and serve what came. 0 when a signal came, SERVED, TAKEN with the
   only request that came, or an error; `now` is the time after that. */
static int wait_once(fcgi_server *server, fcgi_server_event *event, int hold,
                     long long until, long long *now) {
  fcgi__ready reports[REPORTS];
  fcgi__board_slot *idle;
  long long alive;
  int others, timeout, count, shares;
  *now = fcgi__now();
  if (fcgi__share_is_used(&server->share) && fcgi__share_resume(server))
    return SERVED;
  if (atomic_load(&server->sleepers) == 0)
    note_busy(server, atomic_load(&server->looked), *now);
  others = (int)atomic_fetch_add(&server->sleepers, 1);
  if (atomic_load_explicit(&server->unwatched, memory_order_relaxed))
    watch_unwatched(server);
  alive = fcgi__service_wait(server);
  shares = fcgi__share_is_used(&server->share); /* Or is by now. */
  timeout = wait_ms(server, alive < until ? alive : until, *now);
  if (atomic_load(&server->ready_count) > 0)
    timeout = wait_beside_ready(server, timeout);
  if (shares && fcgi__held_any(&server->share.held))
    timeout = 0;
  idle = shares ? fcgi__share_enter(server) : NULL;
  count = ask_poller(server, reports, most_reports(server, others, shares),
                     timeout);
  if (idle)
    fcgi__share_leave(idle);
  atomic_fetch_sub(&server->sleepers, 1);
  *now = fcgi__now();
  atomic_store(&server->looked, *now);
  if (count == 0 && errno == EINTR)
    return 0;
  if (shares && fcgi__share_is_to_keep(server, count)) {
    fcgi__share_begin_with(server, reports, count);
    return SERVED;
  }
  if (count == 1)
    return serve_only_report(server, reports, event, hold);
  for (int i = 0; i < count; i++)
    serve_report(server, &reports[i]);
  return count < 0 ? count : SERVED;
}

/* Requests that are ready keep threads from the poller: others, on connections
   of their own, are not to wait for all of them. */
static void look_around(fcgi_server *server, long long now) {
  fcgi__ready reports[REPORTS];
  long long before = atomic_load(&server->looked);
  int count;
  if (now - before < LOOK_MS || atomic_load(&server->sleepers) > 0 ||
      !atomic_compare_exchange_strong(&server->looked, &before, now))
    return;
  note_busy(server, before, now);
  count = ask_poller(server, reports, REPORTS, 0);
  for (int i = 0; i < count; i++)
    serve_report(server, &reports[i]);
  if (atomic_load(&server->sleepers) > 0)
    fcgi__server_nudge(server); /* The wake may have been theirs. */
}

/* `looked`: the thread comes from the poller and not from a handler. */
static int pop_ready(fcgi_server *server, fcgi_server_event *event, int hold,
                     int looked) {
  fcgi_request *request;
  long long now;
  int found;
  if (atomic_load_explicit(&server->ready_count, memory_order_relaxed) == 0)
    return 0;
  now = looked ? atomic_load(&server->looked) : fcgi__now();
  if (!looked)
    look_around(server, now);
  pthread_mutex_lock(&server->lock);
  while ((request = fcgi__ready_doubtful(server, now)) != NULL) {
    pthread_mutex_unlock(&server->lock);
    fcgi__request_look(request);
    pthread_mutex_lock(&server->lock);
  }
  found = fcgi__ready_pop(server, event, hold);
  pthread_mutex_unlock(&server->lock);
  if (found && atomic_load(&server->ready_count) > 0 &&
      atomic_load(&server->sleepers) > 0)
    fcgi__poller_wake(server->poller);
  return found;
}

static void serve_offered(fcgi_server *server) {
  int fd = atomic_exchange(&server->offered, -1);
  if (fd >= 0)
    fcgi__connection_start(server, fd, 0);
}

static int count_event(fcgi_server *server, const fcgi_server_event *event) {
  if (event->type == FCGI_EVENT_REQUEST)
    fcgi__service_count(server);
  return 1;
}

int fcgi__server_take_event(fcgi_server *server, fcgi_server_event *event,
                            int timeout_ms, int hold) {
  long long until = timeout_ms < 0 ? LLONG_MAX : fcgi__now() + timeout_ms;
  int looked = 0, waits = timeout_ms != 0;
  if (fcgi_server_forked(server))
    return FCGI_ERR_CLOSED;
  if (atomic_load_explicit(&server->waits, memory_order_relaxed) != waits)
    atomic_store_explicit(&server->waits, waits, memory_order_relaxed);
  if (atomic_load_explicit(&server->spare.on, memory_order_relaxed))
    atomic_fetch_add(&server->spare.visits, 1);
  for (;;) {
    long long now;
    int result;
    if (atomic_load_explicit(&server->offered, memory_order_relaxed) >= 0)
      serve_offered(server);
    if (atomic_load(&server->stop_wanted) != atomic_load(&server->stopping))
      fcgi__service_stop(server, 1);
    fcgi__gather_flush(server);
    if (pop_ready(server, event, hold, looked))
      return count_event(server, event);
    if (is_over(server)) {
      fcgi__poller_wake_all(server->poller);
      fcgi__logs_flush(server->observer.logs);
      return FCGI_ERR_CLOSED;
    }
    if (looked && timeout_ms >= 0 && fcgi__now() >= until &&
        !fcgi__held_any(&server->share.held))
      return 0;
    result = wait_once(server, event, hold, until, &now);
    looked = 1;
    if (result <= 0)
      return result;
    if (atomic_load(&server->next_sweep) <= now)
      fcgi__server_sweep(server);
    if (result == TAKEN)
      return count_event(server, event);
  }
}

int fcgi_server_next(fcgi_server *server, fcgi_server_event *event,
                     int timeout_ms) {
  if (event->size < sizeof *event)
    return FCGI_ERR_INVALID;
  return fcgi__server_take_event(server, event, fcgi__wait_ms(timeout_ms), 0);
}
