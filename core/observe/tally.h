/* SPDX-License-Identifier: MIT */
/* What a worker writes into its slot of the scoreboard about one request. */
#ifndef FCGI_OBSERVE_TALLY_H
#define FCGI_OBSERVE_TALLY_H

#include "board/scoreboard.h"
#include <fastcgi/params.h>

typedef struct fcgi__tally {
  fcgi__board_entry *entry; /* Shows this request; NULL: all were in use. */
  uint64_t started_us;      /* When it was ready for a handler. */
  atomic_long thread_id;    /* gettid(2) of its handler, where asked for. */
  _Atomic uint64_t thread;  /* pthread_self() of its handler. */
  uint16_t status;          /* The HTTP status of the answer, or 0. */
  _Atomic uint8_t phase;    /* A fcgi_phase. */
  uint8_t counted;          /* 1: there was a slot when it began. */
} fcgi__tally;

/* It is ready for a handler. */
void fcgi__tally_begin(fcgi__tally *tally, fcgi__board_slot *slot,
                       const fcgi_params *params);
/* It is given to one, in this thread; `with_id` 1: note the kernel's number of
   the thread. */
void fcgi__tally_given(fcgi__tally *tally, fcgi__board_slot *slot, int with_id);
/* It has ended, but for what is still to be sent. */
void fcgi__tally_ended(fcgi__tally *tally, fcgi__board_slot *slot);
/* Its handler has not returned by the deadline. */
void fcgi__tally_overdue(fcgi__tally *tally, fcgi__board_slot *slot);
/* Its memory is freed. */
void fcgi__tally_finish(fcgi__tally *tally, fcgi__board_slot *slot);

/* Copy the path asked for, without the query: REQUEST_URI's, or SCRIPT_NAME
   and PATH_INFO. Returns its whole length. */
size_t fcgi__tally_path(const fcgi_params *params, char *out, size_t len);

#endif
