/* SPDX-License-Identifier: MIT */
/* The listeners that a supervisor holds for its workers. */
#ifndef FCGI_RUNTIME_SOCKETS_H
#define FCGI_RUNTIME_SOCKETS_H

#include "runtime/supervisor.h"

/* Open what the configuration names, or take what is inherited: 0, or -1 with
   one line in `why`. */
int fcgi__sockets_open(fcgi__supervisor *s, char *why, size_t why_len);

/* Close them, and remove the files of those that we made. */
void fcgi__sockets_close(fcgi__supervisor *s);

#endif
