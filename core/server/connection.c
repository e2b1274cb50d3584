/* SPDX-License-Identifier: MIT */
#include "server/connection.h"
#include "server/request.h"
#include "server/server.h"
#include <errno.h>
#include <fastcgi/error.h>
#include <limits.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

enum {
  RECEIVE_BYTES = 32768, /* Of one recv(2), on the stack. */
  RECEIVE_TURNS = 16     /* Reads before others have their turn. */
};

void fcgi__connection_lock(fcgi__connection *connection) {
  pthread_mutex_lock(&connection->lock);
}

/* close(2) alone does nothing while a child that a handler has forked holds a
   copy. A TCP peer gets its reset from the first call. */
static void disconnect(int fd) {
  const struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
  connect(fd, &nowhere, sizeof nowhere);
  shutdown(fd, SHUT_RDWR);
}

void fcgi__connection_close(fcgi__connection *connection) {
  struct linger linger = {.l_onoff = 1};
  fcgi_server *server = connection->server;
  fcgi__connection_unwatch(connection);
  fcgi__gather_clear(connection);
  if (connection->life.reset) {
    setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    disconnect(connection->fd);
  }
  close(connection->fd);
  connection->fd = -1;
  fcgi__connection_count(connection, 1);
  fcgi_session_free(connection->session);
  connection->session = NULL;
  atomic_store(&connection->deadline, LLONG_MAX);
  fcgi__pool_give_back(server, connection);
}

static int is_finished(const fcgi__connection *connection, unsigned flags) {
  if (connection->life.requests > 0 || connection->busy > 0)
    return 0;
  if (fcgi__connection_is_shut(connection))
    return connection->life.phase == FCGI__OVER;
  if (flags & FCGI_SESSION_OUTPUT)
    return 0;
  return (flags & FCGI_SESSION_CLOSE) ||
         (connection->life.phase == FCGI__HALF_CLOSED &&
          !(flags & FCGI_SESSION_ACTIVE));
}

static void drain_within_limit(fcgi__connection *connection) {
  uint64_t drained = fcgi_session_drained(connection->session);
  if (connection->life.wait_kind == FCGI__WAIT_DRAIN &&
      drained - connection->life.drain_start >
          connection->server->config.drain_bytes)
    fcgi_session_stop_draining(connection->session);
}

static void take_up_reading(fcgi__connection *connection) {
  connection->life.intake = FCGI__READS;
  connection->life.reported = 1;
  fcgi__connection_receive(connection);
  fcgi__connection_wake(connection);
}

/* The poller must forget the socket before it is passed: the other process
   has the same one, so closing ours would not make it. */
static int pass_on(fcgi__connection *connection, unsigned flags) {
  if (!fcgi__handover_give(connection, flags)) {
    fcgi__handover_hold(connection, flags);
    return 0;
  }
  fcgi__connection_close(connection);
  return 1;
}

static int is_to_send(fcgi__connection *connection) {
  return connection->life.flush && !fcgi__gather_holds(connection) &&
         (fcgi__connection_has_output(connection) ||
          connection->life.gathered > 0);
}

/* Send and give out, as long as one leads to the other. */
static void go_on(fcgi__connection *connection) {
  do {
    if (is_to_send(connection))
      fcgi__connection_send(connection);
  } while ((fcgi_session_ready(connection->session) & FCGI_SESSION_EVENT) &&
           fcgi__connection_events(connection) > 0);
  connection->life.flush = connection->life.gathered > 0;
  fcgi__connection_count(connection, 0);
}

static void settle(fcgi__connection *connection) {
  unsigned flags;
  if (connection->life.intake == FCGI__RESUMED)
    take_up_reading(connection);
  if (connection->fd < 0)
    return;
  drain_within_limit(connection);
  go_on(connection);
  flags = fcgi_session_flags(connection->session);
  if (fcgi__handover_is_on(connection->server) && pass_on(connection, flags))
    return;
  if (is_finished(connection, flags)) {
    fcgi__connection_part(connection);
    if (connection->fd < 0)
      return;
  }
  fcgi__connection_watch(connection);
  fcgi__connection_set_deadline(connection, flags);
}

void fcgi__connection_settle(fcgi__connection *connection) {
  if (connection->fd >= 0)
    settle(connection);
  connection->life.notified = 0;
  pthread_mutex_unlock(&connection->lock);
}

