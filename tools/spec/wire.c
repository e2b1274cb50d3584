/* SPDX-License-Identifier: MIT */
#include "wire.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
  READ_SIZE = 1 << 16,  /* Bytes of one read. */
  TOTAL_MOST = 64 << 20 /* More is more than any case asks for. */
};

long wire_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

long wire_deadline(const wire *w) {
  return wire_now() + w->timeout_ms;
}

void wire_close(wire *w) {
  if (w->fd >= 0)
    close(w->fd);
  bytes_free(&w->in);
  talk_free(&w->said);
  w->fd = -1;
}

void wire_half_close(wire *w) {
  shutdown(w->fd, SHUT_WR);
}

void wire_reset(wire *w) {
  const struct linger now = {.l_onoff = 1, .l_linger = 0};
  setsockopt(w->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

/* Take the records that are whole out of `in`. */
static void take_records(wire *w) {
  size_t at = 0;
  fcgi_record record;
  while (w->in.len - at >= FCGI_RECORD_HEADER && w->said.problem.len == 0) {
    fcgi_record_decode(&record, w->in.data + at);
    size_t size =
        (size_t)FCGI_RECORD_HEADER + record.content_len + record.padding_len;
    if (record.version == FCGI_WIRE_VERSION && w->in.len - at < size)
      break;
    talk_record(&w->said, &record, w->in.data + at + FCGI_RECORD_HEADER);
    at += size;
  }
  if (w->said.problem.len > 0 || at == 0)
    return;
  memmove(w->in.data, w->in.data + at, w->in.len - at);
  w->in.len -= at;
}

static int receive(wire *w) {
  uint8_t data[READ_SIZE];
  ssize_t got = recv(w->fd, data, sizeof data, 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR))
    return 0;
  if (got <= 0) {
    w->ended = 1;
    if (w->in.len > 0 && w->said.problem.len == 0)
      bytes_text(&w->said.problem, "the connection closed inside a record");
    return 0;
  }
  w->total += (size_t)got;
  bytes_add(&w->in, data, (size_t)got);
  take_records(w);
  if (w->total > TOTAL_MOST && w->said.problem.len == 0)
    bytes_text(&w->said.problem, "more than 64 MiB, without an end");
  return 1;
}

/* Wait for `events`; what there is, or 0 when time is over. */
static int ready(const wire *w, short events, long deadline) {
  struct pollfd at = {.fd = w->fd, .events = events};
  long left = deadline - wire_now();
  return poll(&at, 1, left > 0 ? (int)left : 0) > 0 ? at.revents : 0;
}

int wire_receive(wire *w, long deadline) {
  while (!w->ended && w->said.problem.len == 0 && ready(w, POLLIN, deadline))
    if (receive(w))
      return 1;
  return 0;
}

/* Send some of it: how much, or -1 when the connection is over. */
static ssize_t send_some(wire *w, const uint8_t *data, size_t len) {
  ssize_t sent = send(w->fd, data, len, MSG_NOSIGNAL);
  if (sent >= 0)
    return sent;
  if (errno == EAGAIN || errno == EINTR)
    return 0;
  while (!w->ended && receive(w)) /* What it said before it closed. */
    continue;
  w->ended = 1;
  return -1;
}

void wire_send(wire *w, const void *data, size_t len) {
  const uint8_t *at = data;
  const long deadline = wire_deadline(w);
  while (len > 0 && !w->ended && w->said.problem.len == 0) {
    int events = ready(w, POLLIN | POLLOUT, deadline);
    ssize_t sent = 0;
    if (events == 0) {
      w->stuck = 1;
      return;
    }
    if (events & POLLIN)
      receive(w);
    if (!w->ended && events & (POLLOUT | POLLERR | POLLHUP))
      sent = send_some(w, at, len);
    if (sent < 0)
      return;
    at += sent;
    len -= (size_t)sent;
  }
}
