/* SPDX-License-Identifier: MIT */
/* The table of what all workers may have open (limit_total). The supervisor
   makes it, passes it to each worker and to a supervisor that replaces it, and
   never looks into it. */
#ifndef FCGI_SUPERVISOR_QUOTA_H
#define FCGI_SUPERVISOR_QUOTA_H

#include "supervisor/environment.h"
#include "supervisor/supervisor.h"

/* Make it, or take that of the supervisor that is replaced. Without one, no
   resource of a worker can have a limit. */
void fcgi__supervisor_quota_open(fcgi__supervisor *s);

/* Write its descriptor to `passed`. Returns how many there are. */
size_t fcgi__supervisor_quota_pass(const fcgi__supervisor *s, int *passed);

/* Say so to a process that gets it as descriptor `fd`. */
int fcgi__supervisor_quota_describe(const fcgi__supervisor *s,
                                    fcgi__environment *environment, int fd);

void fcgi__supervisor_quota_close(fcgi__supervisor *s);

#endif
