/* SPDX-License-Identifier: MIT */
/* A worker whose supervisor is gone, so that nobody else would end it. */
#ifndef FCGI_PARENT_ORPHAN_H
#define FCGI_PARENT_ORPHAN_H

#include <stdatomic.h>

struct fcgi_server;

typedef struct fcgi__orphan {
  atomic_long parent; /* The supervisor that started us; 0: none of ours. */
  int timer;          /* Of the kernel; it ends this process. */
  int patience_ms;    /* How long a graceful stop may take. */
  int lifeline;       /* Where it asks for one; 0: nowhere. */
} fcgi__orphan;

/* See in FASTCGI_SUPERVISOR=PID:PARENT:MS:LIFELINE who started this process. */
void fcgi__orphan_find(struct fcgi_server *server);

/* 1 when that one lives no more. Async-signal-safe, as is the next. */
int fcgi__orphan_is_one(const struct fcgi_server *server);

/* The server is to stop: where nobody else would, the kernel ends this process
   once it has had the time for it, whatever its handlers do. */
void fcgi__orphan_stopping(const struct fcgi_server *server);

/* Let go of listeners that others may want, and of sockets to nobody. */
void fcgi__orphan_let_go(struct fcgi_server *server);

#endif
