/* SPDX-License-Identifier: MIT */
/* A new supervisor in the place of this one, with the same listeners. The old
   one starts it, and stops its own workers once it is ready. */
#ifndef FCGI_SUPERVISOR_UPGRADE_H
#define FCGI_SUPERVISOR_UPGRADE_H

#include "supervisor/supervisor.h"

/* Start the new one. */
void fcgi__upgrade_begin(fcgi__supervisor *s);

/* It serves. */
void fcgi__upgrade_is_ready(fcgi__supervisor *s);

/* A child that is no worker has ended: the new one, perhaps. */
void fcgi__upgrade_child_ended(fcgi__supervisor *s, pid_t pid, int status);

/* See to a new one that takes too long. */
void fcgi__upgrade_tick(fcgi__supervisor *s, long long now);

/* The other side: take listeners, the pair for connections and the pid file
   from the old one. 1 when there is one, 0 when not, -1 with errno. What is
   said of one and is not so has a line, and nothing of it is touched. */
int fcgi__upgrade_inherit(fcgi__supervisor *s);

/* We are ready, and what the old one made is ours to remove. */
void fcgi__upgrade_own(fcgi__supervisor *s);

#endif
