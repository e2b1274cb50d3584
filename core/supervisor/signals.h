/* SPDX-License-Identifier: MIT */
/* Signals as bytes of a pipe: a thread waits for them, so that no handler is
   installed and no global is needed. */
#ifndef FCGI_SUPERVISOR_SIGNALS_H
#define FCGI_SUPERVISOR_SIGNALS_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

typedef struct fcgi__signals {
  pthread_t thread;          /* The thread that waits for signals. */
  int out;                   /* The end of a pipe that it writes their
                                numbers to. */
  int in;                    /* The other end, which the supervisor polls and
                                reads. */
  atomic_int over;           /* 1: the thread is to end. */
  sigset_t before;           /* Signals that the caller had blocked. */
  struct sigaction on_child; /* What the caller did on SIGCHLD, put back at
                                the end. */
} fcgi__signals;

/* Block the signals that a supervisor acts on and begin to take them: 0, or -1
   with errno. */
int fcgi__signals_start(fcgi__signals *signals);

/* The numbers that have come since the last call, as a set; 0: some, -1: none.
 */
int fcgi__signals_take(fcgi__signals *signals, sigset_t *came);

/* Take no more of them and put the mask back. */
void fcgi__signals_stop(fcgi__signals *signals);

#endif
