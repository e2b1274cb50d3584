/* SPDX-License-Identifier: MIT */
/* Taking slots, and giving way. */
#include "resource/quota.h"

/* Others may have written anything. */
static uint32_t at_most(const _Atomic uint32_t *word) {
  uint32_t value = atomic_load(word);
  return value < FCGI_RESOURCE_TOTAL ? value : FCGI_RESOURCE_TOTAL;
}

static uint32_t limit_of(const fcgi__quota *quota) {
  return at_most(&quota->row->limit);
}

static uint32_t top_of(const fcgi__quota *quota) {
  return at_most(&quota->row->top);
}

static fcgi__quota_slot *slot_of(const fcgi__quota *quota, unsigned number) {
  return &quota->row->slots[number - 1];
}

static int is_taken(const fcgi__quota_slot *slot) {
  return atomic_load(&slot->owner) != 0;
}

/* Another resource waits for it. */
static int is_promised(const fcgi__quota *quota, const fcgi__quota_slot *slot,
                       long long now) {
  uint64_t heir = atomic_load(&slot->heir);
  return heir != 0 && heir != quota->view &&
         atomic_load(&slot->until) > (uint64_t)now;
}

static unsigned taken(const fcgi__quota *quota) {
  unsigned count = 0;
  for (uint32_t i = top_of(quota); i > 0; i--)
    count += (unsigned)is_taken(slot_of(quota, i));
  return count;
}

/* --- Taking --------------------------------------------------------------- */

/* Between the exchange and the rest its former times are seen, which are only
   hints. */
static unsigned grab(fcgi__quota *quota, long long now) {
  const fcgi__owner self = fcgi__owner_self(&quota->here);
  const uint32_t limit = limit_of(quota);
  for (uint32_t i = 1; i <= limit; i++) {
    fcgi__quota_slot *slot = slot_of(quota, i);
    uint64_t nobody = 0;
    if (is_taken(slot) || is_promised(quota, slot, now) ||
        !atomic_compare_exchange_strong(&slot->owner, &nobody, self))
      continue;
    atomic_store(&slot->view, quota->view);
    atomic_store(&slot->opened, (uint64_t)now);
    atomic_store(&slot->rested, 0);
    return i;
  }
  return 0;
}

/* Free what the dead have: 1 when there was something. What they had open may
   live on until its query ends. */
static int sweep(fcgi__quota *quota, long long now) {
  uint64_t alive = fcgi__owner_self(&quota->here);
  int freed = 0;
  if (now < quota->sweep)
    return 0;
  quota->sweep = now + FCGI__QUOTA_SWEEP_MS;
  for (uint32_t i = top_of(quota); i > 0; i--) {
    fcgi__quota_slot *slot = slot_of(quota, i);
    uint64_t owner = atomic_load(&slot->owner);
    if (owner == 0 || owner == alive)
      continue;
    if (!fcgi__owner_is_dead(owner)) {
      alive = owner;
    } else if (atomic_compare_exchange_strong(&slot->owner, &owner, 0)) {
      atomic_fetch_add(&quota->row->abandoned, 1);
      freed = 1;
    }
  }
  return freed;
}

/* What was declared last is less than before, and too many are left. Of two
   that come at once, each sees the other. */
static int is_too_many(const fcgi__quota *quota) {
  uint32_t limit = limit_of(quota);
  return top_of(quota) > limit && taken(quota) > limit;
}

static unsigned try_to_take(fcgi__quota *quota, long long now) {
  unsigned slot = grab(quota, now);
  if (!slot && sweep(quota, now))
    slot = grab(quota, now);
  if (slot && is_too_many(quota)) {
    fcgi__quota_give(quota, slot);
    return 0;
  }
  return slot;
}

/* --- Giving way ----------------------------------------------------------- */

/* What is lower is asked first: what rests, the longest time first; then what
   rests but has just been opened; then what is in use. */
static uint64_t rank(const fcgi__quota_slot *slot, long long now) {
  uint64_t rested = atomic_load(&slot->rested);
  uint64_t opened = atomic_load(&slot->opened) & (UINT64_MAX >> 2);
  if (rested == 0)
    return opened | UINT64_C(1) << 63;
  if (opened + FCGI__QUOTA_TENURE_MS > (uint64_t)now)
    return opened | UINT64_C(1) << 62;
  return rested & (UINT64_MAX >> 2);
}

