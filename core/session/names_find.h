/* SPDX-License-Identifier: MIT */
/* A known name by its text, inside the loops that need it there. */
#ifndef FCGI_SESSION_NAMES_FIND_H
#define FCGI_SESSION_NAMES_FIND_H

#include "session/names_slots.h"

/* What tells the known names apart. */
static inline uint32_t fcgi__name_key(const uint8_t *text, size_t len) {
  const uint8_t *end = text + len;
  return end[-1] | (uint32_t)text[len / 2] << 8 | (uint32_t)end[-2] << 16 |
         (uint32_t)len << 24;
}

/* The number of the only known name that the text can be; it has two bytes at
   least, or some before it. */
static inline unsigned fcgi__name_likely(const uint8_t *text, size_t len) {
  return slots[fcgi__name_key(text, len) * factor >> (32 - SLOT_BITS)];
}

#endif
