/* SPDX-License-Identifier: MIT */
/* What the policy begins with, who waits, and what is tidied up. */
#include "base/config.h"
#include "resource/policy.h"
#include <fastcgi/error.h>
#include <stdio.h>
#include <string.h>

enum {
  MOST = 8,            /* Handles of a pool that does not say. */
  ACQUIRE_MS = 5000,   /* Longest wait. */
  CHECK_MS = 30000,    /* Rest before a check. */
  AGE_MS = 3600000,    /* Until one is replaced. */
  IDLE_MS = 600000,    /* Rest until one is closed. */
  LARGEST_POOL = 65536 /* More would be a slip. */
};

static long long time_of(int given, int usual) {
  if (given == FCGI_WAIT_FOREVER)
    return FCGI__RESOURCE_NEVER;
  if (given == FCGI_WAIT_NEVER)
    return 0;
  return given == 0 ? usual : given;
}

/* What is wrong with a configuration, or NULL. */
static const char *fault_of(const fcgi_resource_config *config) {
  if ((unsigned)config->scope >= FCGI_RESOURCE_SCOPES)
    return "scope is none of thread, worker and pool";
  if ((unsigned)config->retry >= FCGI_RETRIES)
    return "retry is neither never nor safe";
  if (config->most > LARGEST_POOL)
    return "a pool has 65536 handles at most";
  if (config->scope == FCGI_RESOURCE_POOL &&
      config->least > (config->most ? config->most : MOST))
    return "least is larger than most";
  if (config->acquire_timeout_ms < FCGI_WAIT_NEVER ||
      config->check_after_ms < FCGI_WAIT_NEVER)
    return "a time is negative";
  if (config->max_age_ms < FCGI_WAIT_FOREVER ||
      config->max_idle_ms < FCGI_WAIT_FOREVER)
    return "max_age_ms and max_idle_ms are times, or FCGI_WAIT_FOREVER";
  if (!config->steps && !config->open)
    return "there is no callback to open one";
  if (config->limit_total > FCGI_RESOURCE_TOTAL)
    return "limit_total is 1024 at most";
  return NULL;
}

static unsigned wanted_of(const fcgi_resource_config *config) {
  unsigned always = 1u << FCGI_RESOURCE_OPEN | 1u << FCGI_RESOURCE_CLOSE;
  if (config->steps)
    return config->wanted | always;
  return always | (config->check ? 1u << FCGI_RESOURCE_CHECK : 0) |
         (config->reset ? 1u << FCGI_RESOURCE_RESET : 0);
}

int fcgi__policy_init(fcgi__policy *policy, const fcgi_resource_config *config,
                      char *why, size_t len) {
  const char *fault = fault_of(config);
  if (fault) {
    snprintf(why, len, "resource '%s': %s",
             config->name ? config->name : "resource", fault);
    return FCGI_ERR_INVALID;
  }
  policy->scope = config->scope;
  policy->most = config->most ? config->most : MOST;
  if (config->scope == FCGI_RESOURCE_WORKER)
    policy->most = 1;
  policy->least = config->least;
  policy->retry = config->retry == FCGI_RETRY_SAFE;
  policy->wanted = wanted_of(config);
  policy->acquire = time_of(config->acquire_timeout_ms, ACQUIRE_MS);
  policy->check_after = time_of(config->check_after_ms, CHECK_MS);
  policy->max_age = time_of(config->max_age_ms, AGE_MS);
  policy->max_idle = time_of(config->max_idle_ms, IDLE_MS);
  policy->last = &policy->first;
  return 0;
}

void fcgi__policy_queue(fcgi__policy *policy, fcgi__waiter *waiter) {
  waiter->next = NULL;
  waiter->queued = 1;
  *policy->last = waiter;
  policy->last = &waiter->next;
  policy->stats.waiting++;
  fcgi__policy_note(policy, FCGI_METRIC_RESOURCES_WAITING, 1);
}

