/* SPDX-License-Identifier: MIT */
/* The end of a connection whose last answer is out. A peer may still be sending
   then: close(2) would have its next send(2) fail, and a reset can overtake the
   answer, on unix sockets too. So our direction is shut, and what comes is
   dropped until the peer closes, within limits. */
#ifndef FCGI_SERVER_PARTING_H
#define FCGI_SERVER_PARTING_H

#include "server/connection.h"

enum { FCGI__PARTING = 8 }; /* Connections of which none is looked at yet. */

typedef struct fcgi__parting {
  _Atomic(fcgi__connection *) latest[FCGI__PARTING]; /* The last ones that were
                                                        shut unregistered. */
  atomic_uint count;                                 /* How many there were. */
} fcgi__parting;

/* Close at once what nobody would notice, shut the rest. The lock is held. */
void fcgi__connection_part(fcgi__connection *connection);

/* Take no more requests: at once where there are none. The lock is held. */
void fcgi__connection_tire(fcgi__connection *connection);

/* It has had its time: see whether the peer has closed, and close; or have the
   poller tell. The lock is held, and settling is due. */
void fcgi__connection_look_after(fcgi__connection *connection);

#endif
