/* SPDX-License-Identifier: MIT */
/* The allocator that a program may hand to the library. */
#ifndef FASTCGI_ALLOC_H
#define FASTCGI_ALLOC_H

#include <stddef.h>

/* One function does it all: `ptr` NULL allocates, `size` 0 frees and returns
   NULL, otherwise it resizes. It returns NULL when out of memory and then
   leaves `ptr` as it was. A server calls it from many threads at once. */
typedef void *(*fcgi_realloc_fn)(void *ptr, size_t size, void *user_data);

typedef struct fcgi_allocator {
  fcgi_realloc_fn realloc; /* NULL means the C library's. */
  void *user_data;         /* Handed to `realloc`. */
} fcgi_allocator;

#endif
