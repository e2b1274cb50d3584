/* SPDX-License-Identifier: MIT */
#include "server/server.h"
#include <errno.h>
#include <fastcgi/error.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char variable[] = "FCGI_WEB_SERVER_ADDRS";

/* A copy of `text`, or NULL for NULL. */
static int copy_text(char **out, const char *text,
                     const fcgi_allocator *allocator) {
  if (!text)
    return 0;
  size_t size = strlen(text) + 1;
  *out = fcgi__realloc(allocator, NULL, size);
  if (!*out)
    return FCGI_ERR_NOMEM;
  memcpy(*out, text, size);
  return 0;
}

int fcgi__guard_init(fcgi__guard *guard, const fcgi_server_config *config) {
  int error = copy_text(&guard->text, config->allow_from, &config->allocator);
  if (!error)
    error = copy_text(&guard->names, config->peer_users, &config->allocator);
  if (error)
    fcgi__guard_clear(guard, &config->allocator);
  return error;
}

void fcgi__guard_clear(fcgi__guard *guard, const fcgi_allocator *allocator) {
  fcgi__allow_clear(&guard->configured, allocator);
  fcgi__allow_clear(&guard->environment, allocator);
  fcgi__free(allocator, guard->text);
  fcgi__free(allocator, guard->names);
  fcgi__users_clear(&guard->users, allocator);
  guard->text = guard->names = NULL;
}

/* A mistake in the program's own list is told to whoever calls listen. */
static int read_configured(fcgi_server *server) {
  fcgi__guard *guard = &server->guard;
  char why[FCGI__MESSAGE / 2];
  int error;
  if (!guard->text || guard->has_configured)
    return 0;
  error = fcgi__allow_parse(&guard->configured, &server->allocator, guard->text,
                            why, sizeof why);
  if (error)
    snprintf(server->message, sizeof server->message,
             "cannot listen: allow list \"%.128s\": %s", guard->text, why);
  else
    guard->has_configured = 1;
  return error;
}

static int read_users(fcgi_server *server) {
  fcgi__guard *guard = &server->guard;
  char why[FCGI__MESSAGE / 2];
  int error;
  if (!guard->names || guard->has_users)
    return 0;
  error = fcgi__users_parse(&guard->users, &server->allocator, guard->names,
                            why, sizeof why);
  if (error)
    snprintf(server->message, sizeof server->message,
             "cannot listen: users who may connect \"%.128s\": %s",
             guard->names, why);
  else
    guard->has_users = 1;
  return error;
}

/* FastCGI 1.0, 3.2. What is wrong with the variable is wrong with TCP sockets
   alone. */
static int read_environment(fcgi_server *server, char *why, size_t why_len) {
  fcgi__guard *guard = &server->guard;
  const char *text = getenv(variable);
  char reason[FCGI__MESSAGE / 2];
  int error;
  if (!text || guard->has_environment)
    return 0;
  error = fcgi__allow_parse(&guard->environment, &server->allocator, text,
                            reason, sizeof reason);
  if (error)
    snprintf(why, why_len, "%s \"%.128s\": %s", variable, text, reason);
  else
    guard->has_environment = 1;
  return error == FCGI_ERR_INVALID ? 0 : error;
}

/* Two lists without a common address let nobody in. */
static int compare(fcgi_server *server, char *why, size_t why_len) {
  const fcgi__guard *guard = &server->guard;
  const char *text = getenv(variable);
  fcgi__allow both;
  int error;
  if (!guard->has_configured || !guard->has_environment)
    return 0;
  error = fcgi__allow_meet(&both, &server->allocator, &guard->configured,
                           &guard->environment);
  if (!error && both.count == 0)
    fcgi__allow_disagree(guard->text, text ? text : "", why, why_len);
  fcgi__allow_clear(&both, &server->allocator);
  return error;
}

int fcgi__guard_prepare(fcgi_server *server, char *tcp_refused, size_t len) {
  int error = read_configured(server);
  *tcp_refused = '\0';
  if (!error)
    error = read_users(server);
  if (!error)
    error = read_environment(server, tcp_refused, len);
  return error ? error : compare(server, tcp_refused, len);
}

static void report(fcgi_server *server, const char *who, const char *where) {
  char cause[FCGI__CAUSE_NAME];
  snprintf(cause, sizeof cause, "%s, not %s", who, where);
  fcgi__server_trouble(server, FCGI__TROUBLE_REFUSED, cause, FCGI_LOG_WARNING,
                       "refused a connection from %s: not %s", who, where);
}

static void report_address(fcgi_server *server, const struct sockaddr *peer,
                           socklen_t len, const char *where) {
  char host[NI_MAXHOST] = "an unknown address";
  getnameinfo(peer, len, host, sizeof host, NULL, 0, NI_NUMERICHOST);
  report(server, host, where);
}

static int is_address_good(fcgi_server *server, const struct sockaddr *peer,
                           socklen_t len) {
  const fcgi__guard *guard = &server->guard;
  const char *where = NULL;
  if (guard->has_configured && !fcgi__allow_has(&guard->configured, peer))
    where = "in the allow list";
  else if (guard->has_environment &&
           !fcgi__allow_has(&guard->environment, peer))
    where = "in FCGI_WEB_SERVER_ADDRS";
  if (where)
    report_address(server, peer, len, where);
  return !where;
}

/* The user that connected, as the kernel saw it then. */
static int peer_uid(int fd, uid_t *uid) {
#ifdef SO_PEERCRED
  struct ucred credentials;
  socklen_t len = sizeof credentials;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &len) < 0)
    return -1;
  *uid = credentials.uid;
  return 0;
#else
  gid_t gid;
  return getpeereid(fd, uid, &gid);
#endif
}

static int is_user_good(fcgi_server *server, int fd) {
  const fcgi__guard *guard = &server->guard;
  char who[48] = "an unknown user";
  uid_t uid;
  if (peer_uid(fd, &uid) == 0) {
    if (fcgi__users_has(&guard->users, uid))
      return 1;
    snprintf(who, sizeof who, "user %lu", (unsigned long)uid);
  }
  report(server, who, "among the users who may connect");
  return 0;
}

static int close_refused(int fd) {
  close(fd);
  errno = ECONNABORTED;
  return -1;
}

static int accept_tcp(fcgi_server *server, int listener) {
  struct sockaddr_storage peer = {0};
  struct sockaddr *address = (struct sockaddr *)&peer;
  socklen_t len = sizeof peer;
  int fd = accept4(listener, address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0 || is_address_good(server, address, len))
    return fd;
  return close_refused(fd);
}

/* The specification would have FCGI_WEB_SERVER_ADDRS keep unix sockets out
   too. No web server means that: they connect over unix sockets and set it for
   their TCP ones. Those sockets have the permissions of their file, and the
   users that the configuration names. */
int fcgi__guard_accept(fcgi_server *server, const fcgi__listener *listener) {
  const fcgi__guard *guard = &server->guard;
  int fd;
  if (listener->family != AF_UNIX &&
      (guard->has_configured || guard->has_environment))
    return accept_tcp(server, listener->fd);
  fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0 || listener->family != AF_UNIX || !guard->has_users ||
      is_user_good(server, fd))
    return fd;
  return close_refused(fd);
}
