/* SPDX-License-Identifier: MIT */
#include "cgi/cgi.h"
#include "os/clock.h"
#include "os/listener.h"
#include <errno.h>
#include <fastcgi/error.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char none[] = "/dev/null";

int fcgi__cgi_is_start(void) {
  const char *gateway = getenv("GATEWAY_INTERFACE");
  return gateway && *gateway && !fcgi__listener_is_inherited();
}

/* As the session reads it (6.2); it refuses the request where this cannot. */
static uint64_t length_of(const char *text) {
  uint64_t value = 0;
  for (; *text; text++) {
    unsigned digit = (unsigned)(*text - '0');
    if (digit > 9 || value > ((uint64_t)INT64_MAX - digit) / 10)
      return 0;
    value = value * 10 + digit;
  }
  return value;
}

/* The last value of `name`, as parameters have it; "" for none. */
static const char *value_of(char *const *environment, const char *name) {
  size_t len = strlen(name);
  const char *value = "";
  for (; *environment; environment++)
    if (strncmp(*environment, name, len) == 0 && (*environment)[len] == '=')
      value = *environment + len + 1;
  return value;
}

/* RFC 3875, 4.2: no more than CONTENT_LENGTH may be read, and without one
   there is nothing. Only of a chunked body does Apache not know the length: it
   sends all and then the end, and to take that for no body would lose an
   upload. */
static uint64_t body_of(char *const *environment) {
  const char *length = value_of(environment, "CONTENT_LENGTH");
  if (*length && strcmp(length, "-1") != 0)
    return length_of(length);
  return *value_of(environment, "HTTP_TRANSFER_ENCODING") ? UINT64_MAX : 0;
}

static int put_params(fcgi_peer *peer, char *const *environment) {
  int error = 0;
  for (; !error && *environment; environment++) {
    const char *name = *environment, *value = strchr(name, '=');
    if (value && value > name) /* execve(2) takes anything. */
      error = fcgi_peer_param(peer, FCGI__CGI_ID, name, (size_t)(value - name),
                              value + 1, strlen(value + 1));
  }
  return error ? error : fcgi_peer_params_end(peer, FCGI__CGI_ID);
}

int fcgi__cgi_begin(fcgi_peer *peer, char *const *environment, uint64_t *body) {
  int error = fcgi_peer_begin(peer, FCGI__CGI_ID, FCGI_ROLE_RESPONDER, 0);
  *body = body_of(environment);
  if (!error)
    error = put_params(peer, environment);
  if (!error && *body == 0)
    error = fcgi_peer_write_end(peer, FCGI__CGI_ID, FCGI_STREAM_STDIN);
  return error;
}

static void close_all(const fcgi__cgi *cgi) {
  const int fds[] = {cgi->socket, cgi->in, cgi->out, cgi->err, cgi->wake};
  for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
    if (fds[i] >= 0)
      close(fds[i]);
}

static void discard(fcgi__cgi *cgi, const fcgi_allocator *allocator) {
  close_all(cgi);
  fcgi_peer_free(cgi->peer);
  fcgi__free(allocator, cgi);
}

static int copy_above(int fd) {
  return fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
}

/* The bridge's descriptors. The server's end comes in `*offer`. */
static int open_all(fcgi__cgi *cgi, int *offer) {
  int ends[2];
  cgi->in = copy_above(STDIN_FILENO);
  cgi->out = copy_above(STDOUT_FILENO);
  cgi->err = copy_above(STDERR_FILENO);
  cgi->wake = fcgi__wake_new();
  if (cgi->in < 0 || cgi->out < 0 || cgi->err < 0 ||
      socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends))
    return FCGI_ERR_SYSTEM;
  cgi->socket = ends[0];
  *offer = ends[1];
  return 0;
}

/* A child that reads would take the body away, and what one prints, or holds
   open after us, would be part of the answer. */
static void replace_standard(void) {
  int nothing = open(none, O_RDONLY | O_CLOEXEC);
  if (nothing >= 0) {
    dup2(nothing, STDIN_FILENO);
    close(nothing);
  }
  dup2(STDERR_FILENO, STDOUT_FILENO);
}

/* Signals are for the program's threads; SIGPIPE, which is the bridge's own,
   stays blocked and becomes EPIPE. */
static int start_thread(fcgi__cgi *cgi) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  errno = pthread_create(&cgi->thread, NULL, fcgi__cgi_bridge, cgi);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return errno ? FCGI_ERR_SYSTEM : 0;
}

static int prepare(fcgi__cgi *cgi, const fcgi_allocator *allocator,
                   char *const *environment, int *offer) {
  const fcgi_peer_config config = {.size = sizeof config,
                                   .allocator = *allocator};
  int error = fcgi_peer_new(&cgi->peer, &config);
  if (!error)
    error = fcgi__cgi_begin(cgi->peer, environment, &cgi->body);
  return error ? error : open_all(cgi, offer);
}

int fcgi__cgi_start(fcgi__cgi **out, const fcgi__cgi_owner *owner,
                    const fcgi_allocator *allocator, char *const *environment,
                    int *offer) {
  fcgi__cgi *cgi = fcgi__calloc(allocator, sizeof *cgi);
  int error;
  if (!cgi)
    return FCGI_ERR_NOMEM;
  *offer = -1;
  cgi->owner = *owner;
  cgi->socket = cgi->in = cgi->out = cgi->err = cgi->wake = -1;
  error = prepare(cgi, allocator, environment, offer);
  if (!error) {
    replace_standard();
    error = start_thread(cgi);
  }
  if (!error) {
    *out = cgi;
    return 0;
  }
  if (*offer >= 0)
    close(*offer);
  discard(cgi, allocator);
  return error;
}

void fcgi__cgi_free(fcgi__cgi *cgi, const fcgi_allocator *allocator) {
  static const uint64_t one = 1;
  if (!cgi)
    return;
  atomic_store(&cgi->hurry, 1);
  if (cgi->wake >= 0 && write(cgi->wake, &one, sizeof one) < 0)
    errno = 0; /* It is readable already. */
  pthread_join(cgi->thread, NULL);
  discard(cgi, allocator);
}
