/* SPDX-License-Identifier: MIT */
/* A program that has some requests at once, and makes the calls on them that a
   script wants. */
#ifndef FUZZ_PROGRAM_H
#define FUZZ_PROGRAM_H

#include "fuzz/kept.h"
#include "fuzz/script.h"

#include <fastcgi/fastcgi.h>

enum { PROGRAM_REQUESTS = 8 };

typedef struct program {
  fcgi_request *open[PROGRAM_REQUESTS]; /* Not ended; NULL: a free place. */
  int events;                           /* 1: it hears of CLOSE too. */
  kept *kept;                           /* What requests take; lent. */
} program;

/* Take an event. Where there is no room, the request is answered at once. */
void program_take(program *p, const fcgi_server_event *event);

/* One call on one request; nothing where that place is free. */
void program_call(program *p, script *s);

/* End each that is open. */
void program_end_all(program *p);

/* Every call on each fails like this, and changes nothing. */
void program_fail_all(program *p, int error);

#endif
