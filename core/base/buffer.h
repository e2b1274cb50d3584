/* SPDX-License-Identifier: MIT */
/* Growable bytes. Zero-initialised is empty. */
#ifndef FCGI_BASE_BUFFER_H
#define FCGI_BASE_BUFFER_H

#include "base/alloc.h"
#include <stdint.h>

typedef struct fcgi__buffer {
  uint8_t *data; /* NULL while nothing was ever appended. */
  size_t len;    /* Bytes in use. */
  size_t cap;    /* Bytes allocated. */
} fcgi__buffer;

/* Grow by at least a half, so that `extra` more bytes fit: 0, or
   FCGI_ERR_NOMEM with the buffer unchanged (also when the sum overflows). */
int fcgi__buffer_grow(fcgi__buffer *buffer, const fcgi_allocator *allocator,
                      size_t extra);

/* Make room for `extra` more bytes: as fcgi__buffer_grow where it is lacking.
 */
static inline int fcgi__buffer_reserve(fcgi__buffer *buffer,
                                       const fcgi_allocator *allocator,
                                       size_t extra) {
  return extra <= buffer->cap - buffer->len
             ? 0
             : fcgi__buffer_grow(buffer, allocator, extra);
}

/* Append bytes: 0 or FCGI_ERR_NOMEM with the buffer unchanged. */
int fcgi__buffer_append(fcgi__buffer *buffer, const fcgi_allocator *allocator,
                        const void *data, size_t len);

/* Free the bytes and be empty. */
void fcgi__buffer_clear(fcgi__buffer *buffer, const fcgi_allocator *allocator);

#endif