void fcgi__policy_unqueue(fcgi__policy *policy, fcgi__waiter *waiter) {
  fcgi__waiter **at = &policy->first;
  if (!waiter->queued)
    return;
  while (*at != waiter)
    at = &(*at)->next;
  *at = waiter->next;
  if (policy->last == &waiter->next)
    policy->last = at;
  waiter->queued = 0;
  policy->stats.waiting--;
  fcgi__policy_note(policy, FCGI_METRIC_RESOURCES_WAITING, (uint64_t)-1);
}

void fcgi__policy_wake(fcgi__policy *policy) {
  if (policy->first)
    policy->first->wake(policy->first);
}

void fcgi__policy_wake_all(fcgi__policy *policy) {
  for (fcgi__waiter *at = policy->first; at; at = at->next)
    at->wake(at);
}

/* An outage that has lasted for longer than anybody waits makes nobody wait:
   threads that do would be missing for requests that need no database. */
static long long end_of(const fcgi__policy *policy, const fcgi__ask *ask) {
  long long outage = policy->away_since + policy->acquire;
  return policy->away && outage < ask->until ? outage : ask->until;
}

int fcgi__policy_is_late(const fcgi__policy *policy, const fcgi__ask *ask,
                         long long now) {
  return now >= end_of(policy, ask);
}

static int has_room(const fcgi__policy *policy) {
  return policy->scope == FCGI_RESOURCE_THREAD || policy->used < policy->most;
}

static long long sooner(long long one, long long other) {
  return one < other ? one : other;
}

/* Who is first in the queue makes the next attempt. Other processes do not wake
   it: where it needs a slot of the quota, it looks from time to time. */
long long fcgi__policy_look_at(const fcgi__policy *policy, const fcgi__ask *ask,
                               long long now) {
  long long end = end_of(policy, ask);
  if (policy->quota && policy->first == ask->queue && has_room(policy) &&
      (!policy->away || (!policy->trying && policy->try_at <= now)))
    return sooner(end, now + FCGI__QUOTA_POLL_MS);
  if (!policy->away || policy->trying || policy->first != ask->queue ||
      !has_room(policy) || policy->try_at > end)
    return end;
  return policy->try_at > now ? policy->try_at : now;
}

void fcgi__policy_waited(fcgi__policy *policy, long long ms) {
  unsigned bucket = 0;
  while (bucket < FCGI_RESOURCE_WAITS - 1 && ms >= 1ll << bucket)
    bucket++;
  policy->stats.waits[bucket]++;
  policy->stats.waited_ms += (uint64_t)ms;
  if (policy->row)
    atomic_fetch_add(&policy->row[FCGI__ROW_METRICS + bucket], 1);
  fcgi__policy_note(policy, FCGI_METRIC_RESOURCES_WAITED, 1);
  fcgi__policy_note(policy, FCGI_METRIC_RESOURCES_WAITED_MS, (uint64_t)ms);
}

/* 1: this thread may close it. */
static int is_ours(const fcgi__policy *policy, const fcgi_handle *handle,
                   fcgi_resource_tidying what, uintptr_t thread) {
  if (policy->scope != FCGI_RESOURCE_THREAD)
    return what != FCGI_RESOURCE_LEAVE;
  return what == FCGI_RESOURCE_ALL || handle->thread == 0 ||
         handle->thread == thread;
}

static unsigned fault_of_idle(const fcgi__policy *policy,
                              const fcgi_handle *handle,
                              fcgi_resource_tidying what, long long now) {
  unsigned fault = fcgi__policy_fault(policy, handle, now);
  if (fault)
    return fault;
  if (what != FCGI_RESOURCE_REAP ||
      (policy->scope == FCGI_RESOURCE_THREAD && handle->thread == 0))
    return 1 + FCGI_RESOURCE_BY_STOPPED;
  if (fcgi__policy_gives_way(policy, handle, now) ||
      (now - handle->rested >= policy->max_idle &&
       policy->stats.open > policy->least))
    return 1 + FCGI_RESOURCE_BY_IDLE;
  return 0;
}

static int is_short(const fcgi__policy *policy, fcgi_resource_tidying what,
                    long long now) {
  return what == FCGI_RESOURCE_REAP && policy->scope != FCGI_RESOURCE_THREAD &&
         !policy->closed && policy->used < policy->least &&
         fcgi__policy_may_open(policy, now);
}

