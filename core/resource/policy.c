/* SPDX-License-Identifier: MIT */
/* Taking and giving back. */
#include "resource/policy.h"
#include <fastcgi/error.h>
#include <string.h>

static int wants(const fcgi__policy *policy, fcgi_resource_step step) {
  return (policy->wanted & 1u << step) != 0;
}

fcgi_handle *fcgi__policy_found(fcgi__policy *policy, const fcgi__ask *ask) {
  fcgi_handle *at;
  if (ask->holder)
    return fcgi__holder_find(ask->holder, policy->resource, ask->thread);
  for (at = policy->all; at; at = at->next)
    if (at->state == FCGI__HANDLE_HELD && !at->holder &&
        at->thread == ask->thread)
      return at;
  return NULL;
}

/* The one that has rested for the shortest time, so that others get old. */
static fcgi_handle *idle(const fcgi__policy *policy) {
  fcgi_handle *best = NULL;
  for (fcgi_handle *at = policy->all; at; at = at->next)
    if (at->state == FCGI__HANDLE_IDLE && (!best || at->rested > best->rested))
      best = at;
  return best;
}

static void claim(const fcgi__policy *policy, fcgi_handle *handle,
                  const fcgi__ask *ask) {
  handle->state = FCGI__HANDLE_BUSY;
  handle->errand = FCGI__TAKING;
  handle->holder = ask->holder;
  handle->kept = (uint8_t)ask->keep;
  handle->unended = 0;
  if (policy->scope != FCGI_RESOURCE_THREAD)
    handle->thread = ask->thread;
}

/* Outside of the usual way, which looks once whether anybody counts. */
static __attribute__((noinline)) void note_take(const fcgi__policy *policy,
                                                const fcgi_handle *handle) {
  fcgi__policy_note(policy, FCGI_METRIC_RESOURCES_IN_USE, 1);
  if (handle->slot)
    fcgi__quota_use(policy->quota, handle->slot);
}

/* What another worker waits for is closed, so it need not be reset. */
static __attribute__((noinline)) void
note_give(const fcgi__policy *policy, fcgi_handle *handle, long long now) {
  fcgi__policy_note(policy, FCGI_METRIC_RESOURCES_IN_USE, (uint64_t)-1);
  if (!handle->doom && fcgi__policy_gives_way(policy, handle, now))
    handle->doom = 1 + FCGI_RESOURCE_BY_IDLE;
  if (handle->slot)
    fcgi__quota_rest(policy->quota, handle->slot, now);
}

static int hold(fcgi__policy *policy, fcgi_handle *handle) {
  handle->state = FCGI__HANDLE_HELD;
  handle->step = FCGI_RESOURCE_READY;
  handle->depth = 1;
  policy->stats.taken++;
  policy->stats.in_use++;
  if (policy->noted)
    note_take(policy, handle);
  if (handle->holder)
    fcgi__holder_add(handle->holder, handle);
  return FCGI_RESOURCE_READY;
}

static int begin(fcgi_handle *handle, fcgi_resource_step step) {
  handle->state = FCGI__HANDLE_BUSY;
  handle->step = (uint8_t)step;
  return step;
}

unsigned fcgi__policy_fault(const fcgi__policy *policy,
                            const fcgi_handle *handle, long long now) {
  if (handle->doom)
    return handle->doom;
  if (policy->closed)
    return 1 + FCGI_RESOURCE_BY_STOPPED;
  if (handle->round != policy->round)
    return 1 + FCGI_RESOURCE_BY_DRAINED;
  return now >= handle->too_old ? 1 + FCGI_RESOURCE_BY_AGE : 0;
}

int fcgi__policy_close(fcgi__policy *policy, fcgi_handle *handle, unsigned doom,
                       fcgi__errand errand) {
  policy->stats.closed[doom - 1]++;
  fcgi__policy_note(policy, FCGI_METRIC_CLOSED_CHECK + doom - 1, 1);
  handle->doom = 0;
  handle->errand = (uint8_t)errand;
  return begin(handle, FCGI_RESOURCE_CLOSE);
}

