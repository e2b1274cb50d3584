/* SPDX-License-Identifier: MIT */
/* The monotonic clock, and descriptors to wake a waiting thread with. */
#ifndef FCGI_OS_CLOCK_H
#define FCGI_OS_CLOCK_H

#include <fastcgi/timeout.h>
#include <stdatomic.h>
#include <stdint.h>

/* The monotonic clock in milliseconds and in microseconds. */
long long fcgi__now(void);
uint64_t fcgi__now_us(void);

/* Make a time that several threads set an earlier one. */
static inline void fcgi__lower_to(atomic_llong *at, long long value) {
  long long now = atomic_load(at);
  while (value < now && !atomic_compare_exchange_weak(at, &now, value))
    ;
}

/* A descriptor to wake a waiting thread with, or -1 if there is none. */
int fcgi__wake_new(void);

/* A timeout that a program has given, as the rest of the library has it: 0 does
   not wait, -1 waits without end. */
static inline int fcgi__wait_ms(int timeout_ms) {
  if (timeout_ms == FCGI_WAIT_NEVER)
    return 0;
  return timeout_ms < 0 ? -1 : timeout_ms;
}

#endif
