/* SPDX-License-Identifier: MIT */
/* A lock in shared memory that outlives its owner: whoever waits for it takes
   it over from a process that has ended, and hears so. It has no pointers, so
   whatever others write into it can keep it busy, but do no more. */
#ifndef FCGI_SHARED_LATCH_H
#define FCGI_SHARED_LATCH_H

#include "os/owner.h"

enum { FCGI__LATCH_PATIENCE_MS = 10000 }; /* The longest wait. */

typedef union fcgi__latch {
  _Atomic uint64_t word;      /* The owner, with bit 31 set while somebody may
                                 sleep; 0: it is free. */
  _Atomic uint32_t halves[2]; /* The kernel compares the lower one. */
} fcgi__latch;

/* What the caller does around a sleep; NULL is fine. */
typedef struct fcgi__latch_sleep {
  void *(*begins)(void *data);           /* Before it. */
  void (*ended)(void *data, void *kept); /* After it, with what `begins` has
                                            returned. */
  void *data;                            /* For both. */
} fcgi__latch_sleep;

/* Take it: 0; 1 when its owner has ended and may have left things half done;
   FCGI_ERR_TIMEOUT. A thread that has it must not take it again. */
int fcgi__latch_take(fcgi__latch *latch, fcgi__owner self,
                     const fcgi__latch_sleep *sleep);

void fcgi__latch_give(fcgi__latch *latch);

/* Sleep until `*word`, seen as `seen`, is another one and woken, or for that
   long at most. */
void fcgi__latch_await(_Atomic uint32_t *word, uint32_t seen, int timeout_ms);
void fcgi__latch_wake(_Atomic uint32_t *word, int how_many);

#endif
