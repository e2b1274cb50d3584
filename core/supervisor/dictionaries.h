/* SPDX-License-Identifier: MIT */
/* The dictionaries that workers share: the supervisor makes them, passes them
   to each worker and to a supervisor that replaces it, and never takes their
   latch, so no worker can make it wait. */
#ifndef FCGI_SUPERVISOR_DICTIONARIES_H
#define FCGI_SUPERVISOR_DICTIONARIES_H

#include "supervisor/environment.h"
#include "supervisor/supervisor.h"

/* Whether the configuration can be meant: 0, or -1 with one line in `why`. */
int fcgi__dictionaries_check(const fcgi_supervisor_config *config, char *why,
                             size_t why_len);

/* Make them, or take those of the same name and size from the supervisor that
   is replaced: 0, or -1 with one line in `why`. */
int fcgi__dictionaries_open(fcgi__supervisor *s, char *why, size_t why_len);

/* Write their descriptors to `passed`. Returns how many. */
size_t fcgi__dictionaries_pass(const fcgi__supervisor *s, int *passed);

/* Say so to a process that gets them from descriptor `first` on. */
int fcgi__dictionaries_describe(const fcgi__supervisor *s,
                                fcgi__environment *environment, int first);

/* Tell what has happened in them since the last time. */
void fcgi__dictionaries_look(fcgi__supervisor *s, long long now);

void fcgi__dictionaries_close(fcgi__supervisor *s);

#endif
