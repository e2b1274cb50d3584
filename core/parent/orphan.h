/* SPDX-License-Identifier: MIT */
/* A worker whose supervisor is gone, so that nobody else would end it. */
#ifndef FCGI_PARENT_ORPHAN_H
#define FCGI_PARENT_ORPHAN_H

#include <stdatomic.h>

typedef struct fcgi__orphan {
  atomic_long parent; /* The supervisor that started us; 0: none of ours. */
  int timer;          /* Of the kernel; it ends this process. */
  atomic_int timed;   /* 1: it runs. */
  int patience_ms;    /* How long a graceful stop may take. */
  int lifeline;       /* Where it asks for one; 0: nowhere. */
} fcgi__orphan;

/* See in `text`, PID:PARENT:MS:LIFELINE of FASTCGI_SUPERVISOR, who started this
   process. Returns NULL, or what is wrong with it; of that nothing is used. */
const char *fcgi__orphan_find(fcgi__orphan *orphan, const char *text);

/* 1 when that one lives no more. Async-signal-safe, as is the next. */
int fcgi__orphan_is_one(const fcgi__orphan *orphan);

/* The server is to stop: where nobody else would, the kernel ends this process
   once it has had the time for it, whatever its handlers do. May be said again,
   for it may be an orphan only now. */
void fcgi__orphan_stopping(fcgi__orphan *orphan);

#endif
