/* SPDX-License-Identifier: MIT */
#include "support/failing.h"

#include <stdlib.h>

static void *failing_realloc(void *ptr, size_t size, void *user_data) {
  failing *state = user_data;
  if (size == 0) {
    state->live -= ptr != NULL;
    free(ptr);
    return NULL;
  }
  if (state->until_failure == 0) {
    state->failures++;
    if (state->once)
      state->until_failure = -1;
    return NULL;
  }
  if (state->until_failure > 0)
    state->until_failure--;
  void *result = realloc(ptr, size);
  state->live += ptr == NULL && result != NULL;
  return result;
}

fcgi_allocator failing_allocator(failing *state) {
  return (fcgi_allocator){failing_realloc, state};
}
