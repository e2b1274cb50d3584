/* SPDX-License-Identifier: MIT */
/* How old and how large a worker may get, and how late its handlers. One that
   goes over is replaced as in a reload, the new one first; those that are not
   hung one at a time. */
#ifndef FCGI_SUPERVISOR_LIMITS_H
#define FCGI_SUPERVISOR_LIMITS_H

#include "supervisor/supervisor.h"

/* When a worker started at `now` is too old, or LLONG_MAX. */
long long fcgi__limits_age_due(const fcgi_supervisor_config *c, long long now,
                               pid_t pid);

/* Bytes of memory that a process has in use, or -1 where none can tell. */
long long fcgi__limits_rss(pid_t pid);

/* A worker has not told that it is alive. 1: it is seen to live all the same,
   its handlers are at work, and it is replaced; 0: nothing is known of it. */
int fcgi__limits_is_busy(fcgi__supervisor *s, fcgi__worker *worker,
                         long long now);

/* Retire a worker that is over a limit. */
void fcgi__limits_tick(fcgi__supervisor *s, long long now);

/* When to look again. */
long long fcgi__limits_due(const fcgi__supervisor *s);

#endif
