/* SPDX-License-Identifier: MIT */
#include "shared/visit.h"
#include "os/clock.h"
#include <fastcgi/error.h>
#include <string.h>

/* Keeps the compiler from moving a write over another one. The processor needs
   no fence: a process is killed between two of its instructions, and those
   before are done. */
static inline void in_order(void) {
  atomic_signal_fence(memory_order_seq_cst);
}

static uint32_t *four_at(fcgi_shared *d, uint64_t offset) {
  return (void *)((char *)d->head + offset);
}

static uint64_t *eight_at(fcgi_shared *d, uint64_t offset) {
  return (void *)((char *)d->head + offset);
}

/* Where a word is that `fcgi__undo` may write to: behind the latch. */
static int may_undo(const fcgi_shared *d, uint64_t offset, unsigned width) {
  return offset >= offsetof(fcgi__shared_head, newest) && offset % width == 0 &&
         offset <= d->size - width;
}

static int note(fcgi__visit *v, void *at, uint64_t width_bit, uint64_t was) {
  fcgi__shared_head *head = v->d->head;
  uint32_t count = fcgi__look(&head->undo_count);
  if (count >= FCGI__SHARED_UNDO)
    v->damaged = 1;
  if (v->damaged)
    return -1;
  head->undo[count] = (fcgi__shared_undo){
      .at = (uint64_t)((char *)at - (char *)head) | width_bit, .was = was};
  in_order();
  __atomic_store_n(&head->undo_count, count + 1, __ATOMIC_RELAXED);
  in_order();
  return 0;
}

void fcgi__put(fcgi__visit *v, uint32_t *at, uint32_t value) {
  if (note(v, at, 0, fcgi__look(at)) == 0)
    __atomic_store_n(at, value, __ATOMIC_RELAXED);
}

void fcgi__put_long(fcgi__visit *v, uint64_t *at, uint64_t value) {
  if (note(v, at, 1, fcgi__look_long(at)) == 0)
    __atomic_store_n(at, value, __ATOMIC_RELAXED);
}

void fcgi__commit(fcgi__visit *v) {
  in_order();
  if (!v->damaged)
    __atomic_store_n(&v->d->head->undo_count, 0, __ATOMIC_RELAXED);
  in_order();
}

/* The last one first, so that a word that was written twice has its first
   value again. Being killed here does no harm: the next one begins anew. */
void fcgi__undo(fcgi__visit *v) {
  fcgi_shared *d = v->d;
  uint32_t count = fcgi__look(&d->head->undo_count);
  if (count > FCGI__SHARED_UNDO)
    v->damaged = 1;
  while (!v->damaged && count-- > 0) {
    uint64_t at = fcgi__look_long(&d->head->undo[count].at);
    uint64_t was = fcgi__look_long(&d->head->undo[count].was);
    if (!may_undo(d, at & ~UINT64_C(1), at & 1 ? 8 : 4))
      v->damaged = 1;
    else if (at & 1)
      *eight_at(d, at & ~UINT64_C(1)) = was;
    else
      *four_at(d, at) = (uint32_t)was;
  }
  fcgi__commit(v);
}

/* The counts stay, and so does the token: a lock of before is none of now. */
void fcgi__empty(fcgi_shared *d) {
  fcgi__shared_head *head = d->head;
  __atomic_store_n(&head->emptying, 1, __ATOMIC_RELAXED);
  in_order();
  memset(d->buckets, 0, ((size_t)d->bucket_mask + 1) * sizeof *d->buckets);
  head->newest = head->oldest = head->free_first = head->free_count = 0;
  head->fresh = head->entries = head->undo_count = 0;
  in_order();
  __atomic_store_n(&head->emptying, 0, __ATOMIC_RELAXED);
  in_order();
}

static void repair(fcgi__visit *v) {
  if (fcgi__look(&v->d->head->emptying)) {
    fcgi__empty(v->d);
  } else if (fcgi__look(&v->d->head->undo_count)) {
    fcgi__undo(v);
    fcgi__tell(v, FCGI_SHARED_RECOVERED);
  }
}

/* Process ids mean something else in another namespace. */
static int is_abroad(fcgi_shared *d, fcgi__owner self) {
  if (atomic_load(&d->approved) == self)
    return 0;
  if (d->home && d->home != fcgi__owner_namespace())
    return 1;
  atomic_store(&d->approved, self);
  return 0;
}

/* Whoever had the latch before and was not killed has left nothing, unless
   another process wrote over it: looking at two words tells. */
int fcgi__visit_begin(fcgi__visit *v, fcgi_shared *d) {
  fcgi__owner self = fcgi__owner_self(&d->here);
  int taken;
  if (is_abroad(d, self))
    return FCGI_ERR_STATE;
  taken = fcgi__latch_take(&d->head->latch, self, &d->sleep);
  if (taken < 0)
    return taken;
  v->d = d;
  v->now = (uint64_t)fcgi__now() + d->ahead_ms;
  v->damaged = 0;
  v->none = (fcgi__shared_block){.next = 0};
  repair(v);
  return 0;
}

int fcgi__visit_end(fcgi__visit *v, int result) {
  fcgi_shared *d = v->d;
  if (v->damaged) {
    fcgi__empty(d);
    d->head->counts[FCGI_SHARED_EMPTIED]++;
    result = FCGI_ERR_DAMAGED;
  }
  fcgi__latch_give(&d->head->latch);
  return result;
}