/* Only one that has proved to work since the last one broke tells that the
   others may have broken: of those that break together, one. */
static void broke(fcgi__policy *policy, const fcgi_handle *handle) {
  if (handle->trust == policy->trust)
    policy->trust++;
}

/* Somebody had it when it broke. The check of a take is not that: the taker
   gets another one. */
static void broke_in_use(const fcgi__policy *policy,
                         const fcgi_handle *handle) {
  if (handle->holder)
    atomic_fetch_or(&handle->holder->retry,
                    policy->retry ? FCGI__RETRY_BROKEN : FCGI__RETRY_OTHER);
}

static int needs_check(const fcgi__policy *policy, const fcgi_handle *handle,
                       long long now) {
  return wants(policy, FCGI_RESOURCE_CHECK) &&
         (handle->trust != policy->trust ||
          now - handle->rested >= policy->check_after);
}

int fcgi__policy_given(fcgi__policy *policy, fcgi_handle *handle,
                       long long now) {
  unsigned fault = fcgi__policy_fault(policy, handle, now);
  if (fault)
    return fcgi__policy_close(policy, handle, fault, FCGI__TAKING);
  if (needs_check(policy, handle, now))
    return begin(handle, FCGI_RESOURCE_CHECK);
  return hold(policy, handle);
}

static int take_again(fcgi__policy *policy, fcgi_handle *handle,
                      const fcgi__ask *ask) {
  policy->stats.taken++;
  if (!ask->keep)
    handle->depth++;
  else if (!handle->kept)
    handle->depth += handle->kept = 1;
  return FCGI_RESOURCE_READY;
}

/* While it is away there is one attempt at a time, and a pause after each. */
int fcgi__policy_may_open(const fcgi__policy *policy, long long now) {
  return !policy->away || (!policy->trying && now >= policy->try_at);
}

/* Handles stay where they are when they are empty, so that there are never more
   than were open at once. */
static fcgi_handle *find_empty(fcgi__policy *policy, uintptr_t thread) {
  fcgi_handle *at = policy->all;
  while (at && (at->state != FCGI__HANDLE_EMPTY ||
                (policy->scope == FCGI_RESOURCE_THREAD && at->thread)))
    at = at->next;
  if (!at) {
    at = fcgi__calloc(policy->allocator, sizeof *at);
    if (!at)
      return NULL;
    at->resource = policy->resource;
    at->next = policy->all;
    policy->all = at;
  }
  at->thread = thread;
  return at;
}

int fcgi__policy_empty(fcgi__policy *policy, uintptr_t thread, int asks,
                       long long now, fcgi_handle **handle) {
  unsigned slot = 0;
  if (policy->quota) {
    slot = fcgi__quota_take(policy->quota, asks, now);
    policy->crowded = slot == 0;
    if (!slot)
      return FCGI__RESOURCE_WAIT;
  }
  if (!*handle)
    *handle = find_empty(policy, thread);
  if (*handle)
    (*handle)->slot = slot;
  else if (slot)
    fcgi__quota_give(policy->quota, slot);
  return *handle ? 0 : FCGI_ERR_NOMEM;
}

int fcgi__policy_open(fcgi__policy *policy, fcgi_handle *handle,
                      fcgi__errand errand) {
  if (handle->state == FCGI__HANDLE_EMPTY)
    policy->used++;
  handle->tries = (uint8_t)policy->away;
  policy->trying |= policy->away;
  handle->errand = (uint8_t)errand;
  return begin(handle, FCGI_RESOURCE_OPEN);
}

static int take_new(fcgi__policy *policy, const fcgi__ask *ask,
                    fcgi_handle *handle, long long now, fcgi_handle **out) {
  int step = fcgi__policy_empty(policy, ask->thread, 1, now, &handle);
  if (step)
    return step;
  *out = handle;
  step = fcgi__policy_open(policy, handle, FCGI__TAKING);
  claim(policy, handle, ask);
  return step;
}

