/* SPDX-License-Identifier: MIT */
#include "server/listener.h"
#include "server/sieve.h"

#include <errno.h>
#include <fastcgi/error.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FIRST_PASSED_FD = 3 }; /* Where sd_listen_fds(3) begins. */

/* One call of fcgi__listener_open. */
typedef struct opening {
  const char *text;                    /* The address as it was given. */
  const fcgi__listen_options *options; /* The caller's. */
  char *why;                           /* Where the complaint goes. */
  size_t why_len;                      /* Its room. */
} opening;

/* Write the complaint; returns `code` and keeps errno. */
__attribute__((format(printf, 3, 4))) static int
complain(const opening *o, int code, const char *format, ...) {
  int saved = errno;
  va_list args;
  int used = 0;
  if (o->text != NULL)
    used = snprintf(o->why, o->why_len, "cannot listen on %s: ", o->text);
  if (used >= 0 && (size_t)used < o->why_len) {
    va_start(args, format);
    vsnprintf(o->why + used, o->why_len - (size_t)used, format, args);
    va_end(args);
  }
  errno = saved;
  return code;
}

/* Complain about errno. */
static int system_error(const opening *o, const char *what) {
  int saved = errno;
  complain(o, 0, "%s: %s", what, strerror(saved));
  errno = saved;
  return FCGI_ERR_SYSTEM;
}

static int close_with(int fd, int code) {
  int saved = errno;
  close(fd);
  errno = saved;
  return code;
}

static int is_same_socket(const fcgi__listener *listener) {
  struct stat now;
  return lstat(listener->unlink_path, &now) == 0 && S_ISSOCK(now.st_mode) &&
         now.st_dev == listener->device && now.st_ino == listener->inode;
}

static int open_socket(const opening *o, int family) {
  int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  return fd < 0 ? system_error(o, "no socket") : fd;
}

/* What connecting to a socket in the file system gives: 0 or an errno. A full
   backlog gives EAGAIN: somebody is there. */
static int probe(const opening *o, const fcgi__address *address) {
  int fd = open_socket(o, AF_UNIX);
  if (fd < 0)
    return errno;
  int result = 0;
  if (connect(fd, &address->sockaddr.any, address->len) < 0)
    result = errno;
  close(fd);
  return result;
}

/* Complain about a file that is in the way and stays. */
static int refuse_taken(const opening *o, const char *reason) {
  errno = EADDRINUSE;
  return complain(o, FCGI_ERR_SYSTEM, "%s", reason);
}

/* Remove the socket at the path that nobody listens on any more: 0, or an
   error when it is anything else. */
static int remove_stale(const opening *o, const fcgi__address *address) {
  const char *path = address->sockaddr.un.sun_path;
  struct stat before, after;
  if (lstat(path, &before) < 0)
    return errno == ENOENT ? 0 : system_error(o, "cannot look at the path");
  if (!S_ISSOCK(before.st_mode))
    return refuse_taken(o, "the path exists and is not a socket; choose "
                           "another path, or remove it yourself");
  int result = probe(o, address);
  if (result == ECONNREFUSED) {
    /* Another server may just be between its bind(2) and its listen(2). */
    poll(NULL, 0, 50);
    result = probe(o, address);
  }
  if (result == ENOENT)
    return 0;
  if (result == EACCES)
    return refuse_taken(o, "the socket exists and belongs to somebody else; "
                           "choose another path");
  if (result != ECONNREFUSED)
    return refuse_taken(o, "address in use by a running server; stop it or "
                           "choose another path");
  if (lstat(path, &after) < 0 || after.st_ino != before.st_ino ||
      after.st_dev != before.st_dev)
    return refuse_taken(o, "another server is starting on this path");
  if (unlink(path) < 0 && errno != ENOENT)
    return system_error(o, "cannot remove the stale socket");
  return 0;
}

