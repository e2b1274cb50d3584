/* SPDX-License-Identifier: MIT */
/* Peers that have hung up: nobody reads an answer any more, so no handler
   begins for them. */
#include "server/connection.h"
#include <poll.h>

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
