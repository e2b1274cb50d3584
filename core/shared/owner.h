/* SPDX-License-Identifier: MIT */
/* Processes as one number each, by which others can tell that one has ended. */
#ifndef FCGI_SHARED_OWNER_H
#define FCGI_SHARED_OWNER_H

#include <stdatomic.h>
#include <stdint.h>

/* The lower half is the process id. The upper half is when the process began,
   so that another one that gets its id is not taken for it; 0 where that cannot
   be known. Bit 31 is free for whoever keeps such a number. */
typedef uint64_t fcgi__owner;

enum { FCGI__OWNER_PID = 0x7fffffff };

/* This process, from `known`, which is 0 at first and keeps it: a child of
   fork(2) is noticed. */
fcgi__owner fcgi__owner_self(_Atomic uint64_t *known);

/* 1 when that process has ended, all of its threads. In doubt it has not. */
int fcgi__owner_is_dead(fcgi__owner owner);

/* The namespace that process ids are valid in, or 0 where there are none. */
uint64_t fcgi__owner_namespace(void);

#endif
