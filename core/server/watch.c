/* SPDX-License-Identifier: MIT */
/* What the poller is told of a connection. */
#include "server/connection.h"
#include "server/server.h"
#include <errno.h>
#include <string.h>

/* It is not one that wait_once has to register. */
static void leave_unwatched(fcgi__connection *connection) {
  fcgi__connection *expected = connection;
  atomic_compare_exchange_strong(&connection->server->unwatched, &expected,
                                 NULL);
}

/* What to watch for. IN is there even while nothing is read: an edge costs
   nothing then, and adding IN later would. */
static unsigned events_watched(const fcgi__connection *connection) {
  return FCGI__POLL_IN | (connection->life.blocked ? FCGI__POLL_OUT : 0u);
}

/* What a level would be reported for without end must not be asked for. */
static unsigned events_to_rearm(const fcgi__connection *connection) {
  unsigned events = events_watched(connection);
  if (!fcgi__connection_takes_input(connection))
    events &= ~(unsigned)FCGI__POLL_IN;
  return events;
}

static void register_it(fcgi__connection *connection) {
  if (connection->life.registered)
    return;
  if (fcgi__poller_add(connection->server->poller, connection->fd,
                       events_watched(connection), connection)) {
    fcgi__server_log(connection->server, FCGI_LOG_ERROR,
                     "cannot watch a connection: %s", strerror(errno));
    connection->life.reset = 1;
    fcgi__connection_lost(connection, FCGI_ABORT_CONNECTION);
    return;
  }
  leave_unwatched(connection);
  connection->life.registered = 1;
  connection->life.polls_out = connection->life.blocked;
  connection->life.reported = 0;
}

/* With one thread, a connection that is closed after its only request need
   not be polled at all while its handler runs: nobody could take the report.
   One that is still open when a thread goes to sleep is registered then. */
static int stays_unregistered(fcgi__connection *connection) {
  fcgi__connection *none = NULL;
  fcgi_server *server = connection->server;
  return !connection->life.keep && connection->life.requests > 0 &&
         connection->life.reading == 0 && !connection->life.blocked &&
         atomic_load_explicit(&server->sleepers, memory_order_relaxed) == 0 &&
         (atomic_compare_exchange_strong(&server->unwatched, &none,
                                         connection) ||
          none == connection);
}

/* Threads that wait for this connection serve it, but they chose what to poll
   for before there was output that waits. */
static void wake_for_output(fcgi__connection *connection) {
  const fcgi__waiter *at = connection->waiters;
  while (at && !at->writes)
    at = at->next;
  if (connection->life.blocked && !at)
    fcgi__connection_wake(connection);
}

/* Edges of epoll go on by themselves; it is told only when output begins or
   ceases to wait for room, or when bytes were left in the socket on purpose. */
void fcgi__connection_watch(fcgi__connection *connection) {
  fcgi__poller *poller = connection->server->poller;
  if (!connection->life.registered && !connection->life.parting &&
      !stays_unregistered(connection))
    register_it(connection);
  if (connection->busy > 0)
    wake_for_output(connection);
  if (!connection->life.registered || connection->busy > 0)
    return;
  if (connection->life.polls_out != connection->life.blocked ||
      connection->life.unread) {
    connection->life.polls_out = connection->life.blocked;
    fcgi__poller_change(poller, connection->fd, events_watched(connection),
                        connection);
  } else if (connection->life.reported &&
             !fcgi__connection_is_lost(connection)) {
    fcgi__poller_rearm(poller, connection->fd, events_to_rearm(connection));
  }
  connection->life.unread = connection->life.reported = 0;
}

void fcgi__connection_unwatch(fcgi__connection *connection) {
  if (connection->life.registered)
    fcgi__poller_remove(connection->server->poller, connection->fd);
  else
    leave_unwatched(connection);
}
