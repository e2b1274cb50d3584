/* SPDX-License-Identifier: MIT */
/* Memory of requests that have ended, kept for those that begin next, so that
   a request costs no allocation. Sessions of any threads share one. */
#ifndef FASTCGI_SPARES_H
#define FASTCGI_SPARES_H

#include <fastcgi/alloc.h>
#include <fastcgi/export.h>

typedef struct fcgi_spares fcgi_spares;

/* Makes room for the memory of `count` requests, 8 KiB each at most; it is a
   power of two. `allocator` is that of the sessions, NULL for the C library's.
   FCGI_ERR_INVALID, FCGI_ERR_NOMEM. */
FCGI_EXPORT int fcgi_spares_new(fcgi_spares **out, unsigned count,
                                const fcgi_allocator *allocator);

/* Frees it and what it keeps, after the sessions that have it. NULL is fine. */
FCGI_EXPORT void fcgi_spares_free(fcgi_spares *spares);

#endif
