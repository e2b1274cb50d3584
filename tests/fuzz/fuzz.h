/* SPDX-License-Identifier: MIT */
/* What the fuzz targets share. Each defines LLVMFuzzerTestOneInput, which
   libFuzzer or replay.c calls. */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A property that does not hold is a crash, which the fuzzer keeps. */
#define fuzz_require(condition)                                                \
  do {                                                                         \
    if (!(condition)) {                                                        \
      fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__,         \
              #condition);                                                     \
      abort();                                                                 \
    }                                                                          \
  } while (0)

/* A copy in a heap block of just its size: the address sanitizer sees a read
   past its end. free(3) it. */
static inline uint8_t *fuzz_copy(const uint8_t *data, size_t len) {
  uint8_t *copy = malloc(len ? len : 1);
  fuzz_require(copy != NULL);
  if (len > 0)
    memcpy(copy, data, len);
  return copy;
}

#endif
