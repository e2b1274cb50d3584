/* SPDX-License-Identifier: MIT */
/* A client: requests begin, and bytes go both ways until an event is due. */
#include "client/client.h"
#include "base/config.h"
#include "os/clock.h"
#include <errno.h>
#include <fastcgi/error.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PIECE = 16384 }; /* Of a body at once, so that bodies take turns. */

int fcgi__client_complain(fcgi_client *client, int error, const char *format,
                          ...) {
  int used = snprintf(client->message, sizeof client->message,
                      "%s: ", client->address);
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(client->message + used, sizeof client->message - (size_t)used,
            format, arguments);
  va_end(arguments);
  return error;
}

int fcgi_client_new(fcgi_client **out, const fcgi_client_config *config) {
  fcgi_client_config given = {.size = sizeof given};
  fcgi_peer_config peer = {.size = sizeof peer};
  fcgi_allocator allocator;
  fcgi_client *client;
  if (fcgi__config_copy(&given, sizeof given, 0, config) ||
      fcgi__config_copy(&peer, sizeof peer, 0, given.peer))
    return FCGI_ERR_INVALID;
  allocator = fcgi__allocator(&peer.allocator);
  client = fcgi__calloc(&allocator, sizeof *client);
  if (!client)
    return FCGI_ERR_NOMEM;
  client->config = given;
  client->config.peer = NULL; /* It is the caller's. */
  client->peer_config = peer;
  client->allocator = allocator;
  client->fd = -1;
  if (client->config.connect_timeout_ms == 0)
    client->config.connect_timeout_ms = 10000;
  if (client->config.window == 0)
    client->config.window = (size_t)64 * 1024;
  if (client->config.send_bytes == 0)
    client->config.send_bytes = SIZE_MAX;
  *out = client;
  return 0;
}

static void disconnect(fcgi_client *client) {
  if (client->fd >= 0)
    close(client->fd);
  client->fd = -1;
  fcgi_peer_free(client->peer);
  client->peer = NULL;
  client->sources.len = 0;
  client->error = 0;
  client->message[0] = '\0';
}

void fcgi_client_free(fcgi_client *client) {
  fcgi_allocator allocator;
  if (!client)
    return;
  allocator = client->allocator;
  disconnect(client);
  fcgi__buffer_clear(&client->sources, &allocator);
  fcgi__buffer_clear(&client->polled, &allocator);
  fcgi__free(&allocator, client);
}

int fcgi_client_connect(fcgi_client *client, const char *address) {
  int error;
  disconnect(client);
  snprintf(client->address, sizeof client->address, "%s", address);
  error = fcgi_peer_new(&client->peer, &client->peer_config);
  if (error)
    return fcgi__client_complain(client, error, "%s", fcgi_error_text(error));
  client->fd = fcgi__client_open(client, address);
  if (client->fd >= 0)
    return 0;
  error = client->fd;
  client->fd = -1;
  fcgi_peer_close(client->peer);
  return error;
}

const char *fcgi_client_message(const fcgi_client *client) {
  return client->message;
}

fcgi_peer *fcgi_client_peer(fcgi_client *client) {
  return client->peer;
}

/* The error of a call that may be tried again otherwise. */
static int refused(fcgi_client *client, int error) {
  if (client->error)
    return client->error;
  return fcgi__client_complain(client, error, "%s", fcgi_error_text(error));
}

static int fail(fcgi_client *client, int error, const char *what) {
  client->error = error;
  return fcgi__client_complain(client, error, "%s", what);
}

static int put_params(fcgi_client *client, uint16_t id, const fcgi_param *param,
                      size_t count) {
  int error = 0;
  for (; count > 0 && !error; count--, param++)
    error = fcgi_peer_param(client->peer, id, param->name, param->name_len,
                            param->value, param->value_len);
  return error ? error : fcgi_peer_params_end(client->peer, id);
}

int fcgi_client_begin(fcgi_client *client, uint16_t role, int flags,
                      const fcgi_param *params, size_t count) {
  uint16_t id = 1;
  int error;
  if (!client->peer || client->error)
    return refused(client, FCGI_ERR_CLOSED);
  while (id < UINT16_MAX && fcgi_peer_is_open(client->peer, id))
    id++;
  error = fcgi_peer_begin(client->peer, id, role, flags);
  if (error)
    return refused(client, error);
  error = put_params(client, id, params, count);
  /* Half a request cannot be taken back. */
  return error ? fail(client, error, fcgi_error_text(error)) : id;
}

