/* SPDX-License-Identifier: MIT */
/* A server in service: what begins with its first wait and what our starter is
   told of it, when it asks to be replaced, and how it stops. */
#ifndef FCGI_SERVER_SERVICE_H
#define FCGI_SERVER_SERVICE_H

#include <stdatomic.h>

struct fcgi_server;

/* After how many requests the process asks to be replaced. */
typedef struct fcgi__service {
  int on;            /* 1: there is a limit. */
  atomic_llong left; /* Requests until then; less than 0 afterwards. */
  atomic_int last;   /* 1: the last connections of a stop are accepted. */
  atomic_int alone;  /* 1: then, and the supervisor is gone. */
} fcgi__service;

/* The server is about to wait: what begins with its first wait begins, and our
   starter hears that it is alive. Returns by when it must wait no longer,
   LLONG_MAX mostly. */
long long fcgi__service_wait(struct fcgi_server *server);
/* Tell our starter `what`, bits of parent/notify.h, now or when there is room:
   0, or -1 where nobody listens. */
int fcgi__service_tell(struct fcgi_server *server, unsigned what);

/* Take the limit of the configuration. */
void fcgi__service_limit(struct fcgi_server *server);
/* One more request goes to a handler. */
void fcgi__service_count(struct fcgi_server *server);

/* Carry out a stop that was asked for; `own` is 1 in a thread that takes
   events, which may have been woken for a connection. */
void fcgi__service_stop(struct fcgi_server *server, int own);
/* In a stop: see whether the supervisor is gone, and keep nothing for it. */
void fcgi__service_look(struct fcgi_server *server);

#endif
