/* SPDX-License-Identifier: MIT */
#include "server/handover.h"
#include "base/number.h"
#include "os/carrier.h"
#include "os/clock.h"
#include "server/server.h"
#include <errno.h>
#include <fastcgi/error.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
  TAKE_BACK_MS = 1000, /* After which nobody is thought to take. */
  ROOM = 512           /* Messages that a carrier socket holds, about. */
};

static const char variable[] = "FASTCGI_HANDOVER"; /* PID:OUT:IN */

void fcgi__handover_init(fcgi__handover *handover) {
  atomic_init(&handover->out, -1);
  atomic_init(&handover->in, -1);
  atomic_init(&handover->back, -1);
}

static int refuse_carrier(fcgi_server *server, int fd) {
  snprintf(server->message, sizeof server->message,
           "descriptor %d cannot pass connections on: it is no SOCK_SEQPACKET "
           "socket of AF_UNIX",
           fd);
  return FCGI_ERR_INVALID;
}

int fcgi_server_hand_over(fcgi_server *server, int socket) {
  if (fcgi_server_forked(server))
    return fcgi__server_refuse_fork(server);
  server->message[0] = '\0';
  if (!fcgi__carrier_is_one(socket))
    return refuse_carrier(server, socket);
  atomic_store(&server->handover.out, socket);
  return 0;
}

/* Whoever is woken may be about to end, or be killed before it takes anything;
   so everyone is (FCGI__POLL_ALONE), which is cheap, for connections pass only
   in reloads. */
static int watch(fcgi_server *server, int fd) {
  int error = fcgi__poller_add(
      server->poller, fd, FCGI__POLL_IN | FCGI__POLL_LEVEL, &server->handover);
  server->handover.watched = !error;
  return error;
}

int fcgi_server_take_over(fcgi_server *server, int socket) {
  int error;
  if (fcgi_server_forked(server))
    return fcgi__server_refuse_fork(server);
  server->message[0] = '\0';
  if (!fcgi__carrier_is_one(socket))
    return refuse_carrier(server, socket);
  if (atomic_load(&server->handover.in) >= 0)
    return FCGI_ERR_STATE;
  pthread_mutex_lock(&server->lock);
  error = watch(server, socket);
  pthread_mutex_unlock(&server->lock);
  if (error) {
    snprintf(server->message, sizeof server->message,
             "cannot watch descriptor %d: %s", socket, strerror(errno));
    return FCGI_ERR_SYSTEM;
  }
  atomic_store(&server->handover.in, socket);
  return 0;
}

static void take_named(fcgi_server *server, const char *text, int out, int in) {
  if (fcgi_server_hand_over(server, out) || fcgi_server_take_over(server, in)) {
    fcgi__server_log(server, FCGI_LOG_WARNING,
                     "%s=\"%.64s\": %s; connections are closed at a stop "
                     "instead",
                     variable, text, server->message);
    server->message[0] = '\0';
    atomic_store(&server->handover.out, -1);
    return;
  }
  fcntl(out, F_SETFD, FD_CLOEXEC);
  fcntl(in, F_SETFD, FD_CLOEXEC);
}

/* The process that the variable is for is named in it, as LISTEN_PID does: a
   child must not take what its parent has. */
int fcgi__handover_inherit(fcgi_server *server) {
  const char *text = getenv(variable);
  int said[3]; /* Our process id, and the two descriptors. */
  if (!text || !*text || atomic_load(&server->handover.in) >= 0)
    return 0;
  if (fcgi__number_list(text, said, 3) < 0)
    fcgi__server_log(server, FCGI_LOG_WARNING,
                     "%s=\"%.64s\" is ignored: it must be PID:OUT:IN", variable,
                     text);
  else if (said[0] == getpid())
    take_named(server, text, said[1], said[2]);
  return 0;
}

int fcgi__handover_is_on(fcgi_server *server) {
  return atomic_load_explicit(&server->stopping, memory_order_relaxed) ==
             FCGI__STOPPING &&
         atomic_load(&server->handover.out) >= 0;
}

void fcgi__handover_watch(fcgi_server *server) {
  int in = atomic_load(&server->handover.in);
  if (in >= 0 && !server->handover.watched)
    watch(server, in);
}

void fcgi__handover_rest(fcgi_server *server) {
  int in = atomic_load(&server->handover.in);
  if (server->handover.watched && in >= 0)
    fcgi__poller_remove(server->poller, in);
  server->handover.watched = 0;
}

void fcgi__handover_tell(fcgi_server *server) {
  int out = atomic_load(&server->handover.out);
  if (out >= 0)
    fcgi__carrier_look(out);
}

int fcgi__connection_is_at_rest(const fcgi__connection *connection,
                                unsigned flags) {
  const unsigned active = FCGI_SESSION_OUTPUT | FCGI_SESSION_ACTIVE |
                          FCGI_SESSION_PARAMS | FCGI_SESSION_DRAINING |
                          FCGI_SESSION_CLOSE;
  return connection->life.requests == 0 && connection->busy == 0 &&
         connection->life.phase == FCGI__OPEN && (flags & active) == 0;
}

/* The socket being full for a moment is no fault: the connection stays, and is
   tried again when its idle time is over. Without a receiver the stop goes on
   as one without handover. */
