/* SPDX-License-Identifier: MIT */
/* Telling whoever started this process how it is, as sd_notify(3) does. */
#ifndef FCGI_PARENT_NOTIFY_H
#define FCGI_PARENT_NOTIFY_H

#include <stdatomic.h>
#include <stddef.h>

struct fcgi_server;

typedef struct fcgi__notify {
  atomic_int ready;       /* 1: READY=1 was sent, or nobody wants to know. */
  atomic_int begun;       /* 1: and what begins with the server has begun. */
  atomic_int every_ms;    /* How often WATCHDOG=1 is due; 0: never. */
  atomic_llong alive_due; /* When it is due next. */
} fcgi__notify;

/* Send `text` to the socket `name`, a path or "@" and an abstract name; a
   listener that is slow or gone misses it. 0, or -1 with errno. */
int fcgi__notify_send(const char *name, const char *text);

/* Likewise to whoever started us; -1 also when nobody wants to know. */
int fcgi__notify_tell(const struct fcgi_server *server, const char *text);

/* How often WATCHDOG=1 is to be sent, half of what the environment asks this
   process for: milliseconds, or 0. */
int fcgi__notify_interval(void);

/* The server is about to wait: it is ready, and alive. Returns the time by
   which it has to wait no longer, LLONG_MAX mostly. */
long long fcgi__notify_waiting(struct fcgi_server *server);

/* It stops. */
void fcgi__notify_stopping(struct fcgi_server *server);

#endif
