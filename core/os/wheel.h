/* SPDX-License-Identifier: MIT */
/* Times at which something is due, each found at a cost that does not depend on
   how many there are. A time lies in the slot of the coarsest unit in which it
   differs from now, and moves to a finer one when the clock gets there: it is
   touched once in each level at most (a hierarchical timer wheel). */
#ifndef FCGI_OS_WHEEL_H
#define FCGI_OS_WHEEL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

enum {
  FCGI__WHEEL_BITS = 6,   /* A level's slots are 2 to this; */
  FCGI__WHEEL_SLOTS = 64, /* a slot is as long as all of the finer level. */
  FCGI__WHEEL_LEVELS = 7, /* From a millisecond to 139 years. */
  FCGI__WHEEL_LATE = 6    /* A timer may be late by its time to go, >> this. */
};

/* What is due, a part of what its user finds by it. */
typedef struct fcgi__timer {
  atomic_llong when;         /* When it is taken; LLONG_MAX: it is in no slot.
                                It may be read without a lock. */
  struct fcgi__timer *next;  /* In its slot. */
  struct fcgi__timer **here; /* What points to it there. */
  unsigned slot;             /* Its number, counted over all levels. */
} fcgi__timer;

typedef struct fcgi__wheel {
  pthread_mutex_t lock;                /* Guards what follows; nothing else is
                                          locked while it is held. */
  long long now;                       /* Up to when it has turned. */
  uint64_t filled[FCGI__WHEEL_LEVELS]; /* 1 << slot: there is something. */
  fcgi__timer *slots[FCGI__WHEEL_LEVELS * FCGI__WHEEL_SLOTS]; /* The lists. */
  fcgi__timer *due;      /* Those whose time has come, */
  fcgi__timer **due_end; /* where the next of them goes, */
  unsigned due_count;    /* and how many they are. */
  uint64_t steps;        /* How often a timer has been put anywhere. */
} fcgi__wheel;

/* Both are empty. */
void fcgi__wheel_init(fcgi__wheel *wheel, long long now);
void fcgi__timer_init(fcgi__timer *timer);
/* No timer is used afterwards. */
void fcgi__wheel_end(fcgi__wheel *wheel);

/* Have the timer taken at `when`, or later by a 64th of what is left until
   then, so that many are taken together; nothing if it is to be taken sooner.
   Returns when the wheel must be asked next because of it, or LLONG_MAX. */
long long fcgi__wheel_arm(fcgi__wheel *wheel, fcgi__timer *timer,
                          long long when, long long now);
/* 1: that would change nothing, or take it sooner than it needs to be. */
static inline int fcgi__timer_is_soon(const fcgi__timer *timer, long long when,
                                      long long now) {
  long long set = atomic_load(&timer->when);
  return set <= when ||
         (when > now && set - when <= (when - now) >> FCGI__WHEEL_LATE);
}
/* How many are due by `now`. */
unsigned fcgi__wheel_turn(fcgi__wheel *wheel, long long now);
/* Take the first of them out, or NULL. One that is armed for a time that has
   come already is behind all others. */
fcgi__timer *fcgi__wheel_take(fcgi__wheel *wheel);
/* When the wheel must be asked next; LLONG_MAX: it is empty. */
long long fcgi__wheel_next(fcgi__wheel *wheel);

#endif
