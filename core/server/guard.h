/* SPDX-License-Identifier: MIT */
/* Who may connect to a server. */
#ifndef FCGI_SERVER_GUARD_H
#define FCGI_SERVER_GUARD_H

#include "os/allow.h"
#include "os/listener.h"
#include "os/users.h"
#include <fastcgi/server.h>
#include <stdatomic.h>

/* Zero-initialised it lets everybody in. */
typedef struct fcgi__guard {
  fcgi__allow configured;  /* From the configuration. */
  fcgi__allow environment; /* From FCGI_WEB_SERVER_ADDRS. */
  char *text;              /* The configured list as given, or NULL. */
  char *names;             /* The list of users as given, or NULL. */
  fcgi__users users;       /* Users let in over unix sockets. */
  uint8_t has_configured;  /* 1: the first list applies. */
  uint8_t has_environment; /* 1: the second one does. */
  uint8_t has_users;       /* 1: `users` applies. */
} fcgi__guard;

/* Copy what `config` says. 0 or FCGI_ERR_NOMEM. */
int fcgi__guard_init(fcgi__guard *guard, const fcgi_server_config *config);
void fcgi__guard_clear(fcgi__guard *guard, const fcgi_allocator *allocator);

/* Read both lists, before a listener is opened: 0 with the reason why it must
   not be a TCP one, or "", in `tcp_refused`; or an error with a line in the
   server's message. */
int fcgi__guard_prepare(fcgi_server *server, char *tcp_refused, size_t len);

/* accept(2) a connection that is let in: its descriptor, or -1 with errno,
   which is ECONNABORTED when it was refused and closed. */
int fcgi__guard_accept(fcgi_server *server, const fcgi__listener *listener);

#endif