int fcgi__connection_settle_and_take(fcgi__connection *connection,
                                     fcgi_server_event *event, int hold) {
  int taken;
  if (connection->fd >= 0)
    settle(connection);
  connection->life.notified = 0;
  taken = fcgi__ready_take_own(connection, event, hold);
  pthread_mutex_unlock(&connection->lock);
  return taken;
}

void fcgi__connection_unlock(fcgi__connection *connection) {
  fcgi_server *server = connection->server;
  int notified;
  if (connection->fd >= 0)
    settle(connection);
  notified = connection->life.notified;
  connection->life.notified = 0;
  pthread_mutex_unlock(&connection->lock);
  if (notified)
    fcgi__server_nudge(server);
}

void fcgi__connection_unlock_only(fcgi__connection *connection) {
  pthread_mutex_unlock(&connection->lock);
}

/* Answers that are cut off must not look whole to the web server, which a
   clean end of the connection would make them. */
static void give_up(fcgi__connection *connection) {
  connection->life.phase =
      fcgi__connection_is_shut(connection) ? FCGI__OVER : FCGI__LOST;
  connection->life.blocked = 0;
  if (connection->life.requests > 0)
    connection->life.reset = 1;
}

void fcgi__connection_lost(fcgi__connection *connection,
                           fcgi_abort_reason reason) {
  give_up(connection);
  fcgi_session_abort(connection->session, reason);
  fcgi__connection_events(connection);
  fcgi__connection_wake(connection);
}

/* Memory for the request is lacking: a short refusal is still possible. */
static void refuse(fcgi__connection *connection, uint16_t id) {
  static const char answer[] = "Content-Type: text/plain\r\n"
                               "Status: 503 Service Unavailable\r\n\r\n"
                               "503 Service Unavailable\n";
  int error = fcgi_session_write(connection->session, id, FCGI_STREAM_STDOUT,
                                 answer, sizeof answer - 1);
  /* Without its status this would be an authorizer's yes. */
  if (error) {
    connection->life.reset = 1;
    fcgi__connection_lost(connection, FCGI_ABORT_CONNECTION);
  }
  fcgi_session_end(connection->session, id, 0, FCGI_END_COMPLETE);
  connection->life.flush = 1;
}

static void begin_request(fcgi__connection *connection,
                          const fcgi_event *event) {
  fcgi_request *request = fcgi__connection_refuses(connection)
                              ? NULL
                              : fcgi__request_new(connection, event);
  if (!request) {
    refuse(connection, event->id);
    return;
  }
  connection->life.keep = (uint8_t)event->keep;
  connection->life.fresh = 0;
  connection->life.idle_due = 0;
  if (atomic_load(&connection->server->stopping) &&
      !fcgi__handover_is_on(connection->server))
    fcgi_session_stop(connection->session);
  fcgi_session_set_user_data(connection->session, event->id, request);
  if (request->role->streams == FCGI_STREAMS_NONE ||
      connection->server->config.body == FCGI_BODY_STREAM)
    fcgi__request_dispatch(request);
}

static void note_refusal(fcgi__connection *connection,
                         const fcgi_event *event) {
  fcgi__observe_count(&connection->server->observer, FCGI_METRIC_REFUSED, 1);
  if (connection->server->observer.access && event->data)
    fcgi__observe_refused(&connection->server->observer, event->params,
                          event->data, event->len,
                          fcgi_session_unsent(connection->session, event->id));
}

static void give(fcgi__connection *connection, const fcgi_event *event) {
  fcgi_request *request = event->user_data;
  if (event->type == FCGI_EVENT_REQUEST) {
    begin_request(connection, event);
    return;
  }
  if (!request) {
    if (event->type == FCGI_EVENT_CLOSE)
      note_refusal(connection, event);
    return;
  }
  switch (event->type) {
  case FCGI_EVENT_STDIN:
  case FCGI_EVENT_DATA:
    fcgi__request_input(request, event);
    break;
  case FCGI_EVENT_STDIN_END:
  case FCGI_EVENT_DATA_END:
    fcgi__request_input_end(request, event);
    break;
  case FCGI_EVENT_ABORT:
    fcgi__request_abort(request, event->reason);
    break;
  case FCGI_EVENT_CLOSE:
    fcgi__request_close(request);
    break;
  default:
    break;
  }
}

/* The session has failed, and aborted its requests. */
static void fail(fcgi__connection *connection, int error) {
  if (fcgi__connection_is_lost(connection))
    return;
  give_up(connection);
  fcgi__connection_tell_broken(connection, error);
}

