/* SPDX-License-Identifier: MIT */
/* Calls as bytes: a fuzz target reads its next call, and what the call needs,
   from the input. Beyond its end all bytes are 0. */
#ifndef FUZZ_SCRIPT_H
#define FUZZ_SCRIPT_H

#include <stddef.h>
#include <stdint.h>

typedef struct script {
  const uint8_t *at; /* The next byte. */
  size_t left;       /* Bytes of the input that are not yet used. */
} script;

enum { SCRIPT_LONGEST = 127 * 600 }; /* The most script_size gives. */

static inline uint8_t script_byte(script *s) {
  if (s->left == 0)
    return 0;
  s->left--;
  return *s->at++;
}

/* Up to 127, or a multiple of 600: more than one record takes. */
static inline size_t script_size(script *s) {
  size_t byte = script_byte(s);
  return byte < 128 ? byte : (byte - 128) * 600;
}

/* At most `*len` bytes; sets how many there are. */
static inline const uint8_t *script_take(script *s, size_t *len) {
  const uint8_t *bytes = s->at;
  if (*len > s->left)
    *len = s->left;
  s->at += *len;
  s->left -= *len;
  return bytes;
}

enum { SCRIPT_IDS = 8 };

/* Ids that share a place in a table, make it grow, or are at an end. */
static const uint16_t script_ids[SCRIPT_IDS] = {1,  2,   3,    0,
                                                17, 256, 1000, 65535};

static inline uint16_t script_id(script *s) {
  return script_ids[script_byte(s) % SCRIPT_IDS];
}

#endif
