/* SPDX-License-Identifier: MIT */
/* Connecting to an application. */
#include "client/client.h"
#include "os/clock.h"
#include <errno.h>
#include <fastcgi/error.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { RETRY_MS = 10 }; /* A full backlog is tried again. */

static int cannot(fcgi_client *client, int number) {
  const char *hint = number == ECONNREFUSED || number == ENOENT
                         ? "; is the application running there?"
                         : "";
  return fcgi__client_complain(client, FCGI_ERR_SYSTEM, "cannot connect: %s%s",
                               strerror(number), hint);
}

/* A socket of the caller: ours is a second descriptor of it. */
static int adopt(fcgi_client *client, int given) {
  int type, fd;
  socklen_t len = sizeof type;
  if (getsockopt(given, SOL_SOCKET, SO_TYPE, &type, &len) != 0 ||
      type != SOCK_STREAM)
    return fcgi__client_complain(client, FCGI_ERR_INVALID,
                                 "descriptor %d is no stream socket", given);
  fd = fcntl(given, F_DUPFD_CLOEXEC, 0);
  return fd >= 0 ? fd : cannot(client, errno);
}

static int make_socket(const fcgi__address *address) {
  int fd = socket(address->sockaddr.any.sa_family, SOCK_STREAM, 0);
  int on = 1;
  if (fd < 0)
    return -1;
  if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
      fcntl(fd, F_SETFL, O_NONBLOCK) != 0) {
    close(fd);
    return -1;
  }
  if (address->kind == FCGI__ADDRESS_TCP)
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

static int rest_of(long long until) {
  long long left = until - fcgi__now();
  if (until == LLONG_MAX)
    return -1;
  return left > 0 ? (int)left : 0;
}

/* The result of a connect(2) under way: 0, or an errno. */
static int wait_connected(int fd, long long until) {
  struct pollfd at = {.fd = fd, .events = POLLOUT};
  int number = 0, ready;
  socklen_t len = sizeof number;
  do
    ready = poll(&at, 1, rest_of(until));
  while (ready < 0 && errno == EINTR);
  if (ready == 0)
    return ETIMEDOUT;
  if (ready < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &number, &len) != 0)
    return errno;
  return number;
}

/* unix(7): a full backlog is EAGAIN for a socket that does not block, and no
   poll tells when there is room. */
static int connect_socket(int fd, const fcgi__address *address,
                          long long until) {
  while (connect(fd, &address->sockaddr.any, address->len) != 0) {
    if (errno == EINPROGRESS || errno == EINTR)
      return wait_connected(fd, until);
    if (errno != EAGAIN)
      return errno;
    if (fcgi__now() >= until)
      return ETIMEDOUT;
    poll(NULL, 0, RETRY_MS);
  }
  return 0;
}

/* connect(2) needs the right to enter each directory above a socket, and to
   write to the socket. EACCES does not say which one is lacking. */
static int refused(fcgi_client *client, const fcgi__address *address) {
  const char *path = address->sockaddr.un.sun_path;
  char above[sizeof address->sockaddr.un.sun_path + 1];
  for (const char *end = path; (end = strchr(end + 1, '/')) != NULL;) {
    snprintf(above, sizeof above, "%.*s", (int)(end - path), path);
    if (faccessat(AT_FDCWD, above, X_OK, AT_EACCESS) != 0 && errno == EACCES)
      return fcgi__client_complain(client, FCGI_ERR_SYSTEM,
                                   "cannot connect: %s: this user may not "
                                   "enter the directory %s",
                                   strerror(EACCES), above);
  }
  return fcgi__client_complain(client, FCGI_ERR_SYSTEM,
                               "cannot connect: %s: this user may not write to "
                               "the socket",
                               strerror(EACCES));
}

int fcgi__client_open(fcgi_client *client, const char *text) {
  int wait = fcgi__wait_ms(client->config.connect_timeout_ms);
  fcgi__address address;
  int fd, number;
  int error = fcgi__address_parse(&address, text, client->message,
                                  sizeof client->message);
  if (error)
    return error;
  if (address.kind == FCGI__ADDRESS_FD)
    return adopt(client, address.fd);
  fd = make_socket(&address);
  if (fd < 0)
    return cannot(client, errno);
  number =
      connect_socket(fd, &address, wait < 0 ? LLONG_MAX : fcgi__now() + wait);
  if (number == 0)
    return fd;
  close(fd);
  if (number == EACCES && address.kind == FCGI__ADDRESS_UNIX)
    return refused(client, &address);
  return number == ETIMEDOUT
             ? fcgi__client_complain(client, FCGI_ERR_TIMEOUT,
                                     "cannot connect: no answer in time")
             : cannot(client, number);
}
