/* SPDX-License-Identifier: MIT */
/* The signals that stop a server, and what follows where its handlers do not
   let it: the first stops gracefully, for as long as that may take; the end of
   that, another one, or SIGQUIT stops at once; and a moment later the process
   ends, whatever runs in it. One thread uses it. */
#ifndef FCGI_SERVE_ENDING_H
#define FCGI_SERVE_ENDING_H

#include <fastcgi/server.h>

typedef struct fcgi__ending {
  fcgi_server *server; /* What is to stop. */
  int number;          /* The last signal; 0: none has come. */
  long long at;        /* When it came. */
  int most_ms;         /* For a graceful stop; 0: without end. */
  int hurried;         /* 1: it was told to stop at once. */
  long long due;       /* When the next step is, or LLONG_MAX. */
} fcgi__ending;

void fcgi__ending_init(fcgi__ending *ending, fcgi_server *server);

/* A signal that stops has come. */
void fcgi__ending_signal(fcgi__ending *ending, int number);

/* Milliseconds until the next step; -1: there is none. */
int fcgi__ending_wait_ms(const fcgi__ending *ending);

/* Take it if it is due. The last one does not return. */
void fcgi__ending_tick(fcgi__ending *ending);

#endif
