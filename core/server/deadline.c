/* SPDX-License-Identifier: MIT */
/* How long a connection may stay as it is, and what happens after that. */
#include "os/clock.h"
#include "server/connection.h"
#include "server/parting.h"
#include "server/request.h"
#include "server/server.h"
#include <limits.h>

enum {
  PASS_AGAIN_MS = 10,  /* After a carrier socket was full. */
  PART_MS = 20,        /* For a peer to close once it has its answer. */
  LINGER_SILENCES = 4, /* How much longer it may think than while draining. */
  NEVER_MS = 60000     /* For calls that never wait. */
};

static fcgi__wait_kind kind_of_wait(const fcgi__connection *connection,
                                    unsigned flags) {
  if (fcgi__connection_is_shut(connection))
    return FCGI__WAIT_LINGER;
  if (flags & FCGI_SESSION_DRAINING)
    return FCGI__WAIT_DRAIN;
  if (connection->life.intake == FCGI__HELD)
    return FCGI__WAIT_HOLD;
  if (fcgi__connection_is_stuck(connection))
    return FCGI__WAIT_STUCK;
  return connection->life.blocked ||
                 (flags & (FCGI_SESSION_PARAMS | FCGI_SESSION_ACTIVE))
             ? FCGI__WAIT_NONE
             : FCGI__WAIT_IDLE;
}

/* A server that stops leaves a new connection only a little. */
static int idle_timeout(fcgi_server *server) {
  if (fcgi__handover_is_on(server))
    return PASS_AGAIN_MS;
  return atomic_load(&server->stopping) ? server->config.drain_silence_ms
                                        : server->config.idle_timeout_ms;
}

static int io_timeout(const fcgi_server *server) {
  int timeout = server->config.io_timeout_ms;
  return timeout == FCGI_WAIT_NEVER ? NEVER_MS : timeout;
}

/* Counts from the end of the last request: what is no request, such as
   GET_VALUES again and again, gains nothing. */
static long long idle_due(fcgi__connection *connection, long long now) {
  int timeout = idle_timeout(connection->server);
  long long due = timeout < 0 ? LLONG_MAX : now + timeout;
  if (connection->life.idle_due == 0 || due < connection->life.idle_due)
    connection->life.idle_due = due;
  return connection->life.idle_due;
}

static void begin_drain(fcgi__connection *connection, long long now) {
  connection->life.drain_end =
      now + connection->server->config.drain_timeout_ms;
  connection->life.drain_start = fcgi_session_drained(connection->session);
}

/* A peer that goes on after its answer may take its time, but not hold up a
   stop. */
static long long silence_of(const fcgi__connection *connection) {
  const fcgi_server *server = connection->server;
  long long silence = server->config.drain_silence_ms;
  if (connection->life.parting)
    return PART_MS;
  return fcgi__connection_is_shut(connection) && !atomic_load(&server->stopping)
             ? LINGER_SILENCES * silence
             : silence;
}

/* Draining and lingering have an end however much comes. */
static long long silence_due(const fcgi__connection *connection,
                             long long now) {
  long long due = now + silence_of(connection);
  return due < connection->life.drain_end ? due : connection->life.drain_end;
}

static void set_wait(fcgi__connection *connection, fcgi__wait_kind kind,
                     long long now) {
  long long *due = &connection->life.due[FCGI__DUE_WAIT];
  if (kind == FCGI__WAIT_DRAIN && connection->life.wait_kind != kind)
    begin_drain(connection, now);
  connection->life.wait_kind = (uint8_t)kind;
  switch (kind) {
  case FCGI__WAIT_NONE:
    *due = LLONG_MAX;
    break;
  case FCGI__WAIT_IDLE:
    *due = idle_due(connection, now);
    break;
  case FCGI__WAIT_DRAIN:
  case FCGI__WAIT_LINGER:
    *due = silence_due(connection, now);
    break;
  case FCGI__WAIT_STUCK:
    *due = now + connection->server->config.drain_silence_ms;
    break;
  case FCGI__WAIT_HOLD:
    *due = connection->life.hold_end - connection->life.hold_ms;
    break;
  }
}

/* Counts from the first byte, so that one byte a second gains nothing, and so
   for each request, however many others come and go meanwhile. */
static void set_header(fcgi__connection *connection, unsigned flags,
                       long long now) {
  uint32_t unfinished = fcgi_session_unfinished(connection->session);
  if (flags & FCGI_SESSION_PARAMS && unfinished == 0)
    unfinished = UINT32_MAX; /* The half record is of none. */
  if (unfinished == connection->life.unfinished)
    return;
  connection->life.unfinished = unfinished;
  connection->life.due[FCGI__DUE_HEADER] =
      unfinished ? now + connection->server->config.header_timeout_ms
                 : LLONG_MAX;
}

/* While nothing is read no body is silent. */
static void set_body(fcgi__connection *connection, long long now) {
  int timeout = io_timeout(connection->server);
  long long first = LLONG_MAX;
  connection->life.due[FCGI__DUE_BODY] = LLONG_MAX;
  if (connection->life.collecting == 0 || timeout < 0)
    return;
  for (fcgi_request *at = connection->life.all; at; at = at->all_next) {
    long long due;
    if (fcgi__connection_is_paused(connection))
      at->due.body = 0;
    due = fcgi__request_body_due(at, now, timeout);
    first = due < first ? due : first;
  }
  connection->life.due[FCGI__DUE_BODY] = first;
}

