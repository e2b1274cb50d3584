/* SPDX-License-Identifier: MIT */
/* Where resources count what they do for the status of a server. It has the
   memory mapped for itself: a resource may live on when the server is freed,
   and another thread may use it meanwhile. */
#ifndef FCGI_RESOURCE_SINK_H
#define FCGI_RESOURCE_SINK_H

#include <fastcgi/resource.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

typedef struct fcgi__sink {
  void *memory;      /* Mapped, unmapped with the last user. */
  size_t size;       /* Bytes of the memory. */
  atomic_uint users; /* Who holds it. */
} fcgi__sink;

/* Map the memory behind `fd`, which stays the caller's, of `least` bytes or
   more. The caller holds it. NULL where that fails. */
fcgi__sink *fcgi__sink_new(int fd, size_t least);
/* One user more, and one less; NULL is fine. */
fcgi__sink *fcgi__sink_hold(fcgi__sink *sink);
void fcgi__sink_release(fcgi__sink *sink);

/* Count at `offset` of `sink` from now on, FCGI__ROW_COUNTS numbers as
   base/row.h has them, or nowhere for NULL. A fork does nothing. */
void fcgi__resource_count_in(fcgi_resource *resource, fcgi__sink *sink,
                             size_t offset);

#endif
