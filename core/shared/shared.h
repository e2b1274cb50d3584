/* SPDX-License-Identifier: MIT */
/* How a dictionary is made and found. */
#ifndef FCGI_SHARED_SHARED_H
#define FCGI_SHARED_SHARED_H

#include <fastcgi/shared.h>
#include <stdint.h>

/* PID:FIRST:COUNT, the descriptors of the dictionaries of a worker. */
#define FCGI__SHARED_VARIABLE "FASTCGI_SHARED_MEMORY"

enum { FCGI__SHARED_DICTIONARIES = 16 }; /* Most that a supervisor has. */

/* How many numbers, from `*first` on, the variable names for this process; what
   stands there is not looked at. 0 with -1 in `*first` when it is for another
   process or missing; -1, with that too, when it is malformed. */
int fcgi__shared_named(int *first);

/* Make one of `size` bytes: a handle, and a descriptor to pass on, which is the
   caller's. 0, or FCGI_ERR_INVALID, FCGI_ERR_NOMEM, FCGI_ERR_SYSTEM. */
int fcgi__shared_make(fcgi_shared **out, const char *name, uint64_t size,
                      int *fd);

/* The one behind `fd`, which stays the caller's: FCGI_ERR_DAMAGED when it is
   none, or of another version. */
int fcgi__shared_attach(fcgi_shared **out, int fd);

/* Bytes of memory that it was made with. */
uint64_t fcgi__shared_bytes(const fcgi_shared *d);

/* A count that is kept, as it is just now, without waiting for anybody. */
uint64_t fcgi__shared_glance(const fcgi_shared *d, fcgi_shared_count which);

#endif
