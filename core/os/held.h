/* SPDX-License-Identifier: MIT */
/* Reports of a poller that wait for a thread, because whoever was told of them
   has something else to do. They are taken in the order in which they came. Any
   thread may call any function. */
#ifndef FCGI_OS_HELD_H
#define FCGI_OS_HELD_H

#include "os/poller.h"
#include <pthread.h>
#include <stdatomic.h>

enum { FCGI__HELD_MOST = 64 }; /* Reports at once, at most. */

typedef struct fcgi__late {
  fcgi__ready report; /* What the poller has said. */
  long long at;       /* When. */
} fcgi__late;

typedef struct fcgi__held {
  pthread_mutex_t lock; /* Guards what follows. Nothing else is locked
                           while it is held. */
  fcgi__late ring[FCGI__HELD_MOST]; /* They, in a ring. */
  unsigned first;                   /* The oldest. */
  atomic_uint count;                /* How many, for a look without the lock. */
} fcgi__held;

void fcgi__held_init(fcgi__held *held);
void fcgi__held_clear(fcgi__held *held);

/* 1: there may be some. */
static inline int fcgi__held_any(fcgi__held *held) {
  return atomic_load(&held->count) > 0;
}

/* Keep `count` more: how many found room, those that come first. */
int fcgi__held_put(fcgi__held *held, const fcgi__late *late, int count);

/* Take the oldest: 1, or 0 where there is none. */
int fcgi__held_take(fcgi__held *held, fcgi__late *out);

#endif
