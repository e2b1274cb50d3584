/* SPDX-License-Identifier: MIT */
/* Signals as bytes of a pipe: a thread waits for them, so that no handler is
   installed and no global is needed. */
#ifndef FCGI_SUPERVISOR_SIGNALS_H
#define FCGI_SUPERVISOR_SIGNALS_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

typedef struct fcgi__signals {
  pthread_t thread;          /* That waits. */
  int out;                   /* Where it writes. */
  int in;                    /* Where they are read; pollable. */
  atomic_int over;           /* 1: it shall end. */
  sigset_t before;           /* The caller's mask. */
  struct sigaction on_child; /* What the caller did on SIGCHLD. */
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
