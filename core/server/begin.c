/* SPDX-License-Identifier: MIT */
/* What begins with a server, before its first wait, and what whoever started
   it is told. */
#include "os/clock.h"
#include "server/server.h"
#include <limits.h>
#include <sched.h>

/* What is owed is sent by whichever thread sweeps. */
int fcgi__server_tell(fcgi_server *server, unsigned what) {
  fcgi__notify *notify = &server->notify;
  int result = fcgi__notify_tell(notify, server->starter.notify, what);
  if (atomic_load(&notify->owed))
    fcgi__server_deadline(server, fcgi__now() + FCGI__NOTIFY_AGAIN_MS);
  return result;
}

static void tell_ready(fcgi_server *server) {
  int stops = fcgi__lifeline_watch(&server->lifeline, server->poller,
                                   server->orphan.lifeline);
  fcgi__server_tell(server, FCGI__NOTIFY_READY |
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
  fcgi__spare_start(server, atomic_load(&server->observer.slot) && wanted);
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
  fcgi__orphan_find(&server->orphan, server->starter.supervisor);
  begin_watching(server);
  fcgi__logs_start(server->observer.logs);
  fcgi__starter_forget();
  atomic_store(&server->begun, 1);
  if (server->starter.notify[0])
    tell_ready(server);
}

long long fcgi__server_waiting(fcgi_server *server) {
  if (!atomic_load_explicit(&server->begun, memory_order_acquire))
    begin(server);
  return fcgi__notify_alive(&server->notify, server->starter.notify);
}

void fcgi__server_stopping(fcgi_server *server) {
  fcgi__observer_state(&server->observer, FCGI_WORKER_DRAINING);
  if (atomic_load(&server->ready))
    fcgi__server_tell(server, FCGI__NOTIFY_STOPPING);
}
