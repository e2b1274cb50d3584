/* SPDX-License-Identifier: MIT */
/* Name-value pairs (specification 3.4): an incremental decoder that survives
   any split, and an encoder. Pure functions, no allocation. */
#ifndef FASTCGI_PAIRS_H
#define FASTCGI_PAIRS_H

#include <fastcgi/export.h>
#include <stddef.h>
#include <stdint.h>

/* What a call of fcgi_pairs_next found. */
typedef enum fcgi_pairs_part {
  FCGI_PAIRS_MORE = 0, /* All input is used; feed more. */
  FCGI_PAIRS_LENGTHS,  /* Both lengths of the next pair are known. */
  FCGI_PAIRS_NAME,     /* `data`, `len` are the next bytes of the name. */
  FCGI_PAIRS_VALUE,    /* `data`, `len` are the next bytes of the value. */
  FCGI_PAIRS_END       /* The pair is complete. */
} fcgi_pairs_part;

/* A decoder. Zero-initialise it; read name_len and value_len after LENGTHS,
   the other fields are private. */
typedef struct fcgi_pairs {
  uint32_t name_len;  /* Bytes in the name, at most 2^31 - 1. */
  uint32_t value_len; /* Bytes in the value, at most 2^31 - 1. */
  uint32_t left;      /* Private: bytes of the current part still to come. */
  uint8_t state;      /* Private: which part comes next. */
  uint8_t length_at;  /* Private: bytes of the current length seen. */
} fcgi_pairs;

/* Decodes the next part from `*data` and `*len`, and advances both past what
   was used. NAME and VALUE lend slices of the input through `part_data` and
   `part_len`; an empty name or value yields no slice. Never fails: the caller
   checks the lengths at LENGTHS, before it allocates. */
FCGI_EXPORT fcgi_pairs_part fcgi_pairs_next(fcgi_pairs *pairs,
                                            const uint8_t **data, size_t *len,
                                            const uint8_t **part_data,
                                            size_t *part_len);

/* Returns 1 when the input so far ends exactly between two pairs, otherwise
   0. */
FCGI_EXPORT int fcgi_pairs_complete(const fcgi_pairs *pairs);

/* Returns the bytes that the encoded pair takes; 0 when a length exceeds 2^31 -
   1. */
FCGI_EXPORT size_t fcgi_pair_size(size_t name_len, size_t value_len);

/* Encodes a pair into `out`, which has room for fcgi_pair_size bytes, and
   returns the bytes written. A length up to 127 takes 1 byte, a longer one
   4. */
FCGI_EXPORT size_t fcgi_pair_encode(uint8_t *out, const void *name,
                                    size_t name_len, const void *value,
                                    size_t value_len);

#endif
