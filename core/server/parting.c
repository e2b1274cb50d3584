/* SPDX-License-Identifier: MIT */
#include "server/parting.h"
#include "os/clock.h"
#include "server/server.h"
#include <poll.h>
#include <sys/socket.h>

/* One that is not registered need not be for this: nearly every peer closes as
   soon as it has the answer, so one look a little later is enough, and saves
   two system calls a connection. Where they are scarce none waits for it, nor
   where a foreign event loop may not know of deadlines. */
static int looks_later(const fcgi__connection *connection) {
  fcgi_server *server = connection->server;
  return !connection->life.registered && !atomic_load(&server->stopping) &&
         atomic_load(&server->waits) && fcgi__accept_has_room(server);
}

/* The one whose place is taken has had that little time. Its lock is only
   tried: whoever has it sees to it, or its deadline does. */
static void enlist(fcgi__connection *connection) {
  fcgi__parting *parting = &connection->server->parting;
  unsigned at = atomic_fetch_add(&parting->count, 1) % FCGI__PARTING;
  fcgi__connection *before = atomic_exchange(&parting->latest[at], connection);
  connection->life.parting = 1;
  if (!before || before == connection ||
      pthread_mutex_trylock(&before->lock) != 0)
    return;
  if (before->fd < 0 || !before->life.parting) {
    fcgi__connection_unlock_only(before);
    return;
  }
  fcgi__connection_look_after(before);
  fcgi__connection_settle(before);
}

void fcgi__connection_tire(fcgi__connection *connection) {
  const unsigned busy =
      FCGI_SESSION_OUTPUT | FCGI_SESSION_ACTIVE | FCGI_SESSION_PARAMS;
  connection->life.dull = !(fcgi_session_flags(connection->session) & busy);
  fcgi_session_stop(connection->session);
}

/* One that ends for want of requests has no answer under way. */
static int may_close(const fcgi__connection *connection) {
  return connection->life.phase != FCGI__OPEN || connection->life.reset ||
         connection->life.dull;
}

/* Our side is shut in any case: close(2) is no end where a child that a handler
   has forked holds a copy. */
void fcgi__connection_part(fcgi__connection *connection) {
  int shut = connection->life.reset || fcgi__connection_is_shut(connection) ||
             shutdown(connection->fd, SHUT_WR) == 0;
  if (!shut || may_close(connection)) {
    fcgi__connection_close(connection);
    return;
  }
  connection->life.phase = FCGI__LINGERING;
  connection->life.intake = FCGI__READS;
  connection->life.drain_end =
      fcgi__now() + connection->server->config.drain_timeout_ms;
  if (looks_later(connection))
    enlist(connection);
}

void fcgi__connection_look_after(fcgi__connection *connection) {
  connection->life.parting = 0;
  fcgi__connection_receive(connection);
}

/* Of a peer that has hung up nobody reads an answer any more, so no handler
   begins for it. */
int fcgi__connection_has_hung_up(const fcgi__connection *connection) {
  struct pollfd at = {.fd = connection->fd};
  return poll(&at, 1, 0) > 0 && (at.revents & (POLLHUP | POLLERR)) != 0;
}

static void lose(fcgi__connection *connection) {
  if (fcgi__connection_was_reset(connection))
    fcgi__connection_lost_by_reset(connection);
  else
    fcgi__connection_lost(connection, FCGI_ABORT_CONNECTION);
}

void fcgi__connection_look(fcgi__connection *connection) {
  if (connection->fd >= 0 && !fcgi__connection_is_lost(connection) &&
      fcgi__connection_has_hung_up(connection))
    lose(connection);
}

void fcgi__connection_receive_last(fcgi__connection *connection) {
  connection->life.gone = 1;
  fcgi__connection_receive(connection);
  if (connection->fd >= 0 && !fcgi__connection_is_lost(connection))
    lose(connection);
}

/* A thread may take a request as soon as it is ready, so the socket is asked
   before. */
void fcgi__connection_receive_late(fcgi__connection *connection) {
  if (fcgi__connection_has_hung_up(connection))
    fcgi__connection_receive_last(connection);
  else
    fcgi__connection_receive(connection);
}
