/* SPDX-License-Identifier: MIT */
#include "fuzz/counting.h"

#include <pthread.h>
#include <stdlib.h>

/* Before each block is its size, in room that keeps it aligned. */
enum { BEFORE = 16 };

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

static void release(counting *state, char *block) {
  if (!block)
    return;
  state->blocks--;
  state->bytes -= *(size_t *)(void *)block;
  free(block);
}

static void *reallocate(void *ptr, size_t size, counting *state) {
  char *old = ptr ? (char *)ptr - BEFORE : NULL;
  if (size == 0) {
    release(state, old);
    return NULL;
  }
  if (state->until_failure == 0)
    return NULL;
  if (state->until_failure > 0)
    state->until_failure--;
  size_t before = old ? *(size_t *)(void *)old : 0;
  char *block = realloc(old, size + BEFORE);
  if (!block)
    return NULL;
  *(size_t *)(void *)block = size;
  state->blocks += !old;
  state->bytes += size - before;
  if (state->bytes > state->peak)
    state->peak = state->bytes;
  return block + BEFORE;
}

static void *counting_realloc(void *ptr, size_t size, void *user_data) {
  void *block;
  pthread_mutex_lock(&one_at_a_time);
  block = reallocate(ptr, size, user_data);
  pthread_mutex_unlock(&one_at_a_time);
  return block;
}

void counting_arm(counting *state, long calls) {
  pthread_mutex_lock(&one_at_a_time);
  state->until_failure = calls;
  pthread_mutex_unlock(&one_at_a_time);
}

long counting_left(counting *state) {
  long left;
  pthread_mutex_lock(&one_at_a_time);
  left = state->until_failure;
  pthread_mutex_unlock(&one_at_a_time);
  return left;
}

fcgi_allocator counting_allocator(counting *state) {
  return (fcgi_allocator){counting_realloc, state};
}
