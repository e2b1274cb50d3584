/* SPDX-License-Identifier: MIT */
#include "base/buffer.h"

#include <fastcgi/error.h>
#include <string.h>

enum { SMALLEST = 64 }; /* The first allocation, so that few follow. */

int fcgi__buffer_grow(fcgi__buffer *buffer, const fcgi_allocator *allocator,
                      size_t extra) {
  if (extra > SIZE_MAX - buffer->len)
    return FCGI_ERR_NOMEM;
  size_t cap = buffer->len + extra;
  /* A capacity is at most PTRDIFF_MAX, so one and a half of it fits. */
  size_t grown = buffer->cap + buffer->cap / 2;
  if (cap < grown)
    cap = grown;
  if (cap < SMALLEST)
    cap = SMALLEST;
  uint8_t *data = fcgi__realloc(allocator, buffer->data, cap);
  if (data == NULL)
    return FCGI_ERR_NOMEM;
  buffer->data = data;
  buffer->cap = cap;
  return 0;
}

int fcgi__buffer_append(fcgi__buffer *buffer, const fcgi_allocator *allocator,
                        const void *data, size_t len) {
  /* memcpy from or to NULL is undefined even for 0 bytes. */
  if (len == 0)
    return 0;
  int error = fcgi__buffer_reserve(buffer, allocator, len);
  if (error < 0)
    return error;
  memcpy(buffer->data + buffer->len, data, len);
  buffer->len += len;
  return 0;
}

void fcgi__buffer_clear(fcgi__buffer *buffer, const fcgi_allocator *allocator) {
  fcgi__free(allocator, buffer->data);
  *buffer = (fcgi__buffer){0};
}
