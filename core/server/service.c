/* SPDX-License-Identifier: MIT */
#include "server/service.h"
#include "os/clock.h"
#include "server/server.h"
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <unistd.h>

/* What is owed is sent by whichever thread sweeps. */
int fcgi__service_tell(fcgi_server *server, unsigned what) {
  fcgi__notify *notify = &server->notify;
  int result = fcgi__notify_tell(notify, server->starter.notify, what);
  if (atomic_load(&notify->owed))
    fcgi__server_deadline(server, fcgi__now() + FCGI__NOTIFY_AGAIN_MS);
  return result;
}

static void tell_ready(fcgi_server *server) {
  int stops = fcgi__lifeline_watch(&server->lifeline, server->poller,
                                   server->orphan.lifeline);
  fcgi__service_tell(server, FCGI__NOTIFY_READY |
                                 (stops ? FCGI__NOTIFY_STOPS_BY_PIPE : 0U));
  fcgi__notify_begin(&server->notify, server->starter.alive_ms);
}

static int is_watched(const fcgi_server *server) {
  const fcgi_server_config *config = &server->config;
  return config->status_path || config->ping_path ||
         config->request_timeout_ms > 0 || config->slow_log_ms > 0;
}

static void begin_watching(fcgi_server *server) {
  int wanted = is_watched(server);
  server->observer.thread_ids = server->config.slow_log_ms > 0;
  fcgi__observer_begin(&server->observer, server->starter.board, wanted);
  fcgi__kept_show(server);
  fcgi__share_begin(server);
  fcgi__spare_start(server, atomic_load(&server->observer.slot) && wanted);
}

static void find_parent(fcgi_server *server) {
  const char *text = server->starter.supervisor;
  const char *wrong = fcgi__orphan_find(&server->orphan, text);
  if (wrong)
    fcgi__server_log(server, FCGI_LOG_WARNING,
                     "FASTCGI_SUPERVISOR=\"%.64s\": %s; only a signal stops "
                     "this worker",
                     text, wrong);
}

/* A process that answers one CGI request is no service. No thread goes on to
   serve before all has begun, or its first requests would have no deadline. */
static void begin(fcgi_server *server) {
  if (server->listener_count == 0)
    return;
  if (atomic_exchange(&server->ready, 1)) {
    while (!atomic_load(&server->begun))
      sched_yield();
    return;
  }
  find_parent(server);
  begin_watching(server);
  fcgi__logs_start(server->observer.logs);
  fcgi__starter_forget();
  atomic_store(&server->begun, 1);
  if (server->starter.notify[0])
    tell_ready(server);
}

long long fcgi__service_wait(fcgi_server *server) {
  if (!atomic_load_explicit(&server->begun, memory_order_acquire))
    begin(server);
  return fcgi__notify_alive(&server->notify, server->starter.notify);
}

static void tell_stopping(fcgi_server *server) {
  fcgi__observer_state(&server->observer, FCGI_WORKER_DRAINING);
  if (atomic_load(&server->ready))
    fcgi__service_tell(server, FCGI__NOTIFY_STOPPING);
}

/* What is larger says "never", and "none". */
#define MOST ((uint64_t)LLONG_MAX / 2)

/* Processes that were started together shall not end together. The numbers are
   spread, not secret. */
static uint64_t spread(uint64_t jitter) {
  uint64_t seed = (uint64_t)fcgi__now() << 22 ^ (uint64_t)getpid();
  for (int i = 0; i < 2; i++) {
    seed = (seed ^ (seed >> 31)) * UINT64_C(0x9e3779b97f4a7c15);
    seed ^= seed >> 29;
  }
  return seed % (jitter + 1);
}

void fcgi__service_limit(fcgi_server *server) {
  const fcgi_server_config *config = &server->config;
  uint64_t after = config->max_requests, jitter = config->max_requests_jitter;
  server->service.on = after > 0 && after <= MOST;
  if (server->service.on)
    atomic_init(&server->service.left,
                (long long)(after + spread(jitter <= MOST ? jitter : 0)));
}

/* A supervisor of ours starts another process first and then stops this one.
   Any other sees it end, and starts it again. */
