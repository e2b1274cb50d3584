/* SPDX-License-Identifier: MIT */
#include "session/names_find.h"
#include <assert.h>

#define ROW(name)                                                              \
  [FCGI__NAME_##name] = {                                                      \
      {(uint32_t)1 << 31 | FCGI__NAME_##name, sizeof #name - 1}, #name},

/* No text is as long as that of no name. */
const fcgi__name fcgi__names[FCGI__NAMES] = {{{0, UINT32_MAX}, ""},
                                             FCGI__NAME_MAP(ROW)};

static_assert((int)FCGI__NAMES <= (int)FCGI__NAMES_MOST, "too many names");

/* Of known names. */
enum { SHORTEST = 4, LONGEST = 48 };

#define FITS(name)                                                             \
  static_assert(sizeof #name - 1 >= SHORTEST && sizeof #name - 1 <= LONGEST,   \
                "a name is too short or too long to be compared");
FCGI__NAME_MAP(FITS)

unsigned fcgi__name_find(const uint8_t *text, size_t len) {
  unsigned number;
  if (len < SHORTEST || len > LONGEST)
    return FCGI__NAME_NONE;
  number = fcgi__name_likely(text, len);
  return fcgi__name_is(&fcgi__names[number], text, len) ? number
                                                        : FCGI__NAME_NONE;
}