int fcgi__connection_events(fcgi__connection *connection) {
  const fcgi_event *event;
  int count = 0, result;
  while ((result = fcgi_session_next(connection->session, &event)) > 0) {
    give(connection, event);
    count++;
  }
  if (result < 0)
    fail(connection, result);
  fcgi__connection_count(connection, 0);
  if (count > 0 && connection->waiters)
    fcgi__connection_wake(connection);
  return count;
}

/* The peer sends no more. That ends what it was still sending; but a peer that
   has sent all may well be waiting for the answer. */
static void half_close(fcgi__connection *connection) {
  unsigned flags = fcgi_session_flags(connection->session);
  if (fcgi__connection_is_shut(connection)) {
    fcgi__connection_close(connection);
    return;
  }
  connection->life.phase = FCGI__HALF_CLOSED;
  if (connection->life.reading > 0 || (flags & FCGI_SESSION_PARAMS) ||
      connection->life.gone || fcgi__connection_has_hung_up(connection))
    fcgi__connection_lost(connection, FCGI_ABORT_CONNECTION);
  else
    fcgi_session_stop_draining(connection->session);
  connection->life.flush = 1;
}

static void take_bytes(fcgi__connection *connection, const uint8_t *data,
                       size_t len) {
  connection->life.dull = 0;
  if (!fcgi__connection_is_shut(connection))
    fcgi_session_set_full(connection->session,
                          fcgi__server_is_full(connection->server));
  if (fcgi__connection_is_shut(connection) ||
      fcgi_session_feed(connection->session, data, len))
    return;
  connection->life.fed = data;
  connection->life.fed_len = len;
  fcgi__connection_events(connection);
  connection->life.fed = NULL;
  connection->life.flush = 1;
}

/* A request whose PARAMS go on is open, too. */
static int has_open(const fcgi__connection *connection) {
  const unsigned begun = FCGI_SESSION_ACTIVE | FCGI_SESSION_PARAMS;
  return connection->life.requests > 0 ||
         (fcgi_session_flags(connection->session) & begun) == begun;
}

void fcgi__connection_lost_by_reset(fcgi__connection *connection) {
  fcgi__peer who;
  if (!fcgi__connection_is_lost(connection) && has_open(connection)) {
    fcgi__peer_of(connection->fd, &who);
    fcgi__server_trouble(
        connection->server, FCGI__TROUBLE_RESET, who.place, FCGI_LOG_INFO,
        "%s reset its connection while requests were open", who.name);
  }
  fcgi__connection_lost(connection, FCGI_ABORT_CONNECTION);
}

/* One recv(2), which waits for nothing: a socket that was passed, or that
   others have too, may not say so itself. 1: the socket may hold more. A short
   read has emptied it, but the peer's end may still be there, and no further
   edge announces that. */
static int receive_once(fcgi__connection *connection) {
  uint8_t data[RECEIVE_BYTES];
  ssize_t len;
  do
    len = recv(connection->fd, data, sizeof data, MSG_DONTWAIT);
  while (len < 0 && errno == EINTR);
  if (len > 0) {
    fcgi__observe_count(&connection->server->observer, FCGI_METRIC_BYTES_IN,
                        (uint64_t)len);
    take_bytes(connection, data, (size_t)len);
  } else if (len == 0)
    half_close(connection);
  else if (errno != EAGAIN && errno != EWOULDBLOCK)
    fcgi__connection_lost_by_reset(connection);
  return len == (ssize_t)sizeof data || (len > 0 && connection->life.ending);
}

static int can_receive(const fcgi__connection *connection) {
  return connection->fd >= 0 && fcgi__connection_takes_input(connection);
}

void fcgi__connection_receive(fcgi__connection *connection) {
  int turns = RECEIVE_TURNS, more = 1;
  while (more && turns-- > 0 && can_receive(connection))
    more = receive_once(connection);
  connection->life.unread = (uint8_t)(more && can_receive(connection));
}

/* The receiving itself is left to settle: events may be under way here. */
void fcgi__connection_resume(fcgi__connection *connection) {
  if (connection->life.intake == FCGI__PAUSED)
    connection->life.intake = FCGI__RESUMED;
}

int fcgi__connection_is_stuck(const fcgi__connection *connection) {
  return fcgi__connection_is_paused(connection) && connection->life.blocked &&
         !connection->life.spill;
}

void fcgi__connection_spill(fcgi__connection *connection) {
  connection->life.spill = 1;
  fcgi__connection_resume(connection);
}