/* Whoever came later waits behind those that wait. */
static int must_queue(const fcgi__policy *policy, const fcgi__ask *ask) {
  return policy->first && policy->first != ask->queue;
}

static int take_existing(fcgi__policy *policy, const fcgi__ask *ask,
                         fcgi_handle *handle, long long now,
                         fcgi_handle **out) {
  *out = handle;
  claim(policy, handle, ask);
  return fcgi__policy_given(policy, handle, now);
}

/* A handle that is busy is so below us: a callback takes its own resource. */
static int take_own(fcgi__policy *policy, const fcgi__ask *ask, long long now,
                    fcgi_handle **out) {
  fcgi_handle *own = ask->own;
  if (own && own->state >= FCGI__HANDLE_BUSY)
    return FCGI_ERR_STATE;
  if (own && own->state == FCGI__HANDLE_IDLE)
    return take_existing(policy, ask, own, now, out);
  if (must_queue(policy, ask) || !fcgi__policy_may_open(policy, now))
    return FCGI__RESOURCE_WAIT;
  return take_new(policy, ask, own, now, out);
}

static int take_any(fcgi__policy *policy, const fcgi__ask *ask, long long now,
                    fcgi_handle **out) {
  fcgi_handle *rests;
  if (must_queue(policy, ask))
    return FCGI__RESOURCE_WAIT;
  rests = idle(policy);
  if (rests)
    return take_existing(policy, ask, rests, now, out);
  policy->crowded = 0;
  if (policy->used >= policy->most || !fcgi__policy_may_open(policy, now))
    return FCGI__RESOURCE_WAIT;
  return take_new(policy, ask, NULL, now, out);
}

int fcgi__policy_take(fcgi__policy *policy, fcgi__ask *ask, long long now,
                      fcgi_handle **out) {
  fcgi_handle *held;
  if (policy->closed)
    return FCGI_ERR_CLOSED;
  held = fcgi__policy_held(policy, ask);
  if (held) {
    *out = held;
    return take_again(policy, held, ask);
  }
  return policy->scope == FCGI_RESOURCE_THREAD
             ? take_own(policy, ask, now, out)
             : take_any(policy, ask, now, out);
}

/* Nobody has it, and nothing is wrong with it. */
static int rest(fcgi__policy *policy, fcgi_handle *handle, long long now) {
  fcgi__waiter *waiter = policy->first;
  handle->rested = now;
  handle->step = FCGI_RESOURCE_READY;
  if (waiter && policy->scope != FCGI_RESOURCE_THREAD) {
    fcgi__policy_unqueue(policy, waiter);
    claim(policy, handle, waiter->ask);
    waiter->given = handle;
    waiter->wake(waiter);
    if (policy->quota && !policy->first)
      fcgi__quota_withdraw(policy->quota);
  } else {
    handle->state = FCGI__HANDLE_IDLE;
    handle->holder = NULL;
    handle->errand = FCGI__RESTING;
  }
  return FCGI_RESOURCE_READY;
}

static void vacate(fcgi__policy *policy, fcgi_handle *handle) {
  handle->state = FCGI__HANDLE_EMPTY;
  handle->step = FCGI_RESOURCE_READY;
  handle->value = NULL;
  handle->holder = NULL;
  handle->doom = handle->tries = 0;
  if (handle->slot)
    fcgi__quota_give(policy->quota, handle->slot);
  handle->slot = 0;
  policy->used--;
  fcgi__policy_wake(policy);
}

/* A handle whose thread has ended has nobody to wait for. */
static int rest_or_close(fcgi__policy *policy, fcgi_handle *handle,
                         long long now) {
  unsigned fault = fcgi__policy_fault(policy, handle, now);
  if (!fault && policy->scope == FCGI_RESOURCE_THREAD && !handle->thread)
    fault = 1 + FCGI_RESOURCE_BY_STOPPED;
  return fault ? fcgi__policy_close(policy, handle, fault, FCGI__RESTING)
               : rest(policy, handle, now);
}

