/* SPDX-License-Identifier: MIT */
/* Signals reach a server's thread for them from any other, without a mask that
   the programs which handlers start would inherit, and without a global. */
#ifndef FCGI_SERVE_RELAY_H
#define FCGI_SERVE_RELAY_H

#include <pthread.h>
#include <signal.h>

enum { FCGI__RELAYED = 5 };

typedef struct fcgi__relay {
  int numbers[FCGI__RELAYED];             /* Which signals; 0: none more. */
  struct sigaction before[FCGI__RELAYED]; /* What the program did on them. */
} fcgi__relay;

/* Pass the signals of `relay->numbers` on to `thread`, which blocks them and
   takes them with sigwait(3), until fcgi__relay_stop; SIGHUP does nothing. Of a
   process there may be one such thread. A child of fork(2) has none: there a
   signal does what is its default. */
void fcgi__relay_start(fcgi__relay *relay, pthread_t thread);

/* Put back what was before, where the program has not put something else. */
void fcgi__relay_stop(const fcgi__relay *relay);

#endif