static int add_source(fcgi_client *client, const fcgi__source *source) {
  int error = client->peer ? 0 : FCGI_ERR_CLOSED;
  if (!error) /* Nothing is written; it tells whether the stream is open. */
    error = fcgi_peer_write(client->peer, source->id, source->stream, NULL, 0);
  if (!error)
    error = fcgi__buffer_append(&client->sources, &client->allocator, source,
                                sizeof *source);
  return error ? refused(client, error) : 0;
}

int fcgi_client_send(fcgi_client *client, uint16_t id, fcgi_stream stream,
                     const void *data, size_t len) {
  fcgi__source source = {
      .id = id, .stream = stream, .fd = -1, .data = data, .left = len};
  return add_source(client, &source);
}

int fcgi_client_send_fd(fcgi_client *client, uint16_t id, fcgi_stream stream,
                        int fd) {
  fcgi__source source = {.id = id, .stream = stream, .fd = fd};
  return fd < 0 ? refused(client, FCGI_ERR_INVALID)
                : add_source(client, &source);
}

static fcgi__source *sources_of(const fcgi_client *client, size_t *count) {
  *count = client->sources.len / sizeof(fcgi__source);
  return (fcgi__source *)(void *)client->sources.data;
}

static int has_room(const fcgi_client *client) {
  return fcgi_peer_queued(client->peer) < client->config.window;
}

/* Queue the next piece of memory, or of what a descriptor has: 1 when the
   stream is through, 0, or an error. */
static int pump(fcgi_client *client, fcgi__source *source) {
  uint8_t room[PIECE];
  const uint8_t *data = source->data;
  ptrdiff_t len = source->left < PIECE ? (ptrdiff_t)source->left : PIECE;
  int error;
  if (source->fd >= 0) {
    data = room;
    len = read(source->fd, room, sizeof room);
    if (len < 0 && (errno == EAGAIN || errno == EINTR))
      return 0;
    if (len < 0)
      return fail(client, FCGI_ERR_SYSTEM, "cannot read the body to send");
  }
  error = len > 0
              ? fcgi_peer_write(client->peer, source->id, source->stream, data,
                                (size_t)len)
              : fcgi_peer_write_end(client->peer, source->id, source->stream);
  if (error)
    return fail(client, error, fcgi_error_text(error));
  if (source->fd < 0 && len > 0) {
    source->data += len;
    source->left -= (size_t)len;
  }
  return len == 0;
}

static void remove_source(fcgi_client *client, size_t at) {
  size_t count;
  fcgi__source *source = sources_of(client, &count);
  memmove(source + at, source + at + 1, (count - at - 1) * sizeof *source);
  client->sources.len -= sizeof *source;
}

/* Bodies in memory, each a piece at a time, until enough is queued. */
static int pump_memory(fcgi_client *client) {
  int moved = 1;
  while (moved) {
    size_t count, at = 0;
    fcgi__source *source = sources_of(client, &count);
    moved = 0;
    while (at < count && has_room(client)) {
      int done = 0;
      if (!fcgi_peer_is_open(client->peer, source[at].id))
        done = 1; /* Answered before its body was read: no more of it. */
      else if (source[at].fd < 0)
        done = pump(client, &source[at]);
      if (done < 0)
        return done;
      moved |= source[at].fd < 0;
      if (done)
        remove_source(client, at);
      at += !done;
      count -= (size_t)done;
    }
  }
  return 0;
}

/* The connection first, then each body that comes from a descriptor. */
static struct pollfd *prepare_poll(fcgi_client *client, nfds_t *polled) {
  size_t count;
  const fcgi__source *source = sources_of(client, &count);
  struct pollfd *fds;
  client->polled.len = 0;
  if (fcgi__buffer_reserve(&client->polled, &client->allocator,
                           (count + 1) * sizeof *fds))
    return NULL;
  fds = (struct pollfd *)(void *)client->polled.data;
  fds[0] = (struct pollfd){.fd = client->fd, .events = POLLIN};
  if (fcgi_peer_flags(client->peer) & FCGI_PEER_OUTPUT)
    fds[0].events |= POLLOUT;
  for (size_t i = 0; i < count; i++) /* poll(2) skips -1. */
    fds[i + 1] = (struct pollfd){.fd = has_room(client) ? source[i].fd : -1,
                                 .events = POLLIN};
  *polled = (nfds_t)(count + 1);
  return fds;
}

/* The application closes without reading all: what it answered is still to be
   read. */
static void stop_sending(fcgi_client *client) {
  client->sources.len = 0;
  fcgi_peer_output_done(client->peer, fcgi_peer_queued(client->peer));
}