/* Say which directory or right is missing. */
static int explain_path(const opening *o, const char *path) {
  const char *slash = strrchr(path, '/');
  int len = slash == NULL ? 1 : slash == path ? 1 : (int)(slash - path);
  const char *directory = slash == NULL ? "." : path;
  switch (errno) {
  case ENOENT:
    return complain(o, FCGI_ERR_SYSTEM,
                    "the directory %.*s does not exist; create it or choose "
                    "another path",
                    len, directory);
  case ENOTDIR:
    return complain(o, FCGI_ERR_SYSTEM,
                    "%.*s is not a directory; choose another path", len,
                    directory);
  case EACCES:
  case EPERM:
    return complain(o, FCGI_ERR_SYSTEM,
                    "permission denied: this user cannot write to the "
                    "directory %.*s",
                    len, directory);
  default:
    return system_error(o, "cannot make the socket");
  }
}

/* Bind to a path, removing a stale socket there. */
static int bind_path(const opening *o, int fd, const fcgi__address *address) {
  if (bind(fd, &address->sockaddr.any, address->len) == 0)
    return 0;
  if (errno == EADDRINUSE) {
    int error = remove_stale(o, address);
    if (error < 0)
      return error;
    if (bind(fd, &address->sockaddr.any, address->len) == 0)
      return 0;
    if (errno == EADDRINUSE)
      return refuse_taken(o, "another server is starting on this path");
  }
  return explain_path(o, address->sockaddr.un.sun_path);
}

/* Give the new file its mode, and remember which file it is. */
static int settle_path(const opening *o, fcgi__listener *listener) {
  struct stat made;
  const char *path = listener->unlink_path;
  if (lstat(path, &made) < 0)
    return system_error(o, "the socket vanished");
  listener->device = made.st_dev;
  listener->inode = made.st_ino;
  listener->maker = getpid();
  /* The umask took bits away from what fchmod(2) had set. */
  if (chmod(path, o->options->mode) < 0)
    return system_error(o, "cannot set the socket's mode");
  return 0;
}

static int explain_tcp(const opening *o) {
  switch (errno) {
  case EADDRINUSE:
    return complain(o, FCGI_ERR_SYSTEM,
                    "the port is in use; stop the other program or choose "
                    "another port");
  case EACCES:
    return complain(o, FCGI_ERR_SYSTEM,
                    "permission denied: ports below 1024 need privileges; "
                    "choose a higher one");
  case EADDRNOTAVAIL:
    return complain(o, FCGI_ERR_SYSTEM,
                    "this machine does not have that address; use one of its "
                    "own, such as 127.0.0.1");
  default:
    return system_error(o, "the system refuses");
  }
}

static int start(const opening *o, int fd, int family) {
  const fcgi__allow *allow = family == AF_UNIX ? NULL : o->options->allow;
  if (allow && fcgi__sieve_attach(fd, allow) < 0)
    return system_error(o, "its allow list cannot be set");
  /* A port taken between bind(2) and listen(2) shows only here. */
  return listen(fd, o->options->backlog) == 0 ? 0 : explain_tcp(o);
}

static int open_path(const opening *o, fcgi__listener *out,
                     const fcgi__address *address) {
  int fd = open_socket(o, AF_UNIX);
  if (fd < 0)
    return fd;
  *out = (fcgi__listener){.fd = fd, .own = 1, .family = AF_UNIX};
  /* bind(2) makes the file with this mode less the umask, so that it is never
     open to more users than it should, not even for a moment. */
  if (fchmod(fd, o->options->mode) < 0)
    return close_with(fd, system_error(o, "cannot set the socket's mode"));
  int error = bind_path(o, fd, address);
  if (error < 0)
    return close_with(fd, error);
  strcpy(out->unlink_path, address->sockaddr.un.sun_path);
  error = settle_path(o, out);
  if (error == 0)
    error = start(o, fd, AF_UNIX);
  if (error < 0) {
    int saved = errno;
    fcgi__listener_close(out);
    errno = saved;
  }
  return error;
}

