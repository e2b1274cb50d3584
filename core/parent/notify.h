/* SPDX-License-Identifier: MIT */
/* Telling whoever started this process how it is, as sd_notify(3) does. */
#ifndef FCGI_PARENT_NOTIFY_H
#define FCGI_PARENT_NOTIFY_H

#include <stdatomic.h>
#include <stddef.h>

typedef struct fcgi__notify {
  atomic_int every_ms;    /* How often WATCHDOG=1 is due; 0: never. */
  atomic_llong alive_due; /* When it is due next. */
} fcgi__notify;

/* Send `text` to the socket `name`, a path or "@" and an abstract name; a
   listener that is slow or gone misses it. 0, or -1 with errno. */
int fcgi__notify_send(const char *name, const char *text);

/* How often WATCHDOG=1 is to be sent, half of what the environment asks this
   process for: milliseconds, or 0. */
int fcgi__notify_interval(void);

/* WATCHDOG=1 is due now and then every `every_ms`; 0: never. */
void fcgi__notify_begin(fcgi__notify *notify, int every_ms);

/* Send WATCHDOG=1 to the socket `name` if it is due. Returns when it is due
   next, LLONG_MAX for never. */
long long fcgi__notify_alive(fcgi__notify *notify, const char *name);

#endif
