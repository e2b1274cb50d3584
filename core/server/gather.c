/* SPDX-License-Identifier: MIT */
/* A system call for each answer costs more than a quick handler. So where many
   requests of one connection are ready, one has followed the other soon for a
   while, and every thread is busy, an answer waits for the next few. A handler
   that is slow all the same delays those that wait, as it delays the requests
   behind it; then each answer leaves by itself again. */
#include "server/gather.h"
#include "os/clock.h"
#include "server/server.h"

enum {
  QUICK_US = 100, /* From one request to the next, at most, */
  QUICK_RUN = 64, /* so many times in a row, before any answer waits. */
  HOLD_US = 200,  /* How long answers wait at most, */
  HOLD_MOST = 64  /* and how many of them. */
};

static unsigned waiting(fcgi__connection *connection) {
  return atomic_load_explicit(&connection->waiting, memory_order_relaxed);
}

static uint64_t given(fcgi__connection *connection) {
  return atomic_load_explicit(&connection->given_us, memory_order_relaxed);
}

/* From request to request, so that what a handler does after its answer counts
   too. Two changes at once are as good as one. */
static void measure(fcgi__gather *gather, uint64_t since, uint64_t now) {
  unsigned quick = atomic_load_explicit(&gather->quick, memory_order_relaxed);
  if (now - since > QUICK_US)
    quick = 0;
  else if (quick < QUICK_RUN)
    quick++;
  atomic_store_explicit(&gather->quick, quick, memory_order_relaxed);
}

void fcgi__gather_begin(fcgi__connection *connection) {
  uint64_t before = given(connection), now;
  if (before == 0 && waiting(connection) == 0)
    return;
  now = fcgi__now_us();
  if (before > 0)
    measure(&connection->server->gather, before, now);
  atomic_store_explicit(&connection->given_us,
                        waiting(connection) > 0 ? now : 0,
                        memory_order_relaxed);
}

void fcgi__gather_end(fcgi_request *request) {
  fcgi__connection *connection = request->connection;
  connection->life.may_wait = request->gathers && waiting(connection) > 0;
}

static int is_worthwhile(fcgi__connection *connection) {
  fcgi_server *server = connection->server;
  return connection->life.may_wait && waiting(connection) > 0 &&
         given(connection) > 0 &&
         atomic_load_explicit(&server->gather.quick, memory_order_relaxed) ==
             QUICK_RUN &&
         atomic_load_explicit(&server->sleepers, memory_order_relaxed) == 0 &&
         !connection->life.blocked && !fcgi__connection_is_lost(connection) &&
         !connection->life.files;
}

static int is_within_limits(fcgi__connection *connection) {
  uint64_t now = fcgi__now_us();
  if (connection->life.gathered == 0)
    connection->life.gathered_us = now;
  if (connection->life.gathered >= HOLD_MOST ||
      now - connection->life.gathered_us > HOLD_US ||
      now - given(connection) > QUICK_US)
    return 0;
  connection->life.gathered++;
  return 1;
}

int fcgi__gather_holds(fcgi__connection *connection) {
  fcgi__connection *held = NULL;
  int may_wait = is_worthwhile(connection) && is_within_limits(connection);
  connection->life.may_wait = 0;
  return may_wait &&
         (atomic_compare_exchange_strong(&connection->server->gather.held,
                                         &held, connection) ||
          held == connection);
}

void fcgi__gather_clear(fcgi__connection *connection) {
  fcgi__connection *held = connection;
  if (connection->life.gathered == 0)
    return;
  connection->life.gathered = 0;
  atomic_compare_exchange_strong(&connection->server->gather.held, &held, NULL);
}

void fcgi__gather_flush(fcgi_server *server) {
  fcgi__connection *held = atomic_load(&server->gather.held), *next;
  if (!held)
    return;
  pthread_mutex_lock(&server->lock);
  next = fcgi__ready_turn(server);
  pthread_mutex_unlock(&server->lock);
  if (next == held)
    return;
  fcgi__connection_lock(held);
  fcgi__connection_settle(held);
}

void fcgi_request_gather(fcgi_request *request) {
  request->gathers = 1;
}
