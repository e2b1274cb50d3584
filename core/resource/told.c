/* SPDX-License-Identifier: MIT */
#include "resource/told.h"
#include "base/alloc.h"
#include "resource/resource.h"
#include <fastcgi/error.h>
#include <string.h>

fcgi_resource_stats fcgi__told_sum(const fcgi__policy *policy) {
  const fcgi_resource_stats *pool = &policy->told->pool;
  fcgi_resource_stats sum = policy->stats;
  sum.open = pool->open;
  sum.in_use = pool->in_use;
  sum.opened = pool->opened;
  memcpy(sum.closed, pool->closed, sizeof sum.closed);
  sum.waiting += pool->waiting;
  sum.failed += pool->failed;
  sum.waited_ms += pool->waited_ms;
  for (unsigned i = 0; i < FCGI_RESOURCE_WAITS; i++)
    sum.waits[i] += pool->waits[i];
  return sum;
}

static void add(_Atomic uint64_t *row, fcgi_metric metric, uint64_t amount) {
  if (amount)
    atomic_fetch_add_explicit(&row[fcgi__row_at(metric)], amount,
                              memory_order_relaxed);
}

static void add_arrays(_Atomic uint64_t *row, const fcgi_resource_stats *now,
                       const fcgi_resource_stats *before) {
  uint64_t waited = 0;
  for (unsigned i = 0; i < FCGI_RESOURCE_WAITS; i++) {
    uint64_t more = now->waits[i] - before->waits[i];
    waited += more;
    if (more)
      atomic_fetch_add(&row[FCGI__ROW_METRICS + i], more);
  }
  add(row, FCGI_METRIC_RESOURCES_WAITED, waited);
  for (unsigned i = 0; i < FCGI_RESOURCE_CAUSES; i++)
    add(row, FCGI_METRIC_CLOSED_CHECK + i, now->closed[i] - before->closed[i]);
}

/* What is less now is added as well: the sum wraps around. */
static uint64_t change(unsigned now, unsigned before) {
  return (uint64_t)now - before;
}

static void write_change(fcgi__told *told, const fcgi_resource_stats *now) {
  const fcgi_resource_stats *was = &told->shown;
  _Atomic uint64_t *row = told->row;
  if (!row)
    return;
  add(row, FCGI_METRIC_RESOURCES_OPEN, change(now->open, was->open));
  add(row, FCGI_METRIC_RESOURCES_IN_USE, change(now->in_use, was->in_use));
  add(row, FCGI_METRIC_RESOURCES_WAITING, change(now->waiting, was->waiting));
  add(row, FCGI_METRIC_RESOURCES_OPENED, now->opened - was->opened);
  add(row, FCGI_METRIC_RESOURCES_FAILED, now->failed - was->failed);
  add(row, FCGI_METRIC_RESOURCES_REFUSED, now->refused - was->refused);
  add(row, FCGI_METRIC_RESOURCES_WAITED_MS, now->waited_ms - was->waited_ms);
  add_arrays(row, now, was);
  told->shown = *now;
}

static void show(const fcgi__policy *policy) {
  const fcgi_resource_stats now = fcgi__told_sum(policy);
  write_change(policy->told, &now);
}

/* How things are now moves along; what was counted stays where it was. */
void fcgi__told_move(const fcgi__policy *policy, _Atomic uint64_t *row) {
  fcgi__told *told = policy->told;
  fcgi_resource_stats gone = told->shown;
  gone.open = gone.in_use = gone.waiting = 0;
  write_change(told, &gone);
  told->row = row;
  show(policy);
}

void fcgi__told_forget(fcgi__told *told) {
  if (told)
    *told = (fcgi__told){.row = NULL};
}

/* Whatever the resource has shown by itself goes on from there. */
static int begin(fcgi_resource *resource) {
  fcgi__policy *policy = &resource->policy;
  fcgi__told *told = fcgi__calloc(&resource->allocator, sizeof *told);
  if (!told)
    return FCGI_ERR_NOMEM;
  told->row = policy->row;
  if (policy->row)
    told->shown = policy->stats;
  policy->row = NULL;
  policy->told = told;
  return 0;
}

int fcgi_resource_tell(fcgi_resource *resource,
                       const fcgi_resource_stats *pool) {
  int error = 0;
  if (pool->size < sizeof pool->size || pool->size > sizeof *pool)
    return FCGI_ERR_INVALID;
  if (fcgi__process_is_other(&resource->process))
    return 0;
  pthread_mutex_lock(&resource->lock);
  if (!resource->policy.told)
    error = begin(resource);
  if (!error) {
    memcpy(&resource->policy.told->pool, pool, pool->size);
    show(&resource->policy);
  }
  pthread_mutex_unlock(&resource->lock);
  return error;
}
