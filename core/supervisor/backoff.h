/* SPDX-License-Identifier: MIT */
/* How long to wait before a worker is started in the place of a dead one. */
#ifndef FCGI_SUPERVISOR_BACKOFF_H
#define FCGI_SUPERVISOR_BACKOFF_H

typedef struct fcgi__backoff {
  long long until;  /* No worker is started before this time; 0: no delay. */
  long long latest; /* When the latest worker that died young did so. */
  int delay_ms;     /* Delay after the next early death, in ms. */
} fcgi__backoff;

enum {
  FCGI__BACKOFF_FIRST_MS = 100,
  FCGI__BACKOFF_MOST_MS = 10000,
  FCGI__BACKOFF_YOUNG_MS = 1000,      /* A death sooner is a failure. */
  FCGI__BACKOFF_YOUNG_CLEAN_MS = 100, /* One with exit status 0. */
};

/* A worker died at `now`, `lived` ms after its start; `clean` 1: with exit
   status 0. Returns the delay in ms. The first young one costs nothing. */
int fcgi__backoff_died(fcgi__backoff *b, long long now, long long lived,
                       int clean);

/* A worker that was started at `started` lives at `now`: once it is no longer
   young, earlier deaths are forgotten. */
void fcgi__backoff_lives(fcgi__backoff *b, long long now, long long started);

#endif
