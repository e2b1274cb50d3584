/* SPDX-License-Identifier: MIT */
/* A pipe on which our supervisor asks for a graceful stop. Where a program
   leaves SIGTERM to the system, that would end it in the middle of a request;
   the poller watches this as it does any socket, so no handler is needed. */
#ifndef FCGI_PARENT_LIFELINE_H
#define FCGI_PARENT_LIFELINE_H

#include <stdatomic.h>

struct fcgi_server;

typedef struct fcgi__lifeline {
  atomic_int watched; /* What the poller knows of; 0: nothing. */
} fcgi__lifeline;

/* Watch `fd`, 0 for none, where the program does nothing about SIGTERM: 1 when
   the supervisor is to ask here and to send no signal. */
int fcgi__lifeline_watch(struct fcgi_server *server, int fd);

/* It has asked, or is gone. */
void fcgi__lifeline_stop(struct fcgi_server *server);

#endif
