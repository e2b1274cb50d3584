/* SPDX-License-Identifier: MIT */
#include "os/clock.h"
#include <time.h>
#ifdef __linux__
#include <sys/eventfd.h>
#endif

uint64_t fcgi__now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

long long fcgi__now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int fcgi__wake_new(void) {
#ifdef __linux__
  return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
#else
  return -1;
#endif
}
