/* SPDX-License-Identifier: MIT */
/* Memory that requests take, by connection and server. */
#include "server/connection.h"
#include "server/server.h"

enum {
  SMALLEST = 4096, /* A window or a body has this much room in any case. */
  STEP = 32 * 1024 /* Smaller changes of a session cost no count. */
};

size_t fcgi__connection_share(const fcgi__connection *connection,
                              size_t wanted) {
  size_t count = connection->requests, share;
  if (count < 2)
    return wanted;
  share = connection->server->config.connection_memory / count;
  if (share < SMALLEST)
    share = SMALLEST;
  return wanted < share ? wanted : share;
}

static void change(fcgi_server *server, size_t before, size_t now) {
  atomic_fetch_add_explicit(&server->memory, now - before,
                            memory_order_relaxed);
  fcgi__tally_add(server, FCGI_STATUS_MEMORY, 0);
}

void fcgi__connection_hold(fcgi__connection *connection, size_t before,
                           size_t now) {
  if (before == now)
    return;
  atomic_fetch_add_explicit(&connection->bodies, now - before,
                            memory_order_relaxed);
  change(connection->server, before, now);
}

int fcgi__connection_is_full(const fcgi__connection *connection) {
  const fcgi_server *server = connection->server;
  return atomic_load_explicit(&connection->bodies, memory_order_relaxed) >=
             server->config.connection_memory ||
         atomic_load_explicit(&server->memory, memory_order_relaxed) >=
             server->config.server_memory;
}

void fcgi__connection_count(fcgi__connection *connection, int freed) {
  size_t before = connection->counted;
  size_t now = freed ? 0 : fcgi_session_held(connection->session);
  size_t by = now > before ? now - before : before - now;
  if (by == 0 || (by < STEP && !freed))
    return;
  connection->counted = now;
  change(connection->server, before, now);
}
