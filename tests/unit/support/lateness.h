/* SPDX-License-Identifier: MIT */
/* How late this machine wakes a thread. A limit of time can be tested where
   other work goes on if that is allowed for. */
#ifndef UNIT_SUPPORT_LATENESS_H
#define UNIT_SUPPORT_LATENESS_H

#include <pthread.h>
#include <stdatomic.h>

typedef struct lateness {
  pthread_t thread;   /* It sleeps a millisecond, again and again. */
  long long began;    /* When, in ms of fcgi__now. */
  atomic_llong worst; /* Most microseconds that it slept too long. */
  atomic_int over;    /* 1: it ends. */
} lateness;

/* What is measured begins now. */
void lateness_begin(lateness *l);

/* It ends now, and has taken `ms` at most, but for what a machine is late in 20
   steps. */
void lateness_expect(lateness *l, long long ms);

#endif
