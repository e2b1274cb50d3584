/* SPDX-License-Identifier: MIT */
#include "support/unit.h"

#include <stdlib.h>
#include <string.h>

void *unit_exact_copy(const void *data, size_t len) {
  void *copy = malloc(len);
  if (len > 0) {
    assert_non_null(copy);
    memcpy(copy, data, len);
  }
  return copy;
}
