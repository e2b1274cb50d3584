/* SPDX-License-Identifier: MIT */
/* Telling systemd, or whoever else started the supervisor, how it is; and the
   supervisor that this one is to replace. */
#ifndef FCGI_SUPERVISOR_UPSTREAM_H
#define FCGI_SUPERVISOR_UPSTREAM_H

#include "supervisor/supervisor.h"

/* Read from the environment whom to tell. */
void fcgi__upstream_find(fcgi__supervisor *s);

void fcgi__upstream_is_ready(fcgi__supervisor *s);
void fcgi__upstream_is_reloading(fcgi__supervisor *s);
void fcgi__upstream_is_stopping(fcgi__supervisor *s);

/* From now on the service is another process. */
void fcgi__upstream_moves(fcgi__supervisor *s, pid_t successor);

/* When fcgi__upstream_tick has something to do, LLONG_MAX for never. */
long long fcgi__upstream_due(const fcgi__supervisor *s);

/* We end: what is still owed gets a last second. */
void fcgi__upstream_end(fcgi__supervisor *s);

/* Send WATCHDOG=1 when it is due, and what found no room before. */
void fcgi__upstream_tick(fcgi__supervisor *s, long long now);

#endif
