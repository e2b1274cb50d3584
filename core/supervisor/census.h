/* SPDX-License-Identifier: MIT */
/* The supervisor's part of the scoreboard: which workers there are, what has
   become of them, and how many connections wait. A new supervisor that takes
   the place of this one makes a scoreboard of its own, because it may be of a
   version that lays it out in another way. */
#ifndef FCGI_SUPERVISOR_CENSUS_H
#define FCGI_SUPERVISOR_CENSUS_H

#include "supervisor/supervisor.h"

/* Make the scoreboard. Without the memory for it everything goes on, but for
   what is read from it; one line says so. */
void fcgi__census_open(fcgi__supervisor *s);

/* Note how many connections wait. */
void fcgi__census_look(fcgi__supervisor *s);

/* A worker that was not to end has ended: which number that counts. */
void fcgi__census_ended(fcgi__supervisor *s, int status);

#endif
