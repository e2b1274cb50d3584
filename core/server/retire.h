/* SPDX-License-Identifier: MIT */
/* A process that has served enough requests asks to be replaced. */
#ifndef FCGI_SERVER_RETIRE_H
#define FCGI_SERVER_RETIRE_H

#include <stdatomic.h>

struct fcgi_server;

typedef struct fcgi__retire {
  int on;            /* 1: there is a limit. */
  atomic_llong left; /* Requests until then; less than 0 afterwards. */
} fcgi__retire;

/* Take the limit of the configuration. */
void fcgi__retire_fill(struct fcgi_server *server);

/* One more request goes to a handler. */
void fcgi__retire_count(struct fcgi_server *server);

#endif