/* To close one's own would be of no use, where any thread may have it. */
static int may_ask(const fcgi__quota *quota, const fcgi__quota_slot *slot,
                   long long now) {
  return is_taken(slot) && !is_promised(quota, slot, now) &&
         (quota->is_split || atomic_load(&slot->view) != quota->view);
}

static void promise(fcgi__quota *quota, fcgi__quota_slot *slot, long long now) {
  uint64_t before = atomic_load(&slot->heir);
  if (is_promised(quota, slot, now) ||
      !atomic_compare_exchange_strong(&slot->heir, &before, quota->view))
    return;
  atomic_store(&slot->until, (uint64_t)now + FCGI__QUOTA_LEASE_MS);
  quota->asked = now;
}

static int rests(const fcgi__quota_slot *slot) {
  return atomic_load(&slot->rested) != 0;
}

/* Whoever was asked may be in a handler for long: then another one is, too, at
   once if it rests and the first one does not. */
static void ask(fcgi__quota *quota, long long now) {
  fcgi__quota_slot *best = NULL;
  int waits = 0, one_rests = 0;
  for (uint32_t i = top_of(quota); i > 0; i--) {
    fcgi__quota_slot *slot = slot_of(quota, i);
    if (atomic_load(&slot->heir) == quota->view) {
      atomic_store(&slot->until, (uint64_t)now + FCGI__QUOTA_LEASE_MS);
      waits = 1;
      one_rests |= rests(slot);
    } else if (may_ask(quota, slot, now) &&
               (!best || rank(slot, now) < rank(best, now))) {
      best = slot;
    }
  }
  if (best && (!waits || (!one_rests && rests(best)) ||
               now >= quota->asked + FCGI__QUOTA_PATIENCE_MS))
    promise(quota, best, now);
}

void fcgi__quota_withdraw(fcgi__quota *quota) {
  for (uint32_t i = top_of(quota); quota->asked && i > 0; i--) {
    uint64_t heir = quota->view;
    atomic_compare_exchange_strong(&slot_of(quota, i)->heir, &heir, 0);
  }
  quota->asked = 0;
}

unsigned fcgi__quota_take(fcgi__quota *quota, int asks, long long now) {
  unsigned slot = try_to_take(quota, now);
  if (slot)
    fcgi__quota_withdraw(quota);
  else if (asks)
    ask(quota, now);
  return slot;
}

/* The heir stays, for whom it is now. */
void fcgi__quota_give(fcgi__quota *quota, unsigned number) {
  fcgi__quota_slot *slot = slot_of(quota, number);
  uint64_t self = fcgi__owner_self(&quota->here);
  atomic_store(&slot->view, 0);
  atomic_compare_exchange_strong(&slot->owner, &self, 0);
}

void fcgi__quota_use(const fcgi__quota *quota, unsigned slot) {
  atomic_store_explicit(&slot_of(quota, slot)->rested, 0, memory_order_relaxed);
}

void fcgi__quota_rest(const fcgi__quota *quota, unsigned slot, long long now) {
  atomic_store_explicit(&slot_of(quota, slot)->rested, (uint64_t)now,
                        memory_order_relaxed);
}

int fcgi__quota_is_asked(const fcgi__quota *quota, unsigned number,
                         long long now) {
  const fcgi__quota_slot *slot = slot_of(quota, number);
  if (number > limit_of(quota))
    return 1;
  return atomic_load(&slot->heir) != 0 &&
         atomic_load(&slot->until) > (uint64_t)now &&
         atomic_load(&slot->opened) + FCGI__QUOTA_TENURE_MS <= (uint64_t)now;
}

void fcgi__quota_count(fcgi__quota *quota, long long now,
                       fcgi_resource_stats *out) {
  sweep(quota, now);
  out->total = taken(quota);
  out->limit_total = limit_of(quota);
  out->abandoned = atomic_load(&quota->row->abandoned);
}
