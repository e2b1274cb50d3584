/* SPDX-License-Identifier: MIT */
/* How many connections wait to be accepted. */
#ifndef FCGI_SERVER_QUEUE_H
#define FCGI_SERVER_QUEUE_H

#include "server/scoreboard.h"

/* Of the listening socket `fd`; -1 where the system does not tell. */
int64_t fcgi__queue_length(int fd);

/* Note `length`, of all listeners together, on the scoreboard. */
void fcgi__queue_note(fcgi__board *board, int64_t length);

#endif
