/* SPDX-License-Identifier: MIT */
/* A pipe on which our supervisor asks for a graceful stop. Where a program
   leaves SIGTERM to the system, that would end it in the middle of a request;
   the poller watches this as it does any socket, so no handler is needed. */
#ifndef FCGI_PARENT_LIFELINE_H
#define FCGI_PARENT_LIFELINE_H

#include "os/poller.h"
#include <stdatomic.h>

typedef struct fcgi__lifeline {
  atomic_int watched; /* What the poller knows of; 0: nothing. */
} fcgi__lifeline;

/* Watch `fd`, 0 for none, where the program does nothing about SIGTERM: 1 when
   the supervisor is to ask here and to send no signal. */
int fcgi__lifeline_watch(fcgi__lifeline *lifeline, fcgi__poller *poller,
                         int fd);

/* The supervisor has asked, or is gone: watch no longer. 1 for the first call
   that says so, whose caller stops the server. */
int fcgi__lifeline_leave(fcgi__lifeline *lifeline, fcgi__poller *poller);

#endif
