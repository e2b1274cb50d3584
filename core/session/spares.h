/* SPDX-License-Identifier: MIT */
/* Exchanges that have ended, for those that begin. */
#ifndef FCGI_SESSION_SPARES_H
#define FCGI_SESSION_SPARES_H

#include "session/exchange.h"
#include <fastcgi/spares.h>

/* Where one is kept, in a line of the cache of its own: it is the slot of the
   sessions whose addresses lead to it, and rarely of two that are busy. */
typedef struct fcgi__spare {
  _Atomic(fcgi__exchange *) exchange; /* An ended exchange with the memory of
                                         its parameters, or NULL. */
  char apart[64 - sizeof(void *)];    /* Keeps each slot in a cache line of
                                         its own. */
} fcgi__spare;

struct fcgi_spares {
  fcgi_allocator allocator; /* Where the kept memory comes from. */
  unsigned count;           /* Number of `slots`. */
  fcgi__spare slots[];      /* Slots for kept exchanges. */
};

/* That of the session; NULL for no spares. */
fcgi__spare *fcgi__spares_slot(fcgi_spares *spares, const void *session);

/* Take what is kept there: an exchange whose parameters have memory but hold
   nothing that counts, or NULL. */
fcgi__exchange *fcgi__spare_take(fcgi__spare *slot);

/* The exchange is done with: keep it, if there is a slot, or free it. */
void fcgi__spare_give(fcgi__spare *slot, fcgi__exchange *exchange,
                      const fcgi_allocator *allocator);

#endif
