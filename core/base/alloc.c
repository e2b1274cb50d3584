/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

static void *libc_realloc(void *ptr, size_t size, void *user_data) {
  (void)user_data;
  if (size == 0) {
    free(ptr);
    return NULL;
  }
  return realloc(ptr, size);
}

fcgi_allocator fcgi__allocator(const fcgi_allocator *wanted) {
  if (wanted != NULL && wanted->realloc != NULL)
    return *wanted;
  return (fcgi_allocator){libc_realloc, NULL};
}

void *fcgi__calloc(const fcgi_allocator *allocator, size_t size) {
  void *ptr = allocator->realloc(NULL, size, allocator->user_data);
  if (ptr != NULL)
    memset(ptr, 0, size);
  return ptr;
}

void *fcgi__realloc(const fcgi_allocator *allocator, void *ptr, size_t size) {
  return allocator->realloc(ptr, size, allocator->user_data);
}

void fcgi__free(const fcgi_allocator *allocator, void *ptr) {
  if (ptr != NULL)
    allocator->realloc(ptr, 0, allocator->user_data);
}
