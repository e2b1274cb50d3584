/* SPDX-License-Identifier: MIT */
/* Memory of connections. It is reused but never given back while the server
   lives: a thread may hold a report of the poller for a connection that
   another thread has closed meanwhile, and finds valid memory. */
#include "server/server.h"
#include <limits.h>

static fcgi__connection *add_segment(fcgi_server *server) {
  unsigned at = atomic_load(&server->segment_count);
  fcgi__connection *segment;
  if (at == FCGI__POOL_SEGMENTS)
    return NULL;
  segment =
      fcgi__calloc(&server->allocator, FCGI__POOL_SEGMENT * sizeof *segment);
  if (!segment)
    return NULL;
  for (unsigned i = 0; i < FCGI__POOL_SEGMENT; i++) {
    segment[i].server = server;
    segment[i].fd = -1;
    segment[i].next = i + 1 < FCGI__POOL_SEGMENT ? &segment[i + 1] : NULL;
    fcgi__timer_init(&segment[i].timer);
    atomic_init(&segment[i].deadline, LLONG_MAX);
    atomic_init(&segment[i].request_due, LLONG_MAX);
    pthread_mutex_init(&segment[i].lock, NULL);
  }
  server->segments[at] = segment;
  atomic_store(&server->segment_count, at + 1);
  return segment;
}

fcgi__connection *fcgi__pool_take(fcgi_server *server) {
  fcgi__connection *connection;
  pthread_mutex_lock(&server->lock);
  connection = server->unused;
  if (!connection)
    connection = add_segment(server);
  if (connection) {
    server->unused = connection->next;
    atomic_fetch_add(&server->open, 1);
  }
  pthread_mutex_unlock(&server->lock);
  if (connection && !fcgi__accept_has_room(server))
    fcgi__accept_check(server);
  return connection;
}

void fcgi__pool_give_back(fcgi_server *server, fcgi__connection *connection) {
  unsigned open;
  pthread_mutex_lock(&server->lock);
  connection->next = server->unused;
  server->unused = connection;
  open = atomic_fetch_sub(&server->open, 1) - 1;
  pthread_mutex_unlock(&server->lock);
  fcgi__observe_set(&server->observer, FCGI_METRIC_OPEN,
                    atomic_load(&server->open));
  if (!atomic_load(&server->accepting))
    fcgi__accept_resume(server);
  if (open == 0 && atomic_load(&server->stopping))
    fcgi__poller_wake(server->poller);
}
