/* SPDX-License-Identifier: MIT */
/* Carries one request's bytes. It never waits in read(2) or write(2): a CGI
   server that sends the whole body before it reads, as Apache's does, would
   wait for a bridge that waits for it. */
#include "cgi/cgi.h"
#include <errno.h>
#include <fastcgi/error.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef PIPE_BUF
#define PIPE_BUF _POSIX_PIPE_BUF
#endif

enum {
  PIECE = 16384,      /* Of the body at once. */
  WINDOW = 64 * 1024, /* Of it queued and not yet sent. */
  LOOK_MS = 200,      /* Between looks where nothing can wake us. */
  GONE = POLLERR | POLLHUP | POLLNVAL,
};

/* What is polled: the connection, the body, the web server's ends, the wake. */
enum { SOCKET, IN, OUT, ERR, WAKE, POLLED };

static void shut(int *fd) {
  if (*fd >= 0)
    close(*fd);
  *fd = -1;
}

/* No answer can come, and RFC 3875 has no way to tell but silence, which is
   500 to the web server. */
static void take_end(fcgi__cgi *cgi, const fcgi_peer_event *event) {
  cgi->done = 1;
  if (event->type == FCGI_PEER_EVENT_END &&
      event->protocol_status == FCGI_END_UNKNOWN_ROLE)
    cgi->owner.complain(cgi->owner.data,
                        "started as a CGI program, but it has no responder to "
                        "answer the request");
}

static void take(fcgi__cgi *cgi, const fcgi_peer_event *event) {
  switch (event->type) {
  case FCGI_PEER_EVENT_STDOUT:
  case FCGI_PEER_EVENT_STDERR:
    cgi->data = event->data;
    cgi->len = event->len;
    cgi->target = event->type == FCGI_PEER_EVENT_STDOUT ? cgi->out : cgi->err;
    break;
  case FCGI_PEER_EVENT_END:
  case FCGI_PEER_EVENT_CLOSE:
    take_end(cgi, event);
    break;
  default:
    break;
  }
}

/* Events until one has bytes to write, or the peer needs more of its own. */
static void take_events(fcgi__cgi *cgi) {
  const fcgi_peer_event *event;
  int result = 1;
  while (result > 0 && cgi->len == 0 && !cgi->done) {
    result = fcgi_peer_next(cgi->peer, &event);
    if (result > 0)
      take(cgi, event);
    else if (result < 0)
      cgi->done = 1;
  }
}

/* A pipe that poll(2) reports takes PIPE_BUF bytes without waiting. */
static ssize_t put(int fd, const uint8_t *data, size_t len) {
  ssize_t sent = send(fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0 && errno == ENOTSOCK)
    sent = write(fd, data, len < PIPE_BUF ? len : PIPE_BUF);
  return sent;
}

/* 0 once nobody reads the answer any more. Without an error log the answer
   goes on. */
static int write_out(fcgi__cgi *cgi) {
  ssize_t sent = put(cgi->target, cgi->data, cgi->len);
  if (sent < 0 && (errno == EAGAIN || errno == EINTR))
    return 1;
  if (sent < 0 && cgi->target == cgi->out)
    return 0;
  if (sent < 0)
    sent = (ssize_t)cgi->len;
  cgi->data += sent;
  cgi->len -= (size_t)sent;
  return 1;
}

