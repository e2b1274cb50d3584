/* SPDX-License-Identifier: MIT */
/* Decoding a pair at once, where its bytes lie together. */
#ifndef FCGI_WIRE_PAIRS_H
#define FCGI_WIRE_PAIRS_H

#include <fastcgi/pairs.h>

/* The lengths of a pair. */
typedef struct fcgi__pair_lengths {
  uint32_t name;  /* Bytes in the name. */
  uint32_t value; /* Bytes in the value, which follows it. */
} fcgi__pair_lengths;

/* Write a length, in one byte up to 127, else in four (specification 3.4);
   returns the place behind it. */
uint8_t *fcgi__pair_put_length(uint8_t *out, size_t length);

/* 1 when the decoder is between two pairs. */
int fcgi__pairs_between(const fcgi_pairs *pairs);

/* As fcgi__pair_peek, for lengths of one or four bytes. */
size_t fcgi__pair_peek_any(const uint8_t *in, size_t len,
                           fcgi__pair_lengths *out);

/* Read the lengths of the pair that begins at `in`: how many bytes they take,
   or 0 when the pair does not lie whole in the `len` bytes there. */
static inline size_t fcgi__pair_peek(const uint8_t *in, size_t len,
                                     fcgi__pair_lengths *out) {
  if (len < 2 || ((in[0] | in[1]) & 0x80))
    return fcgi__pair_peek_any(in, len, out);
  out->name = in[0];
  out->value = in[1];
  return len - 2 < (size_t)in[0] + in[1] ? 0 : 2;
}

#endif