int fcgi__handover_give(fcgi__connection *connection, unsigned flags) {
  fcgi_server *server = connection->server;
  int out = atomic_load(&server->handover.out);
  if (!fcgi__connection_is_at_rest(connection, flags))
    return 0;
  if (fcgi__carrier_send(out, connection->fd) == 0) {
    atomic_store(&server->handover.passed, 1);
    return 1;
  }
  if (errno != EAGAIN && errno != EINTR && errno != ETOOMANYREFS &&
      errno != ENOBUFS)
    atomic_store(&server->handover.out, -1);
  return 0;
}

void fcgi__handover_hold(fcgi__connection *connection, unsigned flags) {
  long long now;
  if (fcgi__connection_is_paused(connection) ||
      connection->life.requests == 0 || connection->life.reading > 0 ||
      (flags & FCGI_SESSION_PARAMS))
    return;
  now = fcgi__now();
  if (now < connection->life.hold_end)
    return;
  /* Then it reads on for as long, before the next attempt: that lasts longer,
     so that one of them outlasts the slowest handler. */
  connection->life.hold_ms = connection->life.hold_ms
                                 ? 2 * connection->life.hold_ms
                                 : connection->server->config.drain_silence_ms;
  connection->life.hold_end = now + 2LL * connection->life.hold_ms;
  connection->life.intake = FCGI__HELD;
}

/* The kernel closes what is received where no descriptor is free, so that is
   tried beforehand. */
int fcgi__handover_has_room(fcgi_server *server, int in) {
  int fd = fcntl(in, F_DUPFD_CLOEXEC, 0);
  if (fd < 0) {
    fcgi__accept_rest(server);
    return 0;
  }
  close(fd);
  return 1;
}

/* One message: 1, 0 when none will ever come, negative when none is there. */
static int take_one(fcgi_server *server, int in, int *fd) {
  *fd = -1;
  return fcgi__handover_has_room(server, in) ? fcgi__carrier_receive(in, fd)
                                             : -1;
}

int fcgi__handover_pass(fcgi_server *server, int fd) {
  if (!fcgi__handover_is_on(server) ||
      fcgi__carrier_send(atomic_load(&server->handover.out), fd) < 0)
    return 0;
  atomic_store(&server->handover.passed, 1);
  close(fd);
  return 1;
}

/* sendfile(2) asks the socket alone whether it may wait. */
static void use(fcgi_server *server, int fd) {
  const fcgi__connection_past past = {.late = 1, .in_use = 1};
  if (fd >= 0) {
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    fcgi__connection_take_up(server, fd, &past);
  } else if (fcgi__share_is_on(&server->share)) { /* A wish to look. */
    fcgi__share_look(server);
  } else {
    fcgi__accept_waiting(server, server->config.backlog);
  }
}

void fcgi__handover_take(fcgi_server *server) {
  int in = atomic_load(&server->handover.in), fd, result;
  if (in < 0)
    return;
  result = take_one(server, in, &fd);
  if (result > 0)
    use(server, fd);
  else if (result == 0) /* Nobody will pass a connection any more. */
    fcgi__handover_stop_taking(server);
}

/* All are taken before one is used, for that may be passed on at once. With
   `unread` 1 it is, if that is possible: every thread may be inside a handler
   that a request would wait for. */
static void take_all(fcgi_server *server, int in, int unread) {
  int taken[ROOM];
  size_t count = 0;
  while (count < ROOM && take_one(server, in, &taken[count]) > 0)
    count++;
  for (size_t i = 0; i < count; i++)
    if (taken[i] < 0 || !unread || !fcgi__handover_pass(server, taken[i]))
      use(server, taken[i]);
}

/* Others may be stopping too, so what has come is passed on once more, or
   served here. */
void fcgi__handover_stop_taking(fcgi_server *server) {
  fcgi__handover *handover = &server->handover;
  int in;
  pthread_mutex_lock(&server->lock);
  fcgi__handover_rest(server);
  in = atomic_exchange(&handover->in, -1);
  pthread_mutex_unlock(&server->lock);
  if (in < 0 || atomic_load(&server->stopping) != FCGI__STOPPING)
    return;
  atomic_store(&handover->back, in);
  take_all(server, in, 1);
}

/* What poll(2) says of the carrier's other end: 0 when nothing lies in it. */
static short look_at(int fd) {
  struct pollfd at = {.fd = fd, .events = POLLIN};
  return (short)(poll(&at, 1, 0) > 0 ? at.revents : 0);
}

/* 1 once nobody has taken it for a while, and then not again for as long. */
static int is_due(fcgi__handover *handover) {
  long long now = fcgi__now(), due = 0;
  return !atomic_compare_exchange_strong(&handover->due, &due,
                                         now + TAKE_BACK_MS) &&
         due <= now && atomic_compare_exchange_strong(&handover->due, &due, 0);
}

/* The receivers may have been killed, or be programs that do not know of this.
   What is taken back and at rest is passed again, so a receiver that was only
   busy gets it all the same; a request that came meanwhile is served here. A
   carrier that is shut has no receivers, and one whose supervisor is gone has
   none that would not stop too. */
int fcgi__handover_is_through(fcgi_server *server) {
  fcgi__handover *handover = &server->handover;
  int back = atomic_load(&handover->back);
  short state = 0;
  if (back >= 0 && atomic_load(&handover->passed))
    state = look_at(back);
  if (!(state & POLLIN))
    return 1;
  if (state & POLLHUP) { /* It is empty for good after this. */
    atomic_store(&handover->out, -1);
    atomic_store(&handover->passed, 0);
  }
  if (atomic_load(&handover->out) < 0 || is_due(handover))
    take_all(server, back, 0);
  return 0;
}
