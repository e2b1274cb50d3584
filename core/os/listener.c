/* SPDX-License-Identifier: MIT */
#include "os/listener.h"
#include "base/number.h"
#include "os/filename.h"
#include "os/opening.h"
#include "os/sieve.h"

#include <errno.h>
#include <fastcgi/error.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FIRST_PASSED_FD = 3 }; /* Where sd_listen_fds(3) begins. */

static int close_with(int fd, int code) {
  int saved = errno;
  close(fd);
  errno = saved;
  return code;
}

static int explain_tcp(const fcgi__opening *o) {
  switch (errno) {
  case EADDRINUSE:
    return fcgi__opening_refuse(
        o, FCGI_ERR_SYSTEM,
        "the port is in use; stop the other program or choose "
        "another port");
  case EACCES:
    return fcgi__opening_refuse(
        o, FCGI_ERR_SYSTEM,
        "permission denied: ports below 1024 need privileges; "
        "choose a higher one");
  case EADDRNOTAVAIL:
    return fcgi__opening_refuse(
        o, FCGI_ERR_SYSTEM,
        "this machine does not have that address; use one of its "
        "own, such as 127.0.0.1");
  default:
    return fcgi__opening_fail(o, "the system refuses");
  }
}

static int start(const fcgi__opening *o, int fd, int family) {
  const fcgi__allow *allow = family == AF_UNIX ? NULL : o->options->allow;
  if (allow && fcgi__sieve_attach(fd, allow) < 0)
    return fcgi__opening_fail(o, "its allow list cannot be set");
  /* A port taken between bind(2) and listen(2) shows only here. */
  return listen(fd, o->options->backlog) == 0 ? 0 : explain_tcp(o);
}

static int bind_path(const fcgi__opening *o, fcgi__listener *out,
                     const fcgi__address *address) {
  int error = fcgi__socket_file_bind(&out->file, o, out->fd, address);
  if (error == 0)
    error = start(o, out->fd, AF_UNIX);
  if (error == 0 && !fcgi__socket_file_stays(&out->file)) {
    errno = EADDRINUSE;
    error = fcgi__opening_refuse(o, FCGI_ERR_SYSTEM,
                                 "another server is starting on this path");
  }
  return error;
}

/* Between bind(2) and listen(2) others would take the file for a stale one. */
static int open_path(const fcgi__opening *o, fcgi__listener *out,
                     const fcgi__address *address) {
  int fd = fcgi__opening_socket(o, AF_UNIX), lock, error, saved;
  if (fd < 0)
    return fd;
  *out = (fcgi__listener){.fd = fd, .own = 1, .family = AF_UNIX};
  lock = fcgi__filename_lock(address->sockaddr.un.sun_path);
  error = bind_path(o, out, address);
  saved = errno;
  if (error < 0)
    fcgi__listener_close(out);
  if (lock >= 0)
    close(lock);
  errno = saved;
  return error;
}

static int set_tcp_options(const fcgi__opening *o, int fd, int family) {
  const int on = 1;
  /* A restart must not wait for connections in TIME_WAIT. */
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
    return fcgi__opening_fail(o, "SO_REUSEADDR");
  /* [::]:9000 and 0.0.0.0:9000 are two addresses, whatever the system says. */
  if (family == AF_INET6 &&
      setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0)
    return fcgi__opening_fail(o, "IPV6_V6ONLY");
  /* Linux hands it on to accepted connections, which spares them a system
     call; output is coalesced already. */
  if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0)
    return fcgi__opening_fail(o, "TCP_NODELAY");
  return 0;
}

/* A FastCGI peer may run anything that the application can do, so the network
   is let in only by somebody who has said which addresses. */
static int check_reach(const fcgi__opening *o, const struct sockaddr *address) {
  const char *which = o->text ? "" : "the inherited listener: ";
  const char *refused = o->options->tcp_refused;
  if (address->sa_family == AF_UNIX)
    return 0;
  if (refused && *refused)
    return fcgi__opening_refuse(o, FCGI_ERR_INVALID, "%s%s", which, refused);
  if (!o->options->loopback_only || fcgi__allow_is_loopback(address))
    return 0;
  return fcgi__opening_refuse(
      o, FCGI_ERR_INVALID,
      "%sother machines could connect; name the addresses of the "
      "web servers in an allow list (allow_from, --allow-from), or "
      "listen on 127.0.0.1",
      which);
}