/* The session knows a body that ends too early for what it is: cut off. */
static void read_body(fcgi__cgi *cgi) {
  uint8_t piece[PIECE];
  size_t most = cgi->body < PIECE ? (size_t)cgi->body : PIECE;
  ssize_t len = read(cgi->in, piece, most);
  if (len < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  cgi->body = len > 0 ? cgi->body - (uint64_t)len : 0;
  if (len > 0 && fcgi_peer_write(cgi->peer, FCGI__CGI_ID, FCGI_STREAM_STDIN,
                                 piece, (size_t)len) != 0)
    cgi->done = 1;
  if (cgi->body == 0)
    fcgi_peer_write_end(cgi->peer, FCGI__CGI_ID, FCGI_STREAM_STDIN);
}

/* The server closes without reading all: what it answered is still to come. */
static void drop_input(fcgi__cgi *cgi) {
  cgi->body = 0;
  fcgi_peer_output_done(cgi->peer, fcgi_peer_queued(cgi->peer));
}

static void send_input(fcgi__cgi *cgi) {
  struct iovec iov;
  while (fcgi_peer_output(cgi->peer, &iov, 1) == 1) {
    ssize_t sent = send(cgi->socket, iov.iov_base, iov.iov_len, MSG_NOSIGNAL);
    if (sent >= 0)
      fcgi_peer_output_done(cgi->peer, (size_t)sent);
    else if (errno == EAGAIN || errno == EINTR)
      return;
    else
      drop_input(cgi);
  }
}

static void receive(fcgi__cgi *cgi) {
  ssize_t len = recv(cgi->socket, cgi->room, sizeof cgi->room, 0);
  if (len > 0)
    fcgi_peer_feed(cgi->peer, cgi->room, (size_t)len);
  else if (len == 0 || (errno != EAGAIN && errno != EINTR))
    fcgi_peer_close(cgi->peer);
}

/* poll(2) skips what is -1. The socket is asked only when something is wanted
   of it, for its end would be reported without end. */
static void prepare_poll(const fcgi__cgi *cgi, struct pollfd *at) {
  int wants = cgi->body > 0 && fcgi_peer_queued(cgi->peer) < WINDOW;
  int is_out = cgi->len > 0 && cgi->target == cgi->out;
  int is_err = cgi->len > 0 && !is_out;
  short events = cgi->len == 0 ? POLLIN : 0;
  if (fcgi_peer_flags(cgi->peer) & FCGI_PEER_OUTPUT)
    events |= POLLOUT;
  at[SOCKET] = (struct pollfd){.fd = events ? cgi->socket : -1};
  at[SOCKET].events = events;
  at[IN] = (struct pollfd){.fd = wants ? cgi->in : -1, .events = POLLIN};
  at[OUT] = (struct pollfd){.fd = cgi->out, .events = is_out ? POLLOUT : 0};
  at[ERR] = (struct pollfd){.fd = is_err ? cgi->err : -1, .events = POLLOUT};
  at[WAKE] = (struct pollfd){.fd = cgi->wake, .events = POLLIN};
}

/* Wait until something can move: 0 when the server is freed and nothing has
   moved for as long as it has patience. */
static int wait_ready(const fcgi__cgi *cgi, struct pollfd *at) {
  int hurry = atomic_load(&cgi->hurry), timeout = -1, ready;
  prepare_poll(cgi, at);
  if (hurry) {
    at[WAKE].fd = -1;
    timeout = cgi->owner.patience_ms;
  } else if (cgi->wake < 0) {
    timeout = LOOK_MS;
  }
  do
    ready = poll(at, POLLED, timeout);
  while (ready < 0 && errno == EINTR);
  return ready > 0 || (ready == 0 && !hurry);
}

/* One round: 0 when there will be no further one. */
static int carry(fcgi__cgi *cgi) {
  struct pollfd at[POLLED];
  if (!wait_ready(cgi, at) || (at[OUT].revents & GONE))
    return 0;
  if (at[IN].revents)
    read_body(cgi);
  if ((at[OUT].revents | at[ERR].revents) && !write_out(cgi))
    return 0;
  if (at[SOCKET].revents & POLLOUT)
    send_input(cgi);
  if (at[SOCKET].events & POLLIN && at[SOCKET].revents & ~POLLOUT)
    receive(cgi);
  return 1;
}

/* The web server reads until the end of standard output, which is here and
   not where the program ends. A request that goes on learns by the end of its
   connection that nobody waits for it. */
static void finish(fcgi__cgi *cgi) {
  shut(&cgi->socket);
  shut(&cgi->out);
  shut(&cgi->in);
  shut(&cgi->err);
  cgi->owner.finished(cgi->owner.data);
}

void *fcgi__cgi_bridge(void *data) {
  fcgi__cgi *cgi = data;
  do
    take_events(cgi);
  while ((cgi->len > 0 || !cgi->done) && carry(cgi));
  finish(cgi);
  return NULL;
}
