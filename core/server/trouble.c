/* SPDX-License-Identifier: MIT */
/* What others do wrong to a server. */
#include "server/server.h"
#include <limits.h>
#include <stdio.h>

void fcgi__server_trouble(fcgi_server *server, fcgi__trouble_kind kind,
                          const char *cause, fcgi_log_level level,
                          const char *format, ...) {
  long long due;
  va_list arguments;
  va_start(arguments, format);
  due = fcgi__trouble_vnote(&server->observer, kind, cause, level, format,
                            arguments);
  va_end(arguments);
  if (due != LLONG_MAX)
    fcgi__server_deadline(server, due);
}

/* Bytes are told only where the peer began with them: later ones are a
   client's. The cause leaves them out, for others may come each time. */
void fcgi__connection_tell_broken(const fcgi__connection *connection,
                                  int error) {
  char cause[FCGI__CAUSE_NAME];
  fcgi__stranger came;
  fcgi__peer who;
  fcgi__stranger_find(&came,
                      connection->life.fresh ? connection->life.fed : NULL,
                      connection->life.fed_len, error);
  fcgi__peer_of(connection->fd, &who);
  snprintf(cause, sizeof cause, "%s from %s", came.sort, who.place);
  fcgi__server_trouble(connection->server, FCGI__TROUBLE_PROTOCOL, cause,
                       FCGI_LOG_WARNING,
                       "closed the connection of %s, from which came %s%s",
                       who.name, came.what, came.advice);
}
