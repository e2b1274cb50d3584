/* SPDX-License-Identifier: MIT */
/* How many connections wait to be accepted. */
#ifndef FCGI_SERVER_QUEUE_H
#define FCGI_SERVER_QUEUE_H

#include "server/scoreboard.h"

/* Connections of one or more listening sockets; -1 where the system does not
   tell. */
typedef struct fcgi__queue_state {
  int64_t length; /* Connections that are not accepted yet. */
  int64_t limit;  /* Most that the kernel lets wait. */
} fcgi__queue_state;

/* The queue of the listening socket `fd`. */
fcgi__queue_state fcgi__queue_read(int fd);

/* Adds the queue of the listening socket `fd` to `sum`, which begins as -1 and
   -1. */
void fcgi__queue_add(fcgi__queue_state *sum, int fd);

/* Writes the queues of all listeners together on the scoreboard. */
void fcgi__queue_note(fcgi__board *board, fcgi__queue_state all);

#endif
