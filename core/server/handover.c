/* SPDX-License-Identifier: MIT */
#include "server/handover.h"
#include "server/server.h"
#include <errno.h>
#include <fastcgi/error.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TAG = 'c' }; /* The one byte that a descriptor travels with. */

static const char variable[] = "FASTCGI_HANDOVER"; /* PID:OUT:IN */

/* Room for one descriptor, aligned as its header wants. */
typedef union fcgi__rights {
  struct cmsghdr header;               /* Aligns the bytes. */
  char bytes[CMSG_SPACE(sizeof(int))]; /* The control message. */
} fcgi__rights;

void fcgi__handover_init(fcgi__handover *handover) {
  atomic_init(&handover->out, -1);
  atomic_init(&handover->in, -1);
}

static int is_carrier(int fd) {
  int type = 0;
  socklen_t len = sizeof type;
  return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
         type == SOCK_SEQPACKET;
}

static int refuse_carrier(fcgi_server *server, int fd) {
  snprintf(server->message, sizeof server->message,
           "descriptor %d cannot pass connections on: it is no SOCK_SEQPACKET "
           "socket",
           fd);
  return FCGI_ERR_INVALID;
}

int fcgi_server_hand_over(fcgi_server *server, int socket) {
  server->message[0] = '\0';
  if (!is_carrier(socket))
    return refuse_carrier(server, socket);
  atomic_store(&server->handover.out, socket);
  return 0;
}

int fcgi_server_take_over(fcgi_server *server, int socket) {
  server->message[0] = '\0';
  if (!is_carrier(socket))
    return refuse_carrier(server, socket);
  if (atomic_load(&server->handover.in) >= 0)
    return FCGI_ERR_STATE;
  if (fcgi__poller_add(server->poller, socket,
                       FCGI__POLL_IN | FCGI__POLL_LISTENER,
                       &server->handover)) {
    snprintf(server->message, sizeof server->message,
             "cannot watch descriptor %d: %s", socket, strerror(errno));
    return FCGI_ERR_SYSTEM;
  }
  atomic_store(&server->handover.in, socket);
  return 0;
}

/* The process that the variable is for is named in it, as LISTEN_PID does: a
   child must not take what its parent has. */
int fcgi__handover_inherit(fcgi_server *server) {
  const char *text = getenv(variable);
  long pid;
  int out, in, error;
  if (!text || atomic_load(&server->handover.in) >= 0 ||
      sscanf(text, "%ld:%d:%d", &pid, &out, &in) != 3 || pid != (long)getpid())
    return 0;
  error = fcgi_server_hand_over(server, out);
  if (!error)
    error = fcgi_server_take_over(server, in);
  if (error)
    return error;
  fcntl(out, F_SETFD, FD_CLOEXEC);
  fcntl(in, F_SETFD, FD_CLOEXEC);
  return 0;
}

int fcgi__handover_is_on(fcgi_server *server) {
  return atomic_load_explicit(&server->stopping, memory_order_relaxed) ==
             FCGI__STOPPING &&
         atomic_load(&server->handover.out) >= 0;
}

static ssize_t send_descriptor(int out, int fd) {
  char tag = TAG;
  struct iovec iov = {.iov_base = &tag, .iov_len = 1};
  fcgi__rights rights = {.bytes = {0}};
  struct msghdr message = {.msg_iov = &iov,
                           .msg_iovlen = 1,
                           .msg_control = rights.bytes,
                           .msg_controllen = sizeof rights.bytes};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof fd);
  memcpy(CMSG_DATA(header), &fd, sizeof fd);
  return sendmsg(out, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static int is_at_rest(const fcgi__connection *connection, unsigned flags) {
  const unsigned active = FCGI_SESSION_OUTPUT | FCGI_SESSION_ACTIVE |
                          FCGI_SESSION_PARAMS | FCGI_SESSION_DRAINING |
                          FCGI_SESSION_CLOSE;
  return connection->requests == 0 && connection->busy == 0 &&
         !connection->lingering && !connection->lost &&
         !connection->half_closed && (flags & active) == 0;
}

/* The socket being full for a moment is no fault: the connection stays, and is
   tried again when its idle time is over. Without a receiver the stop goes on
   as one without handover. */
int fcgi__handover_give(fcgi__connection *connection, unsigned flags) {
  fcgi_server *server = connection->server;
  int out = atomic_load(&server->handover.out);
  if (!is_at_rest(connection, flags))
    return 0;
  if (send_descriptor(out, connection->fd) == 1)
    return 1;
  if (errno != EAGAIN && errno != EINTR && errno != ETOOMANYREFS &&
      errno != ENOBUFS)
    atomic_store(&server->handover.out, -1);
  return 0;
}

void fcgi__handover_hold(fcgi__connection *connection, unsigned flags) {
  long long now;
  if (connection->paused || connection->requests == 0 ||
      connection->reading > 0 || (flags & FCGI_SESSION_PARAMS))
    return;
  now = fcgi__now();
  if (now < connection->hold_end)
    return;
  /* Then it reads on for as long, before the next attempt: that lasts longer,
     so that one of them outlasts the slowest handler. */
  connection->hold_ms = connection->hold_ms
                            ? 2 * connection->hold_ms
                            : connection->server->config.drain_silence_ms;
  connection->hold_end = now + 2LL * connection->hold_ms;
  connection->paused = connection->held = 1;
}

static int receive_descriptor(int in, int *fd) {
  char tag = 0;
  struct iovec iov = {.iov_base = &tag, .iov_len = 1};
  fcgi__rights rights;
  struct msghdr message = {.msg_iov = &iov,
                           .msg_iovlen = 1,
                           .msg_control = rights.bytes,
                           .msg_controllen = sizeof rights.bytes};
  ssize_t len = recvmsg(in, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  struct cmsghdr *header = len > 0 ? CMSG_FIRSTHDR(&message) : NULL;
  *fd = -1;
  if (header && header->cmsg_level == SOL_SOCKET &&
      header->cmsg_type == SCM_RIGHTS &&
      header->cmsg_len == CMSG_LEN(sizeof *fd))
    memcpy(fd, CMSG_DATA(header), sizeof *fd);
  return len < 0 && errno != EINTR && errno != EAGAIN ? 0 : (int)len;
}

void fcgi__handover_take(fcgi_server *server) {
  int in = atomic_load(&server->handover.in), fd, result;
  if (in < 0)
    return;
  result = receive_descriptor(in, &fd);
  if (fd >= 0)
    fcgi__connection_take_up(server, fd);
  else if (result == 0) /* Nobody will pass a connection any more. */
    fcgi__handover_leave(server);
}

void fcgi__handover_leave(fcgi_server *server) {
  int in = atomic_exchange(&server->handover.in, -1);
  if (in >= 0)
    fcgi__poller_remove(server->poller, in);
}
