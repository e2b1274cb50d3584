/* SPDX-License-Identifier: MIT */
/* An allocator that knows how many bytes are in use, and can run out. */
#ifndef FUZZ_COUNTING_H
#define FUZZ_COUNTING_H

#include <fastcgi/alloc.h>

typedef struct counting {
  long until_failure; /* Successful calls left; -1 never fails. */
  size_t blocks;      /* In use. */
  size_t bytes;       /* In use. */
  size_t peak;        /* The most that were. */
} counting;

/* An allocator over `state`, which stays the caller's. Any thread. */
fcgi_allocator counting_allocator(counting *state);

/* Set `until_failure`, and read it, while threads may allocate. */
void counting_arm(counting *state, long calls);
long counting_left(counting *state);

#endif
