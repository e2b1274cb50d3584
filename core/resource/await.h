/* SPDX-License-Identifier: MIT */
/* What a server needs: a take of a thread that looks at something else
   meanwhile, and what is to be logged. */
#ifndef FCGI_RESOURCE_AWAIT_H
#define FCGI_RESOURCE_AWAIT_H

#include <fastcgi/resource.h>

/* fcgi_resource_take for the thread, which waits until then at the latest, on
   the clock of fcgi__now. */
int fcgi__resource_take_until(fcgi_resource *resource, long long until,
                              void **value);

/* The longest wait of other takes in ms, as configured. */
long long fcgi__resource_longest_wait(const fcgi_resource *resource);

/* The limit of another one that its own limit_total has replaced, once; 0:
   none. */
unsigned fcgi__resource_limit_before(fcgi_resource *resource);

#endif
