/* SPDX-License-Identifier: MIT */
/* One operation, while it has the latch: reading what others may have written
   over, and changes that happen as a whole or not at all.

   A change writes with fcgi__put, which keeps the former word first, and ends
   with fcgi__commit. If its process is killed before that, the next one that
   takes the latch puts the former words back. So only fields of blocks that are
   in no chain of an entry may be written to in another way. */
#ifndef FCGI_SHARED_VISIT_H
#define FCGI_SHARED_VISIT_H

#include "shared/layout.h"

typedef struct fcgi__visit {
  fcgi_shared *d;          /* The dictionary. */
  uint64_t now;            /* When it began, in ms of fcgi__now. */
  int damaged;             /* 1: something cannot be; nothing is written any
                              more. */
  fcgi__shared_block none; /* Stands for a block that does not exist. */
} fcgi__visit;

/* Take the latch, and undo what a dead process has left half done: 0,
   FCGI_ERR_TIMEOUT, or FCGI_ERR_STATE in another namespace of processes. */
int fcgi__visit_begin(fcgi__visit *v, fcgi_shared *d);

/* Give the latch back: `result`, or FCGI_ERR_DAMAGED after damage was found,
   and all is empty then. */
int fcgi__visit_end(fcgi__visit *v, int result);

/* A word as it is now: it is looked at once, then judged. */
static inline uint32_t fcgi__look(const uint32_t *at) {
  return __atomic_load_n(at, __ATOMIC_RELAXED);
}
static inline uint64_t fcgi__look_long(const uint64_t *at) {
  return __atomic_load_n(at, __ATOMIC_RELAXED);
}

/* The block of that number. */
static inline fcgi__shared_block *fcgi__block(fcgi__visit *v, uint32_t number) {
  if (number > 0 && number <= v->d->block_count)
    return &v->d->blocks[number - 1];
  v->damaged = 1;
  return &v->none;
}

/* Write a word as part of a change. */
void fcgi__put(fcgi__visit *v, uint32_t *at, uint32_t value);
void fcgi__put_long(fcgi__visit *v, uint64_t *at, uint64_t value);

/* The change is whole. */
void fcgi__commit(fcgi__visit *v);

/* Put back what the change under way has written to. */
void fcgi__undo(fcgi__visit *v);

/* Remove everything, also if a former process was killed meanwhile. */
void fcgi__empty(fcgi_shared *d);

/* Count something; a kill may lose it. */
static inline void fcgi__tell(fcgi__visit *v, fcgi_shared_count what) {
  v->d->head->counts[what]++;
}

/* --- Chains of blocks ----------------------------------------------------- */

/* How many blocks that many bytes of key and value take. */
uint64_t fcgi__chain_blocks(uint64_t bytes);

/* Have `wanted` free blocks, if there are as many that were never used: 1, or 0
   when entries have to go first. */
int fcgi__chain_is_free(fcgi__visit *v, uint32_t wanted);

/* The first free block, with so many behind it that they are `count`; the last
   of them in `last`. They stay free. */
uint32_t fcgi__chain_look(fcgi__visit *v, uint32_t count, uint32_t *last);

/* As part of a change: take those, or give back a chain. */
void fcgi__chain_take(fcgi__visit *v, uint32_t count, uint32_t last);
void fcgi__chain_give(fcgi__visit *v, uint32_t first, uint32_t count,
                      uint32_t last);

/* Copy bytes of a chain from or to `skip` bytes behind its begin; `skip` is
   moved on. Writing is for blocks that are in no entry. */
void fcgi__chain_read(fcgi__visit *v, uint32_t first, uint64_t skip, void *out,
                      size_t len);
void fcgi__chain_write(fcgi__visit *v, uint32_t first, uint64_t skip,
                       const void *data, size_t len);

/* 1 when these are the bytes there. */
int fcgi__chain_equals(fcgi__visit *v, uint32_t first, const void *data,
                       size_t len);

#endif
