/* SPDX-License-Identifier: MIT */
/* Processes as one number each, by which others can tell that one has ended. */
#ifndef FCGI_OS_OWNER_H
#define FCGI_OS_OWNER_H

#include "os/process.h"
#include <stdatomic.h>
#include <stdint.h>

/* The lower half is the process id. The upper half is when the process began,
   so that another one that gets its id is not taken for it; 0 where that cannot
   be known. Bit 31 is free for whoever keeps such a number. */
typedef uint64_t fcgi__owner;

enum { FCGI__OWNER_PID = 0x7fffffff };

/* What an object knows of the process that uses it. */
typedef struct fcgi__here {
  fcgi__process process;   /* Tells a child of fork(2) from its parent. */
  fcgi__owner owner;       /* The process that made the object. */
  _Atomic uint64_t latest; /* The child that asked last, or 0. */
} fcgi__here;

/* The object is made, and freed. */
void fcgi__here_init(fcgi__here *here);
void fcgi__here_clear(fcgi__here *here);

/* A child, by system calls. */
fcgi__owner fcgi__owner_child(fcgi__here *here);

/* This process. */
static inline fcgi__owner fcgi__owner_self(fcgi__here *here) {
  return fcgi__process_is_other(&here->process) ? fcgi__owner_child(here)
                                                : here->owner;
}

/* 1 when that process has ended, all of its threads. In doubt it has not. */
int fcgi__owner_is_dead(fcgi__owner owner);

/* The namespace that process ids are valid in, or 0 where there are none. */
uint64_t fcgi__owner_namespace(void);

#endif
