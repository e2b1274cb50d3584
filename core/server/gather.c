/* SPDX-License-Identifier: MIT */
/* A system call for each answer costs more than a quick handler. So where many
   requests of one connection are ready, and handlers have been quick for a
   while, and every thread is busy, an answer waits for the next few. One that
   is slow all the same delays those that wait, as it delays the requests
   behind it; then each answer leaves by itself again. */
#include "server/gather.h"
#include "server/server.h"

enum {
  QUICK_US = 100, /* A handler up to here is quick. */
  QUICK_RUN = 64, /* So many in a row, before any answer waits. */
  HOLD_US = 200,  /* How long answers wait at most, */
  HOLD_MOST = 64  /* and how many of them. */
};

static uint64_t now_us(void) {
  return fcgi__board_now();
}

/* Only requests that others of their connection wait behind, or whose own
   answer makes others wait, need the clock. */
void fcgi__gather_begin(fcgi_request *request) {
  fcgi__connection *connection = request->connection;
  fcgi__gather *gather = &connection->server->gather;
  if (atomic_load_explicit(&connection->waiting, memory_order_relaxed) > 0 ||
      atomic_load_explicit(&gather->held, memory_order_relaxed) == connection)
    request->given_us = now_us();
}

void fcgi__gather_end(fcgi_request *request) {
  fcgi__gather *gather = &request->connection->server->gather;
  if (request->given_us == 0)
    return;
  if (now_us() - request->given_us > QUICK_US)
    atomic_store_explicit(&gather->quick, 0, memory_order_relaxed);
  else if (atomic_load_explicit(&gather->quick, memory_order_relaxed) <
           QUICK_RUN)
    atomic_fetch_add_explicit(&gather->quick, 1, memory_order_relaxed);
}

static int is_worthwhile(fcgi__connection *connection) {
  fcgi_server *server = connection->server;
  return atomic_load_explicit(&connection->waiting, memory_order_relaxed) > 0 &&
         atomic_load_explicit(&server->gather.quick, memory_order_relaxed) >=
             QUICK_RUN &&
         atomic_load_explicit(&server->sleepers, memory_order_relaxed) == 0 &&
         !connection->blocked && !connection->lost && !connection->files &&
         (fcgi_session_flags(connection->session) & FCGI_SESSION_OUTPUT);
}

static int is_within_limits(fcgi__connection *connection) {
  if (connection->gathered == 0)
    connection->gathered_us = now_us();
  else if (connection->gathered >= HOLD_MOST ||
           now_us() - connection->gathered_us > HOLD_US)
    return 0;
  connection->gathered++;
  return 1;
}

int fcgi__gather_holds(fcgi__connection *connection) {
  fcgi__gather *gather = &connection->server->gather;
  fcgi__connection *held = NULL;
  if (!is_worthwhile(connection) || !is_within_limits(connection))
    return 0;
  return atomic_compare_exchange_strong(&gather->held, &held, connection) ||
         held == connection;
}

void fcgi__gather_clear(fcgi__connection *connection) {
  fcgi__connection *held = connection;
  if (connection->gathered == 0)
    return;
  connection->gathered = 0;
  atomic_compare_exchange_strong(&connection->server->gather.held, &held, NULL);
}

void fcgi__gather_flush(fcgi_server *server) {
  fcgi__connection *held = atomic_load(&server->gather.held), *next;
  if (!held)
    return;
  pthread_mutex_lock(&server->lock);
  next = server->ready_first ? server->ready_first->connection : NULL;
  pthread_mutex_unlock(&server->lock);
  if (next == held)
    return;
  fcgi__connection_lock(held);
  if (held->gathered > 0)
    held->gathered = HOLD_MOST;
  fcgi__connection_settle(held);
}
