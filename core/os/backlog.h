/* SPDX-License-Identifier: MIT */
/* How many connections wait to be accepted. */
#ifndef FCGI_OS_BACKLOG_H
#define FCGI_OS_BACKLOG_H

#include <stdint.h>

/* Connections of one or more listening sockets; -1 where the system does not
   tell. */
typedef struct fcgi__backlog {
  int64_t length; /* Connections that are not accepted yet. */
  int64_t limit;  /* Most that the kernel lets wait. */
} fcgi__backlog;

/* The queue of the listening socket `fd`. */
fcgi__backlog fcgi__backlog_read(int fd);

/* Adds the queue of the listening socket `fd` to `sum`, which begins as -1 and
   -1. */
void fcgi__backlog_add(fcgi__backlog *sum, int fd);

#endif