static int open_tcp(const fcgi__opening *o, fcgi__listener *out,
                    const fcgi__address *address) {
  int family = address->sockaddr.any.sa_family;
  int unguarded = check_reach(o, &address->sockaddr.any);
  if (unguarded)
    return unguarded;
  int fd = fcgi__opening_socket(o, family);
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

static int open_abstract(const fcgi__opening *o, fcgi__listener *out,
                         const fcgi__address *address) {
  int fd = fcgi__opening_socket(o, AF_UNIX);
  if (fd < 0)
    return fd;
  *out = (fcgi__listener){.fd = fd, .own = 1, .family = AF_UNIX};
  if (bind(fd, &address->sockaddr.any, address->len) < 0) {
    int error = errno == EADDRINUSE
                    ? fcgi__opening_refuse(
                          o, FCGI_ERR_SYSTEM,
                          "the name is in use; stop the other server or "
                          "choose another name")
                    : fcgi__opening_fail(o, "bind");
    return close_with(fd, error);
  }
  int error = start(o, fd, AF_UNIX);
  return error < 0 ? close_with(fd, error) : 0;
}

int fcgi__listener_is_one(int fd) {
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

/* Programs that handlers start inherit standard input, and would keep the
   address alive, so nothing stands there. 0, or -1 where /dev/null is missing.
 */
static int empty_input(void) {
  int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (nothing < 0)
    return -1;
  dup2(nothing, STDIN_FILENO);
  close(nothing);
  return 0;
}

/* The listener at standard input moves: its new number, or the old one. */
static int leave_input(int fd) {
  int moved = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_PASSED_FD);
  if (moved < 0)
    return fd;
  if (empty_input() == 0)
    return moved;
  close(moved);
  return fd;
}

/* The family of a socket that somebody else made, or an error. */
static int check_made(const fcgi__opening *o, int fd) {
  struct sockaddr_storage name = {0};
  socklen_t len = sizeof name;
  if (getsockname(fd, (struct sockaddr *)&name, &len) < 0)
    return fcgi__opening_fail(o, "getsockname");
  int unguarded = check_reach(o, (struct sockaddr *)&name);
  return unguarded ? unguarded : name.ss_family;
}

/* Take it over. */
static int adopt(const fcgi__opening *o, fcgi__listener *out, int fd) {
  int family = check_made(o, fd);
  if (family < 0)
    return family;
  if (make_nonblocking(fd) < 0)
    return fcgi__opening_fail(o, "fcntl");
  if (fd == STDIN_FILENO)
    fd = leave_input(fd);
  if (fd > STDERR_FILENO && fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
    return fcgi__opening_fail(o, "fcntl");
  *out = (fcgi__listener){.fd = fd, .family = family};
  return 0;
}

/* 0, or an error: it does not listen. */
static int check_passed(const fcgi__opening *o, int fd) {
  if (fcgi__listener_is_one(fd))
    return 0;
  const char *reason = errno == EBADF ? "it is not open"
                       : errno == ENOTSOCK
                           ? "it is not a socket"
                           : "it is a socket that does not listen";
  return fcgi__opening_refuse(
      o, FCGI_ERR_INVALID,
      "descriptor %d: %s; pass the descriptor of a listening "
      "socket",
      fd, reason);
}

static int adopt_checked(const fcgi__opening *o, fcgi__listener *out, int fd) {
  int error = check_passed(o, fd);
  return error ? error : adopt(o, out, fd);
}

/* A whole positive number from the environment, or 0. */
static long number_from(const char *variable) {
  const char *text = getenv(variable);
  uint64_t number;
  return text && fcgi__number_parse(text, 1, LONG_MAX, &number) == 0
             ? (long)number
             : 0;
}

/* How many listeners sd_listen_fds(3) has for this very process. */
static int passed_count(void) {
  if (number_from("LISTEN_PID") != (long)getpid())
    return 0;
  long count = number_from("LISTEN_FDS");
  return count > INT_MAX - FIRST_PASSED_FD ? 0 : (int)count;
}

int fcgi__listener_is_inherited(void) {
  return passed_count() > 0 || fcgi__listener_is_one(STDIN_FILENO);
}

/* Why variables that are there give us no listener. */
static int explain_passed(const fcgi__opening *o) {
  const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
  if (!pid)
    return fcgi__opening_refuse(
        o, FCGI_ERR_INVALID,
        "LISTEN_FDS=\"%.32s\" comes without LISTEN_PID, which says whom it is "
        "for",
        count);
  if (number_from("LISTEN_PID") != (long)getpid())
    return fcgi__opening_refuse(
        o, FCGI_ERR_INVALID,
        "LISTEN_PID=\"%.32s\" names another process, and this is %ld: the "
        "listeners are not ours; let the program be executed itself (exec in a "
        "shell script), or give an address",
        pid, (long)getpid());
  return fcgi__opening_refuse(
      o, FCGI_ERR_INVALID,
      "LISTEN_FDS=\"%.32s\" is no number of listeners, such as 1", count);
}

static int open_passed(const fcgi__opening *o, fcgi__listener *out, size_t max,
                       int count) {
  for (int i = 0; i < count && (size_t)i < max; i++) {
    int error = adopt_checked(o, &out[i], FIRST_PASSED_FD + i);
    if (error < 0)
      return error;
  }
  /* Ours passes the first there too. */
  if (fcgi__listener_is_one(STDIN_FILENO))
    empty_input();
  return (size_t)count < max ? count : (int)max;
}

static int open_inherited(const fcgi__opening *o, fcgi__listener *out,
                          size_t max) {
  int count = passed_count();
  if (count > 0)
    return open_passed(o, out, max, count);
  if (fcgi__listener_is_one(STDIN_FILENO)) {
    int error = adopt(o, &out[0], STDIN_FILENO);
    return error < 0 ? error : 1;
  }
  if (getenv("LISTEN_FDS"))
    return explain_passed(o);
  return fcgi__opening_refuse(
      o, FCGI_ERR_INVALID,
      "no listener inherited: give an address such as unix:/run/app.sock or "
      "127.0.0.1:9000, or start it with systemd socket activation, spawn-fcgi "
      "or mod_fcgid");
}

static int open_address(const fcgi__opening *o, fcgi__listener *out) {
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
  const fcgi__opening o = {address, options, why, why_len};
  if (max == 0)
    return FCGI_ERR_LIMIT;
  if (address == NULL)
    return open_inherited(&o, out, max);
  int error = open_address(&o, out);
  return error < 0 ? error : 1;
}

/* Whether the machine has the address, and lets this user have the port, which
   another server may have now. Nobody connects without listen(2). */
static int check_tcp(const fcgi__opening *o, const fcgi__address *address) {
  int family = address->sockaddr.any.sa_family;
  int error = check_reach(o, &address->sockaddr.any), fd;
  if (error)
    return error;
  fd = fcgi__opening_socket(o, family);
  if (fd < 0)
    return fd;
  error = set_tcp_options(o, fd, family);
  if (error == 0 && bind(fd, &address->sockaddr.any, address->len) < 0 &&
      errno != EADDRINUSE)
    error = explain_tcp(o);
  close(fd);
  return error;
}

/* A socket without a name is given away by the same rules as a file. */
static int check_owner(const fcgi__opening *o) {
  int fd, error = 0;
  if (!o->options->has_owner)
    return 0;
  fd = fcgi__opening_socket(o, AF_UNIX);
  if (fd < 0)
    return fd;
  if (fchown(fd, o->options->user, o->options->group) < 0 && errno == EPERM)
    error = fcgi__opening_fail(o, "cannot give it to its user or group");
  close(fd);
  return error;
}

static int check_path(const fcgi__opening *o, const fcgi__address *address) {
  int error = fcgi__socket_file_check(o, address);
  return error ? error : check_owner(o);
}

int fcgi__listener_check(const char *address,
                         const fcgi__listen_options *options, char *why,
                         size_t why_len) {
  const fcgi__opening o = {address, options, why, why_len};
  fcgi__address parsed;
  int error = fcgi__address_parse(&parsed, address, why, why_len);
  if (error < 0)
    return error;
  switch (parsed.kind) {
  case FCGI__ADDRESS_UNIX:
    return check_path(&o, &parsed);
  case FCGI__ADDRESS_ABSTRACT:
    return 0;
  case FCGI__ADDRESS_TCP:
    return check_tcp(&o, &parsed);
  default:
    error = check_passed(&o, parsed.fd);
    if (error == 0)
      error = check_made(&o, parsed.fd);
    return error < 0 ? error : 0;
  }
}

static int is_same_path(const char *a, const char *b) {
  const char *names[2];
  struct stat found[2] = {0};
  int at[2] = {fcgi__filename_directory(a, &names[0]),
               fcgi__filename_directory(b, &names[1])};
  int same = at[0] >= 0 && at[1] >= 0 && strcmp(names[0], names[1]) == 0 &&
             fstat(at[0], &found[0]) == 0 && fstat(at[1], &found[1]) == 0 &&
             found[0].st_dev == found[1].st_dev &&
             found[0].st_ino == found[1].st_ino;
  for (int i = 0; i < 2; i++)
    if (at[i] >= 0)
      close(at[i]);
  return same;
}

/* Any address includes the others of its family. */
static int is_same_tcp(const fcgi__address *a, const fcgi__address *b) {
  const struct sockaddr_in *a4 = &a->sockaddr.in, *b4 = &b->sockaddr.in;
  const struct sockaddr_in6 *a6 = &a->sockaddr.in6, *b6 = &b->sockaddr.in6;
  if (a->sockaddr.any.sa_family != b->sockaddr.any.sa_family ||
      a4->sin_port != b4->sin_port || a4->sin_port == 0)
    return 0;
  if (a->sockaddr.any.sa_family == AF_INET)
    return a4->sin_addr.s_addr == b4->sin_addr.s_addr ||
           a4->sin_addr.s_addr == INADDR_ANY ||
           b4->sin_addr.s_addr == INADDR_ANY;
  return IN6_IS_ADDR_UNSPECIFIED(&a6->sin6_addr) ||
         IN6_IS_ADDR_UNSPECIFIED(&b6->sin6_addr) ||
         (IN6_ARE_ADDR_EQUAL(&a6->sin6_addr, &b6->sin6_addr) &&
          a6->sin6_scope_id == b6->sin6_scope_id);
}

int fcgi__listener_is_same(const char *a, const char *b) {
  fcgi__address one, other;
  char why[FCGI__ADDRESS_TEXT];
  if (fcgi__address_parse(&one, a, why, sizeof why) ||
      fcgi__address_parse(&other, b, why, sizeof why) || one.kind != other.kind)
    return 0;
  if (one.kind == FCGI__ADDRESS_FD)
    return one.fd == other.fd;
  if (one.kind == FCGI__ADDRESS_TCP)
    return is_same_tcp(&one, &other);
  if (one.kind == FCGI__ADDRESS_UNIX)
    return is_same_path(one.sockaddr.un.sun_path, other.sockaddr.un.sun_path);
  return one.len == other.len &&
         memcmp(&one.sockaddr, &other.sockaddr, one.len) == 0;
}

void fcgi__listener_retire(fcgi__listener *listener, int instead) {
  if (!listener->own)
    return;
  fcgi__socket_file_remove(&listener->file);
  shutdown(listener->fd, SHUT_RDWR); /* A fork may hold a copy. */
  dup3(instead, listener->fd, O_CLOEXEC);
}

void fcgi__listener_close(fcgi__listener *listener) {
  if (!listener->own)
    return;
  fcgi__socket_file_remove(&listener->file);
  close(listener->fd);
  *listener = (fcgi__listener){.fd = -1};
}
