/* SPDX-License-Identifier: MIT */
/* Connecting to an address, within a time. */
#include "wire.h"
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int failed(bytes *problem, const char *what) {
  bytes_text(problem, what);
  return -1;
}

/* 0, or -1 with errno. */
static int connect_within(int fd, const struct sockaddr *to, socklen_t len,
                          int timeout_ms) {
  struct pollfd at = {.fd = fd, .events = POLLOUT};
  int error = 0;
  socklen_t size = sizeof error;
  if (connect(fd, to, len) == 0)
    return 0;
  if (errno != EINPROGRESS)
    return -1;
  if (poll(&at, 1, timeout_ms) <= 0)
    error = ETIMEDOUT;
  else
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
  errno = error;
  return error ? -1 : 0;
}

static int open_socket(wire *w, const struct sockaddr *to, socklen_t len,
                       bytes *problem) {
  w->fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (w->fd < 0)
    return failed(problem, strerror(errno));
  if (connect_within(w->fd, to, len, w->timeout_ms) == 0)
    return 0;
  bytes_text(problem, strerror(errno));
  close(w->fd);
  w->fd = -1;
  return -1;
}

/* "@name" is in Linux' abstract space. */
static int connect_unix(wire *w, const char *path, bytes *problem) {
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  size_t len = strlen(path);
  socklen_t size = sizeof to;
  if (len == 0 || len >= sizeof to.sun_path)
    return failed(problem, "not a path that a socket can have");
  memcpy(to.sun_path, path, len);
  if (path[0] == '@') {
    to.sun_path[0] = '\0';
    size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
  }
  return open_socket(w, (const struct sockaddr *)&to, size, problem);
}

/* The host of [v6]:port without its brackets; "" is this machine. */
static int split_host(const char *address, char *host, size_t room,
                      const char **port) {
  const char *colon = strrchr(address, ':'), *from = address;
  size_t len = colon ? (size_t)(colon - address) : 0;
  if (!colon || colon[1] == '\0' || len >= room)
    return -1;
  if (len >= 2 && from[0] == '[' && from[len - 1] == ']') {
    from++;
    len -= 2;
  }
  memcpy(host, from, len);
  host[len] = '\0';
  *port = colon + 1;
  return 0;
}

static int connect_tcp(wire *w, const char *address, bytes *problem) {
  const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
  struct addrinfo *found, *at;
  char host[256];
  const char *port;
  int error, result = -1;
  if (split_host(address, host, sizeof host, &port))
    return failed(problem, "not an address: it is unix:/path, unix:@name, "
                           "host:port, [v6]:port or :port");
  error = getaddrinfo(host[0] ? host : NULL, port, &hints, &found);
  if (error)
    return failed(problem, gai_strerror(error));
  for (at = found; at && result < 0; at = at->ai_next) {
    problem->len = 0;
    result = open_socket(w, at->ai_addr, at->ai_addrlen, problem);
  }
  freeaddrinfo(found);
  return result;
}

int wire_connect(wire *w, const char *address, bytes *problem) {
  if (strncmp(address, "unix:", 5) == 0)
    return connect_unix(w, address + 5, problem);
  if (strncmp(address, "fd:", 3) == 0)
    return failed(problem, "one connection is not enough for the cases");
  return connect_tcp(w, address, problem);
}