static int send_output(fcgi_client *client) {
  struct iovec iov;
  while (fcgi_peer_output(client->peer, &iov, 1) == 1) {
    size_t most = client->config.send_bytes;
    size_t len = iov.iov_len < most ? iov.iov_len : most;
    ssize_t sent =
        send(client->fd, iov.iov_base, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0)
      fcgi_peer_output_done(client->peer, (size_t)sent);
    else if (errno == EAGAIN || errno == EINTR)
      return 0;
    else if (errno == EPIPE || errno == ECONNRESET)
      stop_sending(client);
    else
      return fail(client, FCGI_ERR_SYSTEM, strerror(errno));
  }
  return 0;
}

/* Requests that are open get their CLOSE before the error shows. */
static void lose(fcgi_client *client, const char *why) {
  unsigned flags = fcgi_peer_flags(client->peer);
  fcgi_peer_close(client->peer);
  if (flags & (FCGI_PEER_ACTIVE | FCGI_PEER_VALUES))
    fail(client, FCGI_ERR_CLOSED, why);
}

static void receive(fcgi_client *client) {
  ssize_t len =
      recv(client->fd, client->input, sizeof client->input, MSG_DONTWAIT);
  if (len > 0)
    fcgi_peer_feed(client->peer, client->input, (size_t)len);
  else if (len == 0)
    lose(client, "the application closed the connection before it had "
                 "answered");
  else if (errno != EAGAIN && errno != EINTR)
    lose(client, "the connection was reset before the application had "
                 "answered");
}

static int pump_ready(fcgi_client *client, const struct pollfd *fds,
                      nfds_t polled) {
  size_t removed = 0;
  for (size_t i = 1; i < polled; i++) {
    size_t count, at = i - 1 - removed;
    fcgi__source *source = sources_of(client, &count);
    int done;
    if (at >= count)
      break; /* The application has stopped reading. */
    if (!fds[i].revents)
      continue;
    done = pump(client, &source[at]);
    if (done < 0)
      return done;
    if (done)
      remove_source(client, at);
    removed += (size_t)done;
  }
  return 0;
}

/* Wait, then send and receive what is possible: 0 or an error. */
static int exchange(fcgi_client *client, long long until) {
  long long left = until - fcgi__now();
  nfds_t polled;
  struct pollfd *fds;
  int ready, error = pump_memory(client);
  if (error)
    return error;
  fds = prepare_poll(client, &polled);
  if (!fds)
    return fail(client, FCGI_ERR_NOMEM, fcgi_error_text(FCGI_ERR_NOMEM));
  if (until == LLONG_MAX)
    left = -1;
  else if (left <= 0)
    left = 0;
  ready = poll(fds, polled, left > INT_MAX ? INT_MAX : (int)left);
  if (ready < 0 && errno != EINTR)
    return fail(client, FCGI_ERR_SYSTEM, strerror(errno));
  if (ready == 0)
    return fcgi__client_complain(client, FCGI_ERR_TIMEOUT, "no answer in time");
  if (ready < 0)
    return 0;
  error = pump_ready(client, fds, polled);
  if (!error && fds[0].revents & POLLOUT)
    error = send_output(client);
  if (!error && fds[0].revents & (POLLIN | POLLHUP | POLLERR))
    receive(client);
  return error;
}

static int is_idle(const fcgi_client *client) {
  return !(fcgi_peer_flags(client->peer) &
           (FCGI_PEER_ACTIVE | FCGI_PEER_VALUES | FCGI_PEER_OUTPUT));
}

/* What a failed peer has to say. */
static int peer_failed(fcgi_client *client, int error) {
  client->error = error;
  return error == FCGI_ERR_PROTOCOL
             ? fcgi__client_complain(
                   client, error,
                   "the application broke the FastCGI protocol: %s",
                   fcgi_peer_reason(client->peer))
             : fcgi__client_complain(client, error, "%s",
                                     fcgi_peer_reason(client->peer));
}

int fcgi_client_next(fcgi_client *client, const fcgi_peer_event **event,
                     int timeout_ms) {
  int wait = fcgi__wait_ms(timeout_ms);
  long long until = wait < 0 ? LLONG_MAX : fcgi__now() + wait;
  if (!client->peer)
    return refused(client, FCGI_ERR_CLOSED);
  for (;;) {
    int result = fcgi_peer_next(client->peer, event);
    if (result == 1)
      return 1;
    if (result < 0)
      return peer_failed(client, result);
    if (client->error)
      return client->error;
    if (client->fd < 0)
      return refused(client, FCGI_ERR_CLOSED);
    if (is_idle(client))
      return 0;
    result = exchange(client, until);
    if (result)
      return result;
  }
}