/* Counts from the last byte that has left. */
static void set_output(fcgi__connection *connection, long long now) {
  long long *due = &connection->life.due[FCGI__DUE_OUTPUT];
  int timeout = io_timeout(connection->server);
  if (!connection->life.blocked || timeout < 0)
    *due = LLONG_MAX;
  else if (*due == LLONG_MAX || connection->life.moved)
    *due = now + timeout;
  connection->life.moved = 0;
}

static void set_limits(fcgi__connection *connection, unsigned flags,
                       long long now) {
  set_header(connection, flags, now);
  set_body(connection, now);
  set_output(connection, now);
  connection->life.limited = 0;
  for (int i = FCGI__DUE_WAIT + 1; i < FCGI__DUES; i++)
    connection->life.limited |= connection->life.due[i] != LLONG_MAX;
}

static long long earliest(const fcgi__connection *connection) {
  long long first = LLONG_MAX;
  for (int i = 0; i < FCGI__DUES; i++)
    first = connection->life.due[i] < first ? connection->life.due[i] : first;
  return first;
}

void fcgi__connection_reset_dues(fcgi__connection *connection) {
  for (int i = 0; i < FCGI__DUES; i++)
    connection->life.due[i] = LLONG_MAX;
  connection->life.wait_kind = FCGI__WAIT_NONE;
  connection->life.limited = 0;
  connection->life.unfinished = 0;
  connection->life.idle_due = 0;
  atomic_store_explicit(&connection->deadline, LLONG_MAX, memory_order_relaxed);
}

/* Of one that is lost only its handlers are waited for. */
void fcgi__connection_set_deadline(fcgi__connection *connection,
                                   unsigned flags) {
  fcgi__wait_kind kind = kind_of_wait(connection, flags);
  int limits = (flags & FCGI_SESSION_PARAMS) || connection->life.blocked ||
               connection->life.collecting > 0;
  long long now, first;
  if (fcgi__connection_is_lost(connection)) {
    fcgi__connection_reset_dues(connection);
    return;
  }
  if (kind == FCGI__WAIT_NONE && connection->life.wait_kind == kind &&
      !limits && !connection->life.limited)
    return;
  now = kind == FCGI__WAIT_NONE && !limits ? 0 : fcgi__now();
  set_wait(connection, kind, now);
  if (limits || connection->life.limited)
    set_limits(connection, flags, now);
  first = earliest(connection);
  /* Before the look at the timer, or a sweep under way would miss it. */
  atomic_store(&connection->deadline, first);
  fcgi__server_connection_due(connection, first, now);
}

/* Requests of others may run on the same connection: they go on. Where its
   answer finds the connection lost, all may be gone. */
static void expire_bodies(fcgi__connection *connection, long long now) {
  fcgi_request *at = connection->life.all;
  while (at)
    at = fcgi__request_expire(at, now) ? connection->life.all : at->all_next;
}

static void expire_wait(fcgi__connection *connection) {
  switch ((fcgi__wait_kind)connection->life.wait_kind) {
  case FCGI__WAIT_NONE:
    break;
  case FCGI__WAIT_IDLE:
    connection->life.idle_due = 0;
    if (!fcgi__handover_is_on(connection->server))
      fcgi__connection_tire(connection);
    break;
  case FCGI__WAIT_DRAIN:
    fcgi_session_stop_draining(connection->session);
    break;
  case FCGI__WAIT_HOLD:
    connection->life.intake = FCGI__PAUSED;
    fcgi__connection_resume(connection);
    break;
  case FCGI__WAIT_STUCK:
    fcgi__connection_spill(connection);
    break;
  case FCGI__WAIT_LINGER:
    if (connection->life.parting)
      fcgi__connection_look_after(connection);
    else
      connection->life.phase = FCGI__OVER;
    break;
  }
}

static void note_timeouts(const fcgi__connection *connection, long long now) {
  fcgi__peer who;
  if (connection->life.due[FCGI__DUE_HEADER] > now &&
      connection->life.due[FCGI__DUE_OUTPUT] > now)
    return;
  fcgi__peer_of(connection->fd, &who);
  if (connection->life.due[FCGI__DUE_HEADER] <= now)
    fcgi__server_trouble(
        connection->server, FCGI__TROUBLE_HEADER, who.place, FCGI_LOG_INFO,
        "a request's parameters stopped coming from %s: closed", who.name);
  else
    fcgi__server_trouble(connection->server, FCGI__TROUBLE_OUTPUT, who.place,
                         FCGI_LOG_INFO, "%s took no more of an answer: closed",
                         who.name);
}

void fcgi__connection_expire(fcgi__connection *connection, long long now) {
  const long long *due = connection->life.due;
  if (connection->fd < 0 || atomic_load(&connection->deadline) > now)
    return;
  connection->life.flush = 1;
  note_timeouts(connection, now);
  if (due[FCGI__DUE_HEADER] <= now || due[FCGI__DUE_OUTPUT] <= now) {
    fcgi__connection_lost(connection, FCGI_ABORT_TIMEOUT);
    return;
  }
  if (due[FCGI__DUE_BODY] <= now)
    expire_bodies(connection, now);
  if (due[FCGI__DUE_WAIT] <= now)
    expire_wait(connection);
}
