/* SPDX-License-Identifier: MIT */
/* Telling whoever started this process how it is, as sd_notify(3) does. */
#ifndef FCGI_PARENT_NOTIFY_H
#define FCGI_PARENT_NOTIFY_H

#include <stdatomic.h>
#include <stddef.h>

/* What is told once and must not be lost, in the order in which it is told. */
enum {
  FCGI__NOTIFY_STOPS_BY_PIPE = 1, /* Closing our pipe stops us. */
  FCGI__NOTIFY_READY = 2,         /* We serve. */
  FCGI__NOTIFY_RETIRE = 4,        /* Another process is to replace us. */
  FCGI__NOTIFY_STOPPING = 8       /* We stop. */
};

/* Time after which what found no room is sent again. */
enum { FCGI__NOTIFY_AGAIN_MS = 100 };

typedef struct fcgi__notify {
  atomic_int every_ms;    /* How often WATCHDOG=1 is due; 0: never. */
  atomic_llong alive_due; /* When it is due next. */
  atomic_uint owed;       /* What has yet to be told. */
  atomic_int telling;     /* 1: a thread tells it. */
} fcgi__notify;

/* Send `text` to the socket `name`, a path or "@" and an abstract name. Never
   waits. 0, or -1 with errno. */
int fcgi__notify_send(const char *name, const char *text);

/* 1: what gave this errno may be sent again later. */
int fcgi__notify_is_passing(int error);

/* Tell `what` to the socket `name`. 0 when it is sent, or owed because there is
   no room for it now; -1 when nobody will hear it. */
int fcgi__notify_tell(fcgi__notify *notify, const char *name, unsigned what);

/* Send again what is owed. Returns when it wants to be called next, LLONG_MAX
   when nothing is owed. */
long long fcgi__notify_again(fcgi__notify *notify, const char *name,
                             long long now);

/* How often WATCHDOG=1 is to be sent, half of what the environment asks this
   process for: milliseconds, or 0. */
int fcgi__notify_interval(void);

/* WATCHDOG=1 is due now and then every `every_ms`; 0: never. */
void fcgi__notify_begin(fcgi__notify *notify, int every_ms);

/* Send WATCHDOG=1 to the socket `name` if it is due. Returns when it is due
   next, LLONG_MAX for never. */
long long fcgi__notify_alive(fcgi__notify *notify, const char *name);

#endif
