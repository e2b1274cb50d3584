/* SPDX-License-Identifier: MIT */
/* Memory that requests take, by connection and server. */
#include "server/connection.h"
#include "server/request.h"
#include "server/server.h"

enum { SMALLEST = 4096 }; /* A window or a body has this much in any case. */

/* Bodies and windows share half of it, so that they leave room for parameters
   and for requests to come. */
static size_t half(const fcgi__connection *connection) {
  return connection->server->config.connection_memory / 2;
}

size_t fcgi__connection_share(const fcgi__connection *connection,
                              size_t wanted) {
  size_t count = connection->life.requests, share;
  if (count < 2)
    return wanted;
  share = half(connection) / count;
  if (share < SMALLEST)
    share = SMALLEST;
  return wanted < share ? wanted : share;
}

static void change(fcgi_server *server, size_t before, size_t now) {
  atomic_fetch_add_explicit(&server->memory, now - before,
                            memory_order_relaxed);
  fcgi__observe_set(&server->observer, FCGI_METRIC_MEMORY,
                    atomic_load(&server->memory));
}

void fcgi__connection_hold(fcgi__connection *connection, size_t before,
                           size_t now) {
  if (before == now)
    return;
  atomic_fetch_add_explicit(&connection->bodies, now - before,
                            memory_order_relaxed);
  change(connection->server, before, now);
}

int fcgi__server_is_full(const fcgi_server *server) {
  return atomic_load_explicit(&server->memory, memory_order_relaxed) >=
         server->config.server_memory;
}

static size_t bodies(const fcgi__connection *connection) {
  return atomic_load_explicit(&connection->bodies, memory_order_relaxed);
}

int fcgi__connection_is_full(const fcgi__connection *connection) {
  return bodies(connection) >= half(connection) ||
         fcgi__server_is_full(connection->server);
}

int fcgi__connection_refuses(const fcgi__connection *connection) {
  size_t most = connection->server->config.connection_memory;
  return fcgi__server_is_full(connection->server) ||
         (connection->life.requests > 0 &&
          bodies(connection) + fcgi_session_held(connection->session) >= most);
}

void fcgi__connection_count(fcgi__connection *connection, int freed) {
  size_t before = connection->life.counted;
  size_t now = freed ? 0
                     : fcgi_session_held(connection->session) +
                           connection->life.requests * sizeof(fcgi_request);
  if (now == before)
    return;
  connection->life.counted = now;
  change(connection->server, before, now);
}