int fcgi__policy_give(fcgi__policy *policy, fcgi_handle *handle, int end,
                      void **place, long long now) {
  unsigned own = handle->depth - handle->kept;
  if (!end && own == 0)
    return FCGI_ERR_STATE;
  if (end && own > 0) {
    handle->unended = 1;
    policy->stats.unended++;
    if (!handle->doom)
      handle->doom = 1 + FCGI_RESOURCE_BY_KEPT;
  }
  handle->depth = end ? 0 : handle->depth - 1;
  if (handle->depth > 0)
    return FCGI_RESOURCE_READY;
  if (handle->holder)
    fcgi__holder_remove(handle->holder, handle);
  policy->stats.in_use--;
  if (policy->noted)
    note_give(policy, handle, now);
  *place = handle->place;
  handle->place = NULL;
  if (handle->doom || !wants(policy, FCGI_RESOURCE_RESET))
    return rest_or_close(policy, handle, now);
  handle->errand = FCGI__RESTING;
  return begin(handle, FCGI_RESOURCE_RESET);
}

void fcgi__policy_invalidate(fcgi__policy *policy, fcgi_handle *handle) {
  if (handle->doom)
    return;
  handle->doom = 1 + FCGI_RESOURCE_BY_INVALIDATED;
  broke(policy, handle);
  broke_in_use(policy, handle);
}

void fcgi__policy_abandon(fcgi__policy *policy, fcgi_handle *handle) {
  if (handle->holder)
    fcgi__holder_remove(handle->holder, handle);
  policy->stats.in_use--;
  fcgi__policy_note(policy, FCGI_METRIC_RESOURCES_IN_USE, (uint64_t)-1);
  policy->stats.unended++;
  handle->depth = handle->kept = 0;
  handle->place = NULL;
  handle->doom = 1 + FCGI_RESOURCE_BY_KEPT;
  handle->state = FCGI__HANDLE_IDLE;
  handle->holder = NULL;
  fcgi__policy_wake(policy);
}

/* The first pause is short, as most outages are restarts; each is twice as long
   as the one before, less a random part, so that workers do not come at
   once. */
static void back_off(fcgi__policy *policy, long long now) {
  enum { FIRST_MS = 40, DOUBLINGS = 4 };
  unsigned twice = policy->tries < DOUBLINGS ? policy->tries : DOUBLINGS;
  unsigned ms = (unsigned)FIRST_MS << twice;
  policy->random = policy->random * UINT64_C(6364136223846793005) + 1;
  policy->try_at = now + ms / 2 + (long long)((policy->random >> 40) % ms) / 2;
  policy->tries++;
}

/* What it connects to is there, and has none free: no outage, and no sign that
   one is over. */
static int none_is_free(fcgi__policy *policy, fcgi_handle *handle) {
  if (handle->tries)
    policy->trying = 0;
  if (handle->holder)
    fcgi__holder_refused(handle->holder, policy->resource);
  vacate(policy, handle);
  return FCGI_ERR_TIMEOUT;
}

/* Of those that fail together, the first one begins the outage. */
static int failed(fcgi__policy *policy, fcgi_handle *handle, int outcome,
                  long long now) {
  if (outcome == FCGI_ERR_TIMEOUT)
    return none_is_free(policy, handle);
  policy->stats.failed++;
  fcgi__policy_note(policy, FCGI_METRIC_RESOURCES_FAILED, 1);
  if (!policy->away) {
    policy->away = 1;
    policy->tries = 0;
    policy->away_since = now;
    back_off(policy, now);
  } else if (handle->tries) {
    back_off(policy, now);
  }
  if (handle->tries)
    policy->trying = 0;
  vacate(policy, handle);
  fcgi__policy_wake_all(policy);
  return outcome == FCGI_ERR_INVALID ? outcome : FCGI_ERR_AGAIN;
}

void fcgi__policy_cancel(fcgi__policy *policy, fcgi_handle *handle) {
  if (handle->tries)
    policy->trying = 0;
  handle->thread = 0;
  vacate(policy, handle);
}

/* A tenth of the age is random: those that were opened together do not end
   together. */
