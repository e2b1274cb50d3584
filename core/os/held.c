/* SPDX-License-Identifier: MIT */
#include "os/held.h"

void fcgi__held_init(fcgi__held *held) {
  pthread_mutex_init(&held->lock, NULL);
}

void fcgi__held_clear(fcgi__held *held) {
  pthread_mutex_destroy(&held->lock);
}

int fcgi__held_put(fcgi__held *held, const fcgi__late *late, int count) {
  unsigned before, room;
  pthread_mutex_lock(&held->lock);
  before = atomic_load_explicit(&held->count, memory_order_relaxed);
  room = FCGI__HELD_MOST - before;
  if (room > (unsigned)count)
    room = (unsigned)count;
  for (unsigned i = 0; i < room; i++)
    held->ring[(held->first + before + i) % FCGI__HELD_MOST] = late[i];
  atomic_store(&held->count, before + room);
  pthread_mutex_unlock(&held->lock);
  return (int)room;
}

int fcgi__held_take(fcgi__held *held, fcgi__late *out) {
  unsigned count;
  if (!fcgi__held_any(held))
    return 0;
  pthread_mutex_lock(&held->lock);
  count = atomic_load_explicit(&held->count, memory_order_relaxed);
  if (count > 0) {
    *out = held->ring[held->first];
    held->first = (held->first + 1) % FCGI__HELD_MOST;
    atomic_store(&held->count, count - 1);
  }
  pthread_mutex_unlock(&held->lock);
  return count > 0;
}