int fcgi__connection_was_reset(const fcgi__connection *connection) {
  int why = 0;
  socklen_t len = sizeof why;
  return getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &why, &len) == 0 &&
         why == ECONNRESET;
}

/* Of a hang-up the report may be about the socket that had this memory before,
   so the socket itself is asked. */
void fcgi__connection_ready(fcgi__connection *connection, unsigned events) {
  if (connection->fd < 0)
    return;
  connection->life.reported = 1;
  if (events & FCGI__POLL_OUT)
    fcgi__connection_send(connection);
  if (events & FCGI__POLL_END)
    connection->life.ending = 1;
  if ((events & FCGI__POLL_HANGUP) && !can_receive(connection))
    fcgi__connection_look(connection);
  else if (fcgi__connection_is_read(connection))
    connection->life.missed = 1;
  else if ((events & FCGI__POLL_HANGUP) &&
           !fcgi__connection_is_shut(connection))
    fcgi__connection_receive_late(connection);
  else if (events & FCGI__POLL_IN)
    fcgi__connection_receive(connection);
}

static void begin_life(fcgi__connection *connection, int fd,
                       const fcgi__connection_past *past) {
  connection->fd = fd;
  connection->life = (fcgi__connection_life){.phase = FCGI__OPEN,
                                             .intake = FCGI__READS,
                                             .wait_kind = FCGI__WAIT_NONE,
                                             .fresh = !past->in_use,
                                             .shared = past->shared,
                                             .since = past->since};
  fcgi__connection_reset_dues(connection);
  connection->life.idle_due = past->idle_due;
  atomic_store_explicit(&connection->request_due, LLONG_MAX,
                        memory_order_relaxed);
  atomic_store_explicit(&connection->trace_due, 0, memory_order_relaxed);
  atomic_store_explicit(&connection->given_us, 0, memory_order_relaxed);
}

void fcgi__connection_take_up(fcgi_server *server, int fd,
                              const fcgi__connection_past *past) {
  fcgi__connection *connection = fcgi__pool_take(server);
  fcgi_session_config config = server->session_config;
  if (!connection) {
    close(fd);
    return;
  }
  config.in_use = past->in_use;
  fcgi__connection_lock(connection);
  if (fcgi_session_new(&connection->session, &config)) {
    close(fd);
    fcgi__pool_give_back(server, connection);
    pthread_mutex_unlock(&connection->lock);
    return;
  }
  begin_life(connection, fd, past);
  fcgi__observe_count(&server->observer,
                      past->moved ? FCGI_METRIC_MOVED : FCGI_METRIC_ACCEPTED,
                      1);
  fcgi__observe_set(&server->observer, FCGI_METRIC_OPEN,
                    atomic_load(&server->open));
  if (past->late) {
    atomic_fetch_sub_explicit(&server->doubts, 1, memory_order_relaxed);
    fcgi__connection_receive_late(connection);
  } else {
    fcgi__connection_receive(connection);
  }
  connection->life.since = 0;
  fcgi__spare_look(server);
  fcgi__connection_settle(connection);
}

void fcgi__connection_start(fcgi_server *server, int fd, int late) {
  const fcgi__connection_past past = {.late = late != 0};
  fcgi__connection_take_up(server, fd, &past);
}

void fcgi__connection_discard(fcgi__connection *connection) {
  if (connection->fd < 0)
    return;
  while (connection->life.all) {
    fcgi_request *request = connection->life.all;
    fcgi__ready_forget(connection->server, request);
    fcgi__request_observe_close(request);
    fcgi__request_unlink(request);
    fcgi__request_free(request);
  }
  connection->life.reset = !fcgi__connection_is_shut(connection);
  fcgi__connection_close(connection);
}

/* A request that has arrived is served. A connection without one was accepted
   a moment ago, and its first is on the way: it has a little time. */
void fcgi__connection_stop(fcgi__connection *connection, fcgi_stop how) {
  if (connection->fd < 0)
    return;
  if (fcgi__connection_is_shut(connection)) { /* Its answers are out. */
    if (how == FCGI_STOP_NOW)
      connection->life.phase = FCGI__OVER;
    return;
  }
  if (how == FCGI_STOP_NOW) {
    connection->life.reset = 1;
    fcgi__connection_lost(connection, FCGI_ABORT_STOP);
    return;
  }
  if (fcgi__handover_is_on(connection->server))
    return;
  fcgi__connection_receive(connection);
  if (connection->fd < 0)
    return;
  connection->life.flush = 1;
  if (!connection->life.fresh)
    fcgi__connection_tire(connection);
}
