/* SPDX-License-Identifier: MIT */
/* An allocator that runs out of memory when told to, and counts its blocks. */
#ifndef UNIT_SUPPORT_FAILING_H
#define UNIT_SUPPORT_FAILING_H

#include <fastcgi/alloc.h>

typedef struct failing {
  long until_failure; /* Successful calls left; -1 never fails. */
  long live;          /* Blocks allocated and not freed. */
  long failures;      /* Calls that were refused. */
  int once;           /* 1: after one refusal there is memory again. */
} failing;

/* An allocator over `state`, which stays the caller's. One thread only. */
fcgi_allocator failing_allocator(failing *state);

#endif
