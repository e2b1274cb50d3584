/* SPDX-License-Identifier: MIT */
/* The listeners that a supervisor holds for its workers. */
#ifndef FCGI_SUPERVISOR_SOCKETS_H
#define FCGI_SUPERVISOR_SOCKETS_H

#include "supervisor/supervisor.h"

/* Read who may connect over TCP: who is in the configured list and in
   FCGI_WEB_SERVER_ADDRS, where there are both. 0, or -1 with one line in `why`.
   A variable that lets nobody in matters only to TCP sockets. */
int fcgi__sockets_read_allow(fcgi__supervisor *s, char *why, size_t why_len);

/* Whether those of an old supervisor may be listened on: 0, or -1 with one line
   in `why`. */
int fcgi__sockets_check_inherited(const fcgi__supervisor *s, char *why,
                                  size_t why_len);

/* Let nobody else reach an inherited socket: 0, or -1 with errno. */
int fcgi__sockets_guard(const fcgi__supervisor *s, int fd);

/* Whether they could be opened, as far as that can be said without: 0, or -1
   with one line in `why`. */
int fcgi__sockets_check(const fcgi__supervisor *s, char *why, size_t why_len);

/* Open what the configuration names, or take what is inherited: 0, or -1 with
   one line in `why`. */
int fcgi__sockets_open(fcgi__supervisor *s, char *why, size_t why_len);

/* Write what every process that we start gets, from descriptor 3 on, to
   `passed`: the listeners and the pair for connections. Returns how many. */
size_t fcgi__sockets_pass(const fcgi__supervisor *s, int *passed);

/* All workers are about to stop: they leave nothing more to each other, and
   take what they have left there. */
void fcgi__sockets_end_share(const fcgi__supervisor *s);

/* Close them, and remove the files of those that we made. */
void fcgi__sockets_close(fcgi__supervisor *s);

#endif
