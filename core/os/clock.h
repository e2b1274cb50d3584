/* SPDX-License-Identifier: MIT */
/* The monotonic clock, and descriptors to wake a waiting thread with. */
#ifndef FCGI_OS_CLOCK_H
#define FCGI_OS_CLOCK_H

#include <stdint.h>

/* The monotonic clock in milliseconds and in microseconds. */
long long fcgi__now(void);
uint64_t fcgi__now_us(void);

/* A descriptor to wake a waiting thread with, or -1 if there is none. */
int fcgi__wake_new(void);

#endif
