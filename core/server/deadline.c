/* SPDX-License-Identifier: MIT */
/* How long a connection may stay as it is, and what happens after that. */
#include "server/connection.h"
#include "server/request.h"
#include "server/server.h"
#include <limits.h>

static fcgi__wait_kind kind_of_wait(const fcgi__connection *connection,
                                    unsigned flags) {
  if (connection->lingering)
    return FCGI__WAIT_LINGER;
  if (flags & FCGI_SESSION_DRAINING)
    return FCGI__WAIT_DRAIN;
  if (connection->held)
    return FCGI__WAIT_HOLD;
  if (fcgi__connection_is_stuck(connection))
    return FCGI__WAIT_STUCK;
  if (connection->blocked)
    return FCGI__WAIT_OUTPUT;
  if (flags & FCGI_SESSION_PARAMS)
    return FCGI__WAIT_HEADER;
  if (connection->collecting > 0)
    return FCGI__WAIT_BODY;
  return flags & FCGI_SESSION_ACTIVE ? FCGI__WAIT_NONE : FCGI__WAIT_IDLE;
}

enum { PASS_AGAIN_MS = 10 }; /* After a carrier socket was full. */

static int idle_timeout(fcgi_server *server) {
  if (fcgi__handover_is_on(server))
    return PASS_AGAIN_MS;
  return atomic_load(&server->stopping) ? server->config.drain_silence_ms
                                        : server->config.idle_timeout_ms;
}

/* Calls that never wait still leave the peer some time. A server that stops
   leaves a new connection only a little. */
static int timeout_of(fcgi_server *server, fcgi__wait_kind kind) {
  const fcgi_server_config *config = &server->config;
  switch (kind) {
  case FCGI__WAIT_IDLE:
    return idle_timeout(server);
  case FCGI__WAIT_HEADER:
    return config->header_timeout_ms;
  case FCGI__WAIT_BODY:
  case FCGI__WAIT_OUTPUT:
    return config->io_timeout_ms == FCGI_WAIT_NEVER ? 60000
                                                    : config->io_timeout_ms;
  case FCGI__WAIT_DRAIN:
  case FCGI__WAIT_STUCK:
  case FCGI__WAIT_LINGER:
    return config->drain_silence_ms;
  case FCGI__WAIT_HOLD: /* Each hold has its own. */
    return 0;
  case FCGI__WAIT_NONE:
    break;
  }
  return -1;
}

static void begin_drain(fcgi__connection *connection, long long now) {
  connection->drain_end = now + connection->server->config.drain_timeout_ms;
  connection->drain_start = fcgi_session_drained(connection->session);
}

/* The header timeout counts from its start, so that one byte a second gains
   nothing, as that of output does from the last that left; draining and
   lingering have an end however much comes. */
static int is_running(const fcgi__connection *connection,
                      fcgi__wait_kind kind) {
  return connection->wait_kind == kind &&
         (kind == FCGI__WAIT_HEADER || kind == FCGI__WAIT_NONE ||
          (kind == FCGI__WAIT_OUTPUT && !connection->moved));
}

void fcgi__connection_set_deadline(fcgi__connection *connection,
                                   unsigned flags) {
  fcgi__wait_kind kind = kind_of_wait(connection, flags);
  long long now, deadline = LLONG_MAX;
  int same = connection->wait_kind == kind, timeout;
  if (is_running(connection, kind))
    return;
  timeout = timeout_of(connection->server, kind);
  connection->wait_kind = (uint8_t)kind;
  connection->moved = 0;
  if (timeout >= 0) {
    now = fcgi__now();
    deadline = now + timeout;
    if (kind == FCGI__WAIT_HOLD)
      deadline = connection->hold_end - connection->hold_ms;
    if (kind == FCGI__WAIT_DRAIN && !same)
      begin_drain(connection, now);
    if ((kind == FCGI__WAIT_DRAIN || kind == FCGI__WAIT_LINGER) &&
        deadline > connection->drain_end)
      deadline = connection->drain_end;
  }
  /* Before the look at the next sweep, or a sweep under way would miss it. */
  atomic_store(&connection->deadline, deadline);
  fcgi__server_deadline(connection->server, deadline);
}

/* Requests of others may run on the same connection: they go on. */
static void expire_bodies(fcgi__connection *connection) {
  fcgi__server_log(connection->server, FCGI_LOG_INFO,
                   "a request body stopped coming: answered 408");
  for (fcgi_request *at = connection->all, *next; at; at = next) {
    next = at->all_next;
    fcgi__request_expire(at);
  }
}

void fcgi__connection_expire(fcgi__connection *connection, long long now) {
  if (connection->fd < 0 || atomic_load(&connection->deadline) > now)
    return;
  switch ((fcgi__wait_kind)connection->wait_kind) {
  case FCGI__WAIT_NONE:
    break;
  case FCGI__WAIT_IDLE:
    if (!fcgi__handover_is_on(connection->server))
      fcgi_session_stop(connection->session);
    break;
  case FCGI__WAIT_HEADER:
    fcgi__server_log(connection->server, FCGI_LOG_INFO,
                     "a request's parameters stopped coming: closed");
    fcgi__connection_lost(connection, FCGI_ABORT_TIMEOUT);
    break;
  case FCGI__WAIT_BODY:
    expire_bodies(connection);
    break;
  case FCGI__WAIT_DRAIN:
    fcgi_session_stop_draining(connection->session);
    break;
  case FCGI__WAIT_HOLD:
    connection->held = 0;
    fcgi__connection_resume(connection);
    break;
  case FCGI__WAIT_STUCK:
    fcgi__connection_spill(connection);
    break;
  case FCGI__WAIT_OUTPUT:
    fcgi__connection_lost(connection, FCGI_ABORT_TIMEOUT);
    break;
  case FCGI__WAIT_LINGER:
    connection->half_closed = 1;
    break;
  }
  connection->flush = 1;
}
