/* SPDX-License-Identifier: MIT */
/* What a reload reads again. The generation that comes has the new values, and
   the one that serves keeps its own until the other one is ready. */
#ifndef FCGI_SUPERVISOR_PLAN_H
#define FCGI_SUPERVISOR_PLAN_H

#include "supervisor/supervisor.h"

/* Read all options for the next generation: 0, or -1 with one line in `why`,
   and nothing has changed. The log has the names of what a reload does not
   change; `what` gets the names of what it does, or "". */
int fcgi__plan_read(fcgi__supervisor *s, char *what, size_t what_len, char *why,
                    size_t why_len);

/* The next generation serves now. */
void fcgi__plan_take(fcgi__supervisor *s);

/* At the end. */
void fcgi__plan_free(fcgi__supervisor *s);

/* What holds for workers of a generation; options may be NULL. */
const fcgi_supervisor_config *fcgi__plan_config(const fcgi__supervisor *s,
                                                unsigned generation);
fcgi_options *fcgi__plan_options(const fcgi__supervisor *s,
                                 unsigned generation);
unsigned fcgi__plan_wanted(const fcgi__supervisor *s, unsigned generation);

#endif
