/* SPDX-License-Identifier: MIT */
/* The allocator that a program may hand to the library. */
#ifndef FASTCGI_ALLOC_H
#define FASTCGI_ALLOC_H

#include <stddef.h>

/* Allocates, resizes and frees: `ptr` NULL allocates `size` bytes, `size` 0
   frees and returns NULL, otherwise the memory is resized. Without memory it
   returns NULL and leaves `ptr` as it was. A server calls it from many threads
   at once. */
typedef void *(*fcgi_realloc_fn)(void *ptr, size_t size, void *user_data);

typedef struct fcgi_allocator {
  fcgi_realloc_fn realloc; /* Default: NULL, the C library's functions. */
  void *user_data;         /* The pointer that `realloc` is called with. */
} fcgi_allocator;

#endif
