/* SPDX-License-Identifier: MIT */
/* Output of a connection. */
#include "server/connection.h"
#include "server/request.h"
#include "server/server.h"
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <sys/socket.h>
#ifdef __linux__
#include <sys/sendfile.h>
#endif
#include <time.h>
#include <unistd.h>

enum { SLICES = 64, FILE_CHUNK = 32768 };

#ifdef __linux__
/* sendfile(2) knows no MSG_NOSIGNAL: hold SIGPIPE back meanwhile, and take the
   one it may raise, unless one was pending before. */
static ssize_t quiet_sendfile(int socket, int fd, uint64_t offset, size_t len) {
  const struct timespec at_once = {.tv_sec = 0};
  off_t at = (off_t)offset;
  sigset_t broken, before, pending;
  ssize_t sent;
  int error;
  sigemptyset(&broken);
  sigaddset(&broken, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &broken, &before);
  sigpending(&pending);
  sent = sendfile(socket, fd, &at, len);
  error = errno;
  /* Even one that sent a part may have raised it at the end of that. */
  if (sent < (ssize_t)len && !sigismember(&pending, SIGPIPE))
    sigtimedwait(&broken, NULL, &at_once);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  errno = error;
  return sent;
}
#endif

/* sendfile(2), or a copy through memory where a descriptor cannot do it. */
static ssize_t send_file_bytes(int socket, int fd, uint64_t offset,
                               size_t len) {
  char data[FILE_CHUNK];
  ssize_t got;
#ifdef __linux__
  got = quiet_sendfile(socket, fd, offset, len);
  if (got >= 0 || (errno != EINVAL && errno != ENOSYS))
    return got;
#endif
  got = pread(fd, data, len < sizeof data ? len : sizeof data, (off_t)offset);
  return got > 0 ? send(socket, data, (size_t)got, MSG_NOSIGNAL | MSG_DONTWAIT)
                 : got;
}

static ssize_t send_file(fcgi__connection *connection) {
  uint64_t offset;
  size_t len;
  int fd;
  ssize_t sent;
  if (!fcgi_session_output_file(connection->session, &fd, &offset, &len))
    return 0;
  sent = send_file_bytes(connection->fd, fd, offset, len);
  if (sent > 0)
    return sent;
  if (sent == 0)
    errno = EIO; /* The record promised more than the file still has. */
  return -1;
}

static ssize_t send_some(fcgi__connection *connection) {
  struct iovec slices[SLICES];
  struct msghdr message = {.msg_iov = slices};
  int flags = MSG_NOSIGNAL | MSG_DONTWAIT;
  int count = fcgi_session_output(connection->session, slices, SLICES);
  if (count == 0)
    return send_file(connection);
#ifdef MSG_MORE
  if (connection->life.files)
    flags |= MSG_MORE;
#endif
  if (count == 1)
    return send(connection->fd, slices->iov_base, slices->iov_len, flags);
  message.msg_iovlen = (size_t)count;
  return sendmsg(connection->fd, &message, flags);
}

static int pump_files(fcgi__connection *connection) {
  int error = 0;
  for (fcgi_request *at = connection->life.files, *next; at && !error;
       at = next) {
    next = at->file.next;
    error = fcgi__request_pump_file(at);
  }
  return error;
}

/* After END, EPIPE and ECONNRESET are how some web servers hang up, and not
   worth a log line. A unix socket says EPIPE here and keeps the reset. */
static void send_failed(fcgi__connection *connection) {
  if (errno == ECONNRESET ||
      (errno == EPIPE && fcgi__connection_was_reset(connection))) {
    fcgi__connection_lost_by_reset(connection);
    return;
  }
  if (errno == EIO) {
    fcgi__server_log(connection->server, FCGI_LOG_ERROR,
                     "a file got shorter while it was sent: connection reset");
    connection->life.reset = 1;
  }
  fcgi__connection_lost(connection, FCGI_ABORT_CONNECTION);
}

/* Part of a file is queued, and which part is not known any more. */
static void out_of_memory(fcgi__connection *connection) {
  fcgi__server_log(connection->server, FCGI_LOG_ERROR,
                   "no memory to send a file: connection reset");
  fcgi__connection_lost(connection, FCGI_ABORT_CONNECTION);
}

/* Send until nothing is left or possible. */
static void send_all(fcgi__connection *connection) {
  ssize_t sent;
  do {
    if (connection->life.files && pump_files(connection)) {
      out_of_memory(connection);
      return;
    }
    sent = send_some(connection);
    if (sent > 0) {
      connection->life.moved = 1;
      connection->life.spill = 0;
      fcgi__observe_count(&connection->server->observer, FCGI_METRIC_BYTES_OUT,
                          (uint64_t)sent);
      fcgi_session_output_done(connection->session, (size_t)sent);
    }
  } while ((sent > 0 && fcgi__connection_has_output(connection)) ||
           (sent < 0 && errno == EINTR));
  if (sent >= 0)
    return;
  if (errno == EAGAIN || errno == EWOULDBLOCK)
    connection->life.blocked = 1;
  else
    send_failed(connection);
}

void fcgi__connection_send(fcgi__connection *connection) {
  connection->life.blocked = 0;
  send_all(connection);
  fcgi__gather_clear(connection);
  if (!connection->life.room_wanted)
    return;
  connection->life.room_wanted = 0;
  for (fcgi_request *at = connection->life.all; at; at = at->all_next)
    fcgi__request_room(at);
}