static int set_tcp_options(const opening *o, int fd, int family) {
  const int on = 1;
  /* A restart must not wait for connections in TIME_WAIT. */
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
    return system_error(o, "SO_REUSEADDR");
  /* [::]:9000 and 0.0.0.0:9000 are two addresses, whatever the system says. */
  if (family == AF_INET6 &&
      setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0)
    return system_error(o, "IPV6_V6ONLY");
  /* Linux hands it on to accepted connections, which spares them a system
     call; output is coalesced already. */
  if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0)
    return system_error(o, "TCP_NODELAY");
  return 0;
}

/* A FastCGI peer may run anything that the application can do, so the network
   is let in only by somebody who has said which addresses. */
static int check_reach(const opening *o, const struct sockaddr *address) {
  if (!o->options->loopback_only || address->sa_family == AF_UNIX ||
      fcgi__allow_is_loopback(address))
    return 0;
  return complain(o, FCGI_ERR_INVALID,
                  "%sother machines could connect; name the addresses of the "
                  "web servers in an allow list (allow, --allow-from), or "
                  "listen on 127.0.0.1",
                  o->text ? "" : "the inherited listener: ");
}

static int open_tcp(const opening *o, fcgi__listener *out,
                    const fcgi__address *address) {
  int family = address->sockaddr.any.sa_family;
  int unguarded = check_reach(o, &address->sockaddr.any);
  if (unguarded)
    return unguarded;
  int fd = open_socket(o, family);
  if (fd < 0)
    return fd;
  *out = (fcgi__listener){.fd = fd, .own = 1, .family = family};
  int error = set_tcp_options(o, fd, family);
  if (error == 0 && bind(fd, &address->sockaddr.any, address->len) < 0)
    error = explain_tcp(o);
  if (error == 0)
    error = start(o, fd, family);
  return error < 0 ? close_with(fd, error) : 0;
}

static int open_abstract(const opening *o, fcgi__listener *out,
                         const fcgi__address *address) {
  int fd = open_socket(o, AF_UNIX);
  if (fd < 0)
    return fd;
  *out = (fcgi__listener){.fd = fd, .own = 1, .family = AF_UNIX};
  if (bind(fd, &address->sockaddr.any, address->len) < 0) {
    int error = errno == EADDRINUSE
                    ? complain(o, FCGI_ERR_SYSTEM,
                               "the name is in use; stop the other server or "
                               "choose another name")
                    : system_error(o, "bind");
    return close_with(fd, error);
  }
  int error = start(o, fd, AF_UNIX);
  return error < 0 ? close_with(fd, error) : 0;
}

/* 1 for a listening socket, else 0 with errno: EBADF, ENOTSOCK, or EINVAL for
   a socket that does not listen. */
static int is_listening(int fd) {
  int listening = 0;
  socklen_t len = sizeof listening;
  if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) < 0)
    return 0;
  if (!listening)
    errno = EINVAL;
  return listening;
}

/* Several threads, and processes that share the listener, wake for one
   connection: with a blocking accept(2) the losers would hang in it. The flag
   belongs to the shared file description, so the others get EAGAIN where they
   would have blocked, as every program does that polls before it accepts. */
static int make_nonblocking(int fd) {
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0)
    return -1;
  return flags & O_NONBLOCK ? 0 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