static long long age_of(fcgi__policy *policy) {
  long long tenth = policy->max_age / 10;
  policy->random = policy->random * UINT64_C(6364136223846793005) + 1;
  if (policy->max_age >= FCGI__RESOURCE_NEVER || tenth == 0)
    return policy->max_age;
  return policy->max_age - (long long)(policy->random >> 24) % tenth;
}

/* Not among those that are being opened, whose values others set, and those
   that are being closed: a pool lends at once what was returned to it. */
static int is_open(const fcgi_handle *handle) {
  return handle->state != FCGI__HANDLE_EMPTY &&
         handle->step != FCGI_RESOURCE_OPEN &&
         handle->step != FCGI_RESOURCE_CLOSE;
}

static const char *fault_of_value(const fcgi__policy *policy,
                                  const fcgi_handle *handle) {
  if (!handle->value)
    return "open has returned nothing";
  for (const fcgi_handle *at = policy->all; at; at = at->next)
    if (at != handle && is_open(at) && at->value == handle->value)
      return "open has returned what is open already; return a new one each "
             "time";
  return NULL;
}

static int opened(fcgi__policy *policy, fcgi_handle *handle, long long now) {
  handle->too_old = now + age_of(policy);
  handle->trust = policy->trust;
  handle->round = policy->round;
  handle->rested = now;
  handle->doom = 0;
  policy->stats.opened++;
  policy->stats.open++;
  fcgi__policy_note(policy, FCGI_METRIC_RESOURCES_OPENED, 1);
  fcgi__policy_note(policy, FCGI_METRIC_RESOURCES_OPEN, 1);
  if (policy->away) {
    policy->away = policy->trying = 0;
    fcgi__policy_wake_all(policy);
  }
  handle->tries = 0;
  if (handle->slot)
    fcgi__quota_rest(policy->quota, handle->slot, now);
  return handle->errand == FCGI__TAKING ? hold(policy, handle)
                                        : rest_or_close(policy, handle, now);
}

/* What was closed for somebody who takes is opened anew. */
static int closed(fcgi__policy *policy, fcgi_handle *handle, long long now) {
  int taking = handle->errand == FCGI__TAKING;
  handle->value = NULL;
  policy->stats.open--;
  fcgi__policy_note(policy, FCGI_METRIC_RESOURCES_OPEN, (uint64_t)-1);
  if (taking && !policy->closed && fcgi__policy_may_open(policy, now))
    return fcgi__policy_open(policy, handle, FCGI__TAKING);
  vacate(policy, handle);
  return taking ? FCGI_ERR_AGAIN : FCGI_RESOURCE_READY;
}

static int is_broken(fcgi__policy *policy, fcgi_handle *handle,
                     fcgi_resource_cause cause) {
  broke(policy, handle);
  return fcgi__policy_close(policy, handle, 1 + (unsigned)cause,
                            (fcgi__errand)handle->errand);
}

int fcgi__policy_done(fcgi__policy *policy, fcgi_handle *handle, int outcome,
                      long long now) {
  switch ((fcgi_resource_step)handle->step) {
  case FCGI_RESOURCE_OPEN:
    policy->fault = outcome == 0 ? fault_of_value(policy, handle) : NULL;
    if (policy->fault)
      outcome = FCGI_ERR_INVALID;
    return outcome ? failed(policy, handle, outcome, now)
                   : opened(policy, handle, now);
  case FCGI_RESOURCE_CHECK:
    if (outcome)
      return is_broken(policy, handle, FCGI_RESOURCE_BY_CHECK);
    handle->trust = policy->trust;
    return hold(policy, handle);
  case FCGI_RESOURCE_RESET:
    if (!outcome)
      return rest_or_close(policy, handle, now);
    broke_in_use(policy, handle);
    return is_broken(policy, handle, FCGI_RESOURCE_BY_RESET);
  case FCGI_RESOURCE_CLOSE:
    return closed(policy, handle, now);
  case FCGI_RESOURCE_READY:
    break;
  }
  return FCGI_ERR_STATE;
}