int fcgi__policy_tidy(fcgi__policy *policy, fcgi_resource_tidying what,
                      uintptr_t thread, long long now, fcgi_handle **out) {
  *out = NULL;
  for (fcgi_handle *at = policy->all; at; at = at->next) {
    unsigned fault;
    if (at->state != FCGI__HANDLE_IDLE || !is_ours(policy, at, what, thread))
      continue;
    fault = fault_of_idle(policy, at, what, now);
    if (fault) {
      *out = at;
      return fcgi__policy_close(policy, at, fault, FCGI__RESTING);
    }
  }
  if (!is_short(policy, what, now) ||
      fcgi__policy_empty(policy, thread, 0, now, out))
    return FCGI_RESOURCE_READY;
  return fcgi__policy_open(policy, *out, FCGI__RESTING);
}

/* Their memory stays: a callback of the parent's that has come along may still
   report the step of one, which is then none. */
void fcgi__policy_forget(fcgi__policy *policy) {
  for (fcgi_handle *at = policy->all; at; at = at->next) {
    if (at->state == FCGI__HANDLE_HELD && at->holder)
      fcgi__holder_drop(at->holder, at);
    at->state = FCGI__HANDLE_EMPTY;
    at->step = FCGI_RESOURCE_READY;
    at->holder = NULL;
    at->thread = 0;
    at->slot = 0;
  }
  policy->all = NULL;
  policy->first = NULL;
  policy->last = &policy->first;
  policy->used = 0;
  policy->away = policy->trying = 0;
  policy->closed = 0;
  policy->stats = (fcgi_resource_stats){.size = sizeof policy->stats};
  policy->sink = NULL;
  policy->row = NULL;
  policy->noted = policy->quota != NULL;
  fcgi__told_forget(policy->told);
}

/* How things are now moves along; what was counted stays where it was. */
static void move(const fcgi__policy *policy, uint64_t sign) {
  const fcgi_resource_stats *stats = &policy->stats;
  fcgi__policy_note(policy, FCGI_METRIC_RESOURCES_OPEN, sign * stats->open);
  fcgi__policy_note(policy, FCGI_METRIC_RESOURCES_IN_USE, sign * stats->in_use);
  fcgi__policy_note(policy, FCGI_METRIC_RESOURCES_WAITING,
                    sign * stats->waiting);
}

/* What was counted before there was a server: an eager one was opened. */
static void catch_up(const fcgi__policy *policy) {
  const fcgi_resource_stats *stats = &policy->stats;
  uint64_t waited = 0;
  for (unsigned i = 0; i < FCGI_RESOURCE_WAITS; i++) {
    waited += stats->waits[i];
    atomic_fetch_add(&policy->row[FCGI__ROW_METRICS + i], stats->waits[i]);
  }
  fcgi__policy_note(policy, FCGI_METRIC_RESOURCES_OPENED, stats->opened);
  fcgi__policy_note(policy, FCGI_METRIC_RESOURCES_FAILED, stats->failed);
  fcgi__policy_note(policy, FCGI_METRIC_RESOURCES_REFUSED, stats->refused);
  fcgi__policy_note(policy, FCGI_METRIC_RESOURCES_WAITED, waited);
  fcgi__policy_note(policy, FCGI_METRIC_RESOURCES_WAITED_MS, stats->waited_ms);
  for (unsigned i = 0; i < FCGI_RESOURCE_CAUSES; i++)
    fcgi__policy_note(policy, FCGI_METRIC_CLOSED_CHECK + i, stats->closed[i]);
}

void fcgi__policy_count_in(fcgi__policy *policy, fcgi__sink *sink,
                           size_t offset) {
  void *row = sink ? (char *)sink->memory + offset : NULL;
  policy->sink = sink;
  if (policy->told) {
    fcgi__told_move(policy, row);
    return;
  }
  move(policy, (uint64_t)-1);
  policy->row = row;
  policy->noted = policy->row || policy->quota;
  move(policy, 1);
  if (sink && !policy->shown)
    catch_up(policy);
  policy->shown |= sink != NULL;
}