/* Take over a listening socket that somebody else made. */
static int adopt(const opening *o, fcgi__listener *out, int fd) {
  struct sockaddr_storage name = {0};
  socklen_t len = sizeof name;
  if (getsockname(fd, (struct sockaddr *)&name, &len) < 0)
    return system_error(o, "getsockname");
  int unguarded = check_reach(o, (struct sockaddr *)&name);
  if (unguarded)
    return unguarded;
  if (make_nonblocking(fd) < 0)
    return system_error(o, "fcntl");
  /* Standard input stays as it is: a program that we start without one would
     get its first open file there. */
  if (fd > STDERR_FILENO && fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
    return system_error(o, "fcntl");
  *out = (fcgi__listener){.fd = fd, .family = name.ss_family};
  return 0;
}

static int adopt_checked(const opening *o, fcgi__listener *out, int fd) {
  if (is_listening(fd))
    return adopt(o, out, fd);
  const char *reason = errno == EBADF ? "it is not open"
                       : errno == ENOTSOCK
                           ? "it is not a socket"
                           : "it is a socket that does not listen";
  return complain(o, FCGI_ERR_INVALID,
                  "descriptor %d: %s; pass the descriptor of a listening "
                  "socket",
                  fd, reason);
}

/* A whole positive number from the environment, or 0. */
static long number_from(const char *variable) {
  const char *text = getenv(variable);
  if (text == NULL || *text < '0' || *text > '9')
    return 0;
  char *end;
  errno = 0;
  long number = strtol(text, &end, 10);
  return *end != '\0' || errno != 0 ? 0 : number;
}

/* How many listeners sd_listen_fds(3) has for this very process. */
static int passed_count(void) {
  if (number_from("LISTEN_PID") != (long)getpid())
    return 0;
  long count = number_from("LISTEN_FDS");
  return count > INT_MAX - FIRST_PASSED_FD ? 0 : (int)count;
}

int fcgi__listener_is_inherited(void) {
  return passed_count() > 0 || is_listening(STDIN_FILENO);
}

static int open_inherited(const opening *o, fcgi__listener *out, size_t max) {
  int count = passed_count();
  for (int i = 0; i < count && (size_t)i < max; i++) {
    int error = adopt_checked(o, &out[i], FIRST_PASSED_FD + i);
    if (error < 0)
      return error;
  }
  if (count > 0)
    return (size_t)count < max ? count : (int)max;
  if (is_listening(STDIN_FILENO)) {
    int error = adopt(o, &out[0], STDIN_FILENO);
    return error < 0 ? error : 1;
  }
  return complain(o, FCGI_ERR_INVALID,
                  "no listener inherited: give an address such as "
                  "unix:/run/app.sock or 127.0.0.1:9000, or start it with "
                  "systemd socket activation, spawn-fcgi or mod_fcgid");
}

static int open_address(const opening *o, fcgi__listener *out) {
  fcgi__address address;
  int error = fcgi__address_parse(&address, o->text, o->why, o->why_len);
  if (error < 0)
    return error;
  switch (address.kind) {
  case FCGI__ADDRESS_UNIX:
    return open_path(o, out, &address);
  case FCGI__ADDRESS_ABSTRACT:
    return open_abstract(o, out, &address);
  case FCGI__ADDRESS_TCP:
    return open_tcp(o, out, &address);
  default:
    return adopt_checked(o, out, address.fd);
  }
}

int fcgi__listener_open(fcgi__listener *out, size_t max, const char *address,
                        const fcgi__listen_options *options, char *why,
                        size_t why_len) {
  const opening o = {address, options, why, why_len};
  if (max == 0)
    return FCGI_ERR_LIMIT;
  if (address == NULL)
    return open_inherited(&o, out, max);
  int error = open_address(&o, out);
  return error < 0 ? error : 1;
}

int fcgi__listener_check(const char *address,
                         const fcgi__listen_options *options, char *why,
                         size_t why_len) {
  const opening o = {address, options, why, why_len};
  fcgi__address parsed;
  int error = fcgi__address_parse(&parsed, address, why, why_len);
  if (error < 0 || parsed.kind != FCGI__ADDRESS_TCP)
    return error;
  return check_reach(&o, &parsed.sockaddr.any);
}

static void unlink_own(fcgi__listener *listener) {
  if (listener->unlink_path[0] != '\0' && listener->maker == getpid() &&
      is_same_socket(listener))
    unlink(listener->unlink_path);
  listener->unlink_path[0] = '\0';
}

void fcgi__listener_retire(fcgi__listener *listener, int instead) {
  if (!listener->own)
    return;
  unlink_own(listener);
  dup3(instead, listener->fd, O_CLOEXEC);
}

void fcgi__listener_close(fcgi__listener *listener) {
  if (!listener->own)
    return;
  unlink_own(listener);
  close(listener->fd);
  *listener = (fcgi__listener){.fd = -1};
}
