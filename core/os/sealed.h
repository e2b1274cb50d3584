/* SPDX-License-Identifier: MIT */
/* Memory for several processes, behind a descriptor that is passed on. Its size
   can no more be changed, so that no process can make another one's look at it
   fail; elsewhere than on Linux it is a file without a name. */
#ifndef FCGI_OS_SEALED_H
#define FCGI_OS_SEALED_H

#include <stddef.h>

/* Make `size` zeroed bytes: a descriptor with close-on-exec, or -1 with errno.
   `name` is for people who look at a process. */
int fcgi__sealed_new(const char *name, size_t size);

/* 1: `fd` is such memory, as far as can be told; of size and content nothing is
   said. */
int fcgi__sealed_is_one(int fd);

/* Map what is behind `fd`, which stays the caller's. 0 with its size;
   FCGI_ERR_PROTOCOL when it is no such memory or has fewer than `least` bytes,
   or FCGI_ERR_SYSTEM with errno. */
int fcgi__sealed_map(int fd, size_t least, void **memory, size_t *size);

#endif
