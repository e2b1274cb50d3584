/* SPDX-License-Identifier: MIT */
/* Where workers tell how they are: the receiving side of sd_notify(3). */
#ifndef FCGI_SUPERVISOR_INBOX_H
#define FCGI_SUPERVISOR_INBOX_H

#include "supervisor/supervisor.h"

/* Open it under a name that no other process has: 0, or -1 with errno. */
int fcgi__inbox_open(fcgi__supervisor *s);

/* Act on all that has come. Only what the kernel says is from a worker, or
   from our successor, counts. */
void fcgi__inbox_take(fcgi__supervisor *s);

#endif