static void retire(fcgi_server *server) {
  if (server->listener_count == 0)
    return;
  if (atomic_load(&server->handover.out) >= 0 &&
      fcgi__service_tell(server, FCGI__NOTIFY_RETIRE) == 0)
    return;
  fcgi__server_log(server, FCGI_LOG_INFO,
                   "as many requests as a process may serve; stopping");
  fcgi_server_stop(server, FCGI_STOP_GRACEFUL);
}

void fcgi__service_count(fcgi_server *server) {
  if (server->service.on && atomic_fetch_sub(&server->service.left, 1) == 1)
    retire(server);
}

static void stop_one(fcgi__connection *connection, void *data) {
  const int *how = data;
  fcgi__connection_lock(connection);
  fcgi__connection_stop(
      connection, *how == FCGI__ABORTING ? FCGI_STOP_NOW : FCGI_STOP_GRACEFUL);
  fcgi__connection_settle(connection);
}

/* Clients that have connected already are served: what we listen on ourselves
   goes away, and they would be reset. Of what is inherited others accept too,
   but for those that each of our threads may have been woken for; where all of
   them are inside handlers, nobody here would serve one soon. */
static void accept_last(fcgi_server *server, int own) {
  int woken = own + (int)atomic_load(&server->sleepers);
  for (size_t i = 0; i < server->listener_count; i++)
    fcgi__accept_some(server, &server->listeners[i],
                      server->listeners[i].own ? server->config.backlog
                                               : woken);
}

/* A client that connects now shall learn at once that nobody accepts. Another
   thread may be about to call accept4(2), so the numbers stay taken, by
   something that cannot accept: where no descriptor is left to open, stderr. */
static void close_listeners(fcgi_server *server) {
  int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
  int instead = nothing >= 0 ? nothing : STDERR_FILENO;
  for (size_t i = 0; i < server->listener_count; i++)
    fcgi__listener_retire(&server->listeners[i], instead);
  if (nothing >= 0)
    close(nothing);
}

/* Others may want listeners whose supervisor is gone. Another thread may be
   about to use them: the numbers stay taken. */
static void let_go_of_listeners(fcgi_server *server) {
  int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (nothing < 0)
    return;
  for (size_t i = 0; i < server->listener_count; i++)
    if (!server->listeners[i].own)
      dup3(nothing, server->listeners[i].fd, O_CLOEXEC);
  close(nothing);
}

/* Without a supervisor nobody begins to serve what is passed on. The signal of
   its death comes with the end of its first thread, when it has not quite
   gone: so this is asked for as long as the stop lasts. */
void fcgi__service_look(fcgi_server *server) {
  if (atomic_load(&server->service.alone) ||
      !fcgi__orphan_is_one(&server->orphan))
    return;
  atomic_store(&server->handover.out, -1);
  fcgi__orphan_stopping(&server->orphan);
  if (atomic_load(&server->service.last) &&
      !atomic_exchange(&server->service.alone, 1))
    let_go_of_listeners(server);
}

static void carry_out(fcgi_server *server, int own) {
  int wanted = atomic_load(&server->stop_wanted);
  fcgi__service_look(server); /* Threads that see the stop pass things on. */
  if (atomic_exchange(&server->stopping, wanted) == wanted)
    return;
  tell_stopping(server);
  fcgi__accept_off(server);
  if (wanted == FCGI__STOPPING)
    accept_last(server, own);
  else
    fcgi__handover_tell(server);
  fcgi__handover_stop_taking(server);
  fcgi__share_stop(server);
  close_listeners(server);
  atomic_store(&server->service.last, 1);
  fcgi__service_look(server);
  fcgi__server_each_connection(server, stop_one, &wanted);
  if (wanted == FCGI__ABORTING)
    fcgi__poller_wake_all(server->poller);
}

/* Until it is carried out no thread may leave: connections are accepted and
   taken meanwhile, perhaps by a thread that serves no requests. */
void fcgi__service_stop(fcgi_server *server, int own) {
  atomic_fetch_add(&server->carrying, 1);
  carry_out(server, own);
  atomic_fetch_sub(&server->carrying, 1);
}
