/* SPDX-License-Identifier: MIT */
#include "supervisor/sockets.h"
#include "base/alloc.h"
#include "os/sieve.h"
#include "supervisor/spawn.h"
#include <errno.h>
#include <fastcgi/error.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Workers may be any program, and most expect accept(2) to wait. Those of this
   library set O_NONBLOCK themselves. */
static int settle(fcgi__listener *listener) {
  fcgi__socket_file *file = &listener->file;
  int flags = fcntl(listener->fd, F_GETFL), lifted;
  if (flags < 0 || fcntl(listener->fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
    return -1;
  lifted = fcgi__spawn_lift(listener->fd);
  listener->fd = lifted;
  if (lifted >= 0 && file->name[0]) {
    lifted = fcgi__spawn_lift(file->directory);
    file->directory = lifted;
    if (lifted < 0)
      file->name[0] = '\0';
  }
  return lifted < 0 ? -1 : 0;
}

static const char variable[] = "FCGI_WEB_SERVER_ADDRS";

static int read_list(fcgi__allow *out, const char *what, const char *text,
                     char *why, size_t why_len) {
  const fcgi_allocator allocator = fcgi__allocator(NULL);
  char reason[256];
  if (fcgi__allow_parse(out, &allocator, text, reason, sizeof reason) == 0)
    return 0;
  snprintf(why, why_len, "%s \"%.128s\": %s", what, text, reason);
  return -1;
}

/* What the specification's variable has of the configured list. Workers get the
   same list, by that variable. */
static void narrow(fcgi__supervisor *s, const char *environment) {
  const fcgi_allocator allocator = fcgi__allocator(NULL);
  fcgi__allow configured = s->allow, other;
  int failed;
  if (read_list(&other, variable, environment, s->tcp_refused,
                sizeof s->tcp_refused))
    return;
  failed = fcgi__allow_meet(&s->allow, &allocator, &configured, &other);
  if (!failed)
    s->allow_text = fcgi__allow_text(&s->allow, &allocator);
  fcgi__allow_clear(&configured, &allocator);
  fcgi__allow_clear(&other, &allocator);
  if (s->allow.count == 0 || !s->allow_text)
    fcgi__allow_disagree(s->config.allow_from, environment, s->tcp_refused,
                         sizeof s->tcp_refused);
}

int fcgi__sockets_read_allow(fcgi__supervisor *s, char *why, size_t why_len) {
  const char *environment = getenv(variable), *text = s->config.allow_from;
  if (!text && !environment)
    return 0;
  s->guarded = 1;
  if (text && read_list(&s->allow, "allow list", text, why, why_len))
    return -1;
  if (text && environment)
    narrow(s, environment);
  else if (environment)
    read_list(&s->allow, variable, environment, s->tcp_refused,
              sizeof s->tcp_refused);
  return 0;
}

static int is_tcp(int fd) {
  struct sockaddr_storage here = {.ss_family = AF_UNIX};
  socklen_t len = sizeof here;
  getsockname(fd, (struct sockaddr *)&here, &len);
  return here.ss_family == AF_INET || here.ss_family == AF_INET6;
}

int fcgi__sockets_check_inherited(const fcgi__supervisor *s, char *why,
                                  size_t why_len) {
  for (size_t i = 0; s->tcp_refused[0] && i < s->listener_count; i++)
    if (is_tcp(s->listeners[i].fd)) {
      snprintf(why, why_len, "%s", s->tcp_refused);
      return -1;
    }
  return 0;
}

/* Who may connect is asked of the kernel: few programs read
   FCGI_WEB_SERVER_ADDRS, and php-cgi does only for sockets that it has made. */
int fcgi__sockets_guard(const fcgi__supervisor *s, int fd) {
  if (!is_tcp(fd))
    return 0;
  if (s->guarded)
    return fcgi__sieve_attach(fd, &s->allow);
  fcgi__sieve_detach(fd);
  return 0;
}

static fcgi__listen_options options_of(const fcgi__supervisor *s,
                                       const fcgi__identity *owner) {
  return (fcgi__listen_options){
      .backlog = s->config.backlog,
      .mode = s->config.socket_mode,
      .has_owner = owner->asked,
      .user = s->config.socket_user ? owner->uid : (uid_t)-1,
      .group = s->config.socket_group ? owner->gid : (gid_t)-1,
      .loopback_only = !s->guarded,
      .tcp_refused = s->tcp_refused,
      .allow = s->guarded ? &s->allow : NULL,
  };
}

static int find_owner(const fcgi__supervisor *s, fcgi__identity *owner,
                      char *why, size_t why_len) {
  return fcgi__identity_find(owner, s->config.socket_user,
                             s->config.socket_group, why, why_len);
}

/* The second of two would say that the first is another program's. */
static int check_twice(const char *const *addresses, char *why,
                       size_t why_len) {
  size_t count = 0;
  for (; addresses && addresses[count]; count++)
    for (size_t i = 0; i < count; i++)
      if (fcgi__listener_is_same(addresses[i], addresses[count])) {
        snprintf(why, why_len,
                 "cannot listen on %s: it is the same as %s; leave one out",
                 addresses[count], addresses[i]);
        return -1;
      }
  if (count <= FCGI__SOCKETS)
    return 0;
  snprintf(why, why_len, "more than %d addresses", FCGI__SOCKETS);
  return -1;
}

int fcgi__sockets_check(const fcgi__supervisor *s, char *why, size_t why_len) {
  const char *const *address = s->config.bind;
  fcgi__identity owner;
  if (find_owner(s, &owner, why, why_len) || check_twice(address, why, why_len))
    return -1;
  const fcgi__listen_options options = options_of(s, &owner);
  for (; address && *address; address++)
    if (fcgi__listener_check(*address, &options, why, why_len) < 0)
      return -1;
  return 0;
}

static int open_one(fcgi__supervisor *s, const char *address, char *why,
                    size_t why_len) {
  fcgi__identity owner;
  if (find_owner(s, &owner, why, why_len))
    return -1;
  const fcgi__listen_options options = options_of(s, &owner);
  fcgi__listener *first = &s->listeners[s->listener_count];
  int count = fcgi__listener_open(first, FCGI__SOCKETS - s->listener_count,
                                  address, &options, why, why_len);
  if (count == FCGI_ERR_LIMIT)
    snprintf(why, why_len, "more than %d addresses", FCGI__SOCKETS);
  if (count < 0)
    return -1;
  s->listener_count += (size_t)count;
  for (int i = 0; i < count; i++) {
    if ((!first[i].own && fcgi__sockets_guard(s, first[i].fd)) ||
        settle(&first[i])) {
      snprintf(why, why_len, "cannot keep %s: %s",
               address ? address : "the inherited listener", strerror(errno));
      return -1;
    }
  }
  return 0;
}

int fcgi__sockets_open(fcgi__supervisor *s, char *why, size_t why_len) {
  const char *const *address = s->config.bind;
  const char *names = getenv("LISTEN_FDNAMES");
  if (!address || !*address) {
    if (open_one(s, NULL, why, why_len))
      return -1;
    if (names && getenv("LISTEN_PID"))
      snprintf(s->listener_names, sizeof s->listener_names, "%s", names);
    return 0;
  }
  if (check_twice(address, why, why_len))
    return -1;
  for (; *address; address++)
    if (open_one(s, *address, why, why_len))
      return -1;
  return 0;
}

size_t fcgi__sockets_pass(const fcgi__supervisor *s, int *passed) {
  size_t count = 0;
  for (; count < s->listener_count; count++)
    passed[count] = s->listeners[count].fd;
  passed[count++] = s->handover[0];
  passed[count++] = s->handover[1];
  return count;
}

void fcgi__sockets_end_share(const fcgi__supervisor *s) {
  if (s->share[0] >= 0)
    shutdown(s->share[0], SHUT_RDWR);
}

void fcgi__sockets_close(fcgi__supervisor *s) {
  const fcgi_allocator allocator = fcgi__allocator(NULL);
  for (size_t i = 0; i < s->listener_count; i++) {
    fcgi__listener *listener = &s->listeners[i];
    int fd = listener->fd, own = listener->own;
    if (s->owns && own && fd >= 0)
      shutdown(fd, SHUT_RDWR); /* A child of a worker's may hold a copy. */
    fcgi__listener_close(listener);
    if (!own && fd >= 0)
      close(fd);
  }
  s->listener_count = 0;
  fcgi__allow_clear(&s->allow, &allocator);
  fcgi__free(&allocator, s->allow_text);
  s->allow_text = NULL;
}
