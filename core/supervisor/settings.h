/* SPDX-License-Identifier: MIT */
/* The configuration, checked and completed. */
#ifndef FCGI_SUPERVISOR_SETTINGS_H
#define FCGI_SUPERVISOR_SETTINGS_H

#include "supervisor/supervisor.h"

/* Copy it with every default filled in: 0, or -1 with one line in `why`. */
int fcgi__settings_take(fcgi_supervisor_config *out,
                        const fcgi_supervisor_config *given, char *why,
                        size_t why_len);

#endif
