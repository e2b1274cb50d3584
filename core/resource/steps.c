/* SPDX-License-Identifier: MIT */
/* The steps, which the caller carries out without the lock. */
#include "os/clock.h"
#include "resource/resource.h"
#include <fastcgi/error.h>
#include <stdio.h>
#include <string.h>

/* A thread that waits for a handle. */
typedef struct sleeper {
  fcgi__waiter waiter;    /* Its place in the queue. */
  pthread_cond_t changed; /* It is to look again. */
} sleeper;

/* The waiter is the first member. */
static void wake(fcgi__waiter *waiter) {
  sleeper *who = (sleeper *)waiter;
  pthread_cond_signal(&who->changed);
}

static void sleep_until(sleeper *who, pthread_mutex_t *lock, long long when) {
  const struct timespec until = {.tv_sec = (time_t)(when / 1000),
                                 .tv_nsec = (long)(when % 1000) * 1000000};
  if (when >= FCGI__RESOURCE_NEVER)
    pthread_cond_wait(&who->changed, lock);
  else
    pthread_cond_timedwait(&who->changed, lock, &until);
}

static int look_again(fcgi__policy *policy, fcgi__ask *ask,
                      fcgi__waiter *waiter, long long now, fcgi_handle **out) {
  if (!waiter->given)
    return fcgi__policy_take(policy, ask, now, out);
  *out = waiter->given;
  return fcgi__policy_given(policy, waiter->given, now);
}

/* Whoever leaves the queue has the next one look: there may be room for two. */
static int wait_for_one(fcgi_resource *resource, fcgi__ask *ask, long long now,
                        fcgi_handle **out) {
  fcgi__policy *policy = &resource->policy;
  sleeper who = {.waiter = {.ask = ask, .wake = wake}};
  long long since = now;
  int result = FCGI__RESOURCE_WAIT;
  pthread_condattr_t monotonic;
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init(&who.changed, &monotonic);
  pthread_condattr_destroy(&monotonic);
  ask->queue = &who.waiter;
  fcgi__policy_queue(policy, &who.waiter);
  while (result == FCGI__RESOURCE_WAIT &&
         !fcgi__policy_is_late(policy, ask, now)) {
    sleep_until(&who, &resource->lock, fcgi__policy_look_at(policy, ask, now));
    now = fcgi__now();
    result = look_again(policy, ask, &who.waiter, now, out);
  }
  fcgi__policy_unqueue(policy, &who.waiter);
  fcgi__policy_wake(policy);
  fcgi__policy_waited(policy, now - since);
  pthread_cond_destroy(&who.changed);
  return result;
}

/* What went wrong, in one line. */
static void explain(fcgi_resource *resource, int error) {
  const fcgi__policy *policy = &resource->policy;
  char *out = resource->message;
  size_t len = sizeof resource->message;
  const char *name = resource->name;
  if (error == FCGI_ERR_TIMEOUT && policy->away)
    snprintf(out, len, "resource '%s' cannot be opened: %.160s", name,
             resource->cause[0] ? resource->cause : "open has failed");
  else if (error == FCGI_ERR_TIMEOUT && policy->crowded)
    snprintf(out, len,
             "resource '%s': all that limit_total allows the workers were in "
             "use for %lld ms; raise it, or have them for a shorter time",
             name, policy->acquire);
  else if (error == FCGI_ERR_TIMEOUT)
    snprintf(
        out, len,
        "resource '%s': none of %u was free within %lld ms; allow more, or "
        "have them for a shorter time",
        name, policy->most, policy->acquire);
  else if (error == FCGI_ERR_CLOSED)
    snprintf(out, len, "resource '%s' is closed", name);
  else if (error == FCGI_ERR_STATE)
    snprintf(out, len,
             "resource '%s': another request has the handle of this thread, or "
             "a callback takes its own resource; a pool has several",
             name);
  else
    snprintf(out, len, "resource '%s': %s", name, fcgi_error_text(error));
}

/* The lock is held. */
static int refuse(fcgi_resource *resource, const fcgi__ask *ask, int error) {
  resource->policy.stats.refused++;
  fcgi__policy_note(&resource->policy, FCGI_METRIC_RESOURCES_REFUSED, 1);
  if (ask->holder && error == FCGI_ERR_TIMEOUT)
    fcgi__holder_refused(ask->holder, resource);
  explain(resource, error);
  return error;
}

static __attribute__((noinline)) int refuse_fork(fcgi_resource *resource) {
  snprintf(resource->message, sizeof resource->message,
           "resource '%s' belongs to the process %ld, of which this one is a "
           "fork; make one here, or renew it",
           resource->name, (long)resource->process.pid);
  return FCGI_ERR_STATE;
}

/* The fields that only a wait needs are set by it. */
static inline void ask_for(fcgi__ask *ask, const fcgi_resource *resource,
                           fcgi_holder *holder) {
  ask->holder = holder;
  ask->thread = (uintptr_t)pthread_self();
  ask->own = resource->policy.scope == FCGI_RESOURCE_THREAD
                 ? pthread_getspecific(resource->key)
                 : NULL;
  ask->queue = NULL;
  ask->keep = 0;
}

/* Without memory for its key the thread would not find its handle again. The
   lock is held. */
static int keep_own(fcgi_resource *resource, fcgi_handle *handle, int step) {
  if (pthread_setspecific(resource->key, handle) == 0)
    return step;
  fcgi__policy_cancel(&resource->policy, handle);
  return FCGI_ERR_NOMEM;
}

/* What is not as usual: it takes a wait or a step, fails, or is the first of a
   thread. The lock is held. */
static __attribute__((noinline)) int take_slowly(fcgi_resource *resource,
                                                 fcgi__ask *ask, unsigned flags,
                                                 int result, long long now,
                                                 fcgi_handle **out) {
  fcgi__policy *policy = &resource->policy;
  if (result == FCGI__RESOURCE_WAIT)
    result = flags & FCGI_TAKE_NOW && !fcgi__policy_is_late(policy, ask, now)
                 ? FCGI_ERR_AGAIN
                 : wait_for_one(resource, ask, now, out);
  if (result == FCGI__RESOURCE_WAIT)
    result = FCGI_ERR_TIMEOUT;
  if (*out && *out != ask->own && policy->scope == FCGI_RESOURCE_THREAD)
    result = keep_own(resource, *out, result);
  else if (*out && !ask->holder && policy->scope != FCGI_RESOURCE_THREAD)
    (void)pthread_setspecific(resource->key, *out); /* For thread_ended. */
  if (result < 0 && result != FCGI_ERR_AGAIN)
    refuse(resource, ask, result);
  return result;
}

int fcgi_resource_begin_take(fcgi_resource *resource, fcgi_holder *holder,
                             unsigned flags, long long *until,
                             fcgi_handle **out) {
  fcgi__ask ask;
  long long now;
  int result;
  *out = NULL;
  if (fcgi__process_is_other(&resource->process))
    return refuse_fork(resource);
  ask_for(&ask, resource, holder);
  ask.keep = (flags & FCGI_TAKE_KEEP) != 0;
  now = fcgi__now();
  if (*until == 0)
    *until = now + resource->policy.acquire;
  ask.until = *until;
  pthread_mutex_lock(&resource->lock);
  result = fcgi__policy_take(&resource->policy, &ask, now, out);
  if (result != FCGI_RESOURCE_READY ||
      (*out != ask.own &&
       (!holder || resource->policy.scope == FCGI_RESOURCE_THREAD)))
    result = take_slowly(resource, &ask, flags, result, now, out);
  pthread_mutex_unlock(&resource->lock);
  return result;
}

static __attribute__((noinline)) void refuse_give(fcgi_resource *resource) {
  snprintf(resource->message, sizeof resource->message,
           "resource '%s' is given back by somebody who has not taken it",
           resource->name);
}

int fcgi_resource_begin_give(fcgi_resource *resource, fcgi_holder *holder,
                             void **place, fcgi_handle **out) {
  fcgi__ask ask;
  fcgi_handle *handle;
  long long now;
  int result = FCGI_ERR_STATE;
  *out = NULL;
  *place = NULL;
  if (fcgi__process_is_other(&resource->process))
    return refuse_fork(resource);
  ask_for(&ask, resource, holder);
  now = fcgi__now();
  pthread_mutex_lock(&resource->lock);
  handle = fcgi__policy_held(&resource->policy, &ask);
  if (handle)
    result = fcgi__policy_give(&resource->policy, handle, 0, place, now);
  if (result < 0)
    refuse_give(resource);
  else
    *out = handle;
  pthread_mutex_unlock(&resource->lock);
  return result;
}

fcgi_handle *fcgi_resource_held(fcgi_resource *resource, fcgi_holder *holder) {
  fcgi__ask ask;
  fcgi_handle *handle;
  if (fcgi__process_is_other(&resource->process))
    return NULL;
  ask_for(&ask, resource, holder);
  pthread_mutex_lock(&resource->lock);
  handle = fcgi__policy_held(&resource->policy, &ask);
  pthread_mutex_unlock(&resource->lock);
  return handle;
}

int fcgi_resource_invalidate(fcgi_resource *resource, fcgi_holder *holder) {
  fcgi_handle *handle;
  if (fcgi__process_is_other(&resource->process))
    return refuse_fork(resource);
  handle = fcgi_resource_held(resource, holder);
  if (!handle)
    return FCGI_ERR_STATE;
  pthread_mutex_lock(&resource->lock);
  fcgi__policy_invalidate(&resource->policy, handle);
  pthread_mutex_unlock(&resource->lock);
  return 0;
}

/* A handle that another thread gives back at this moment is gone when the lock
   is there. */
int fcgi_holder_begin_end(fcgi_holder *holder, void **place,
                          fcgi_handle **out) {
  fcgi_handle *handle = fcgi__holder_first(holder);
  int step = FCGI_RESOURCE_READY;
  *out = NULL;
  *place = NULL;
  if (!handle || fcgi__process_is_other(&handle->resource->process))
    return step;
  fcgi_resource *resource = handle->resource;
  long long now = fcgi__now();
  pthread_mutex_lock(&resource->lock);
  if (handle->state == FCGI__HANDLE_HELD && handle->holder == holder)
    step = fcgi__policy_give(&resource->policy, handle, 1, place, now);
  pthread_mutex_unlock(&resource->lock);
  *out = handle;
  return step;
}

int fcgi_resource_begin_tidy(fcgi_resource *resource,
                             fcgi_resource_tidying what, fcgi_handle **out) {
  int step;
  *out = NULL;
  if (fcgi__process_is_other(&resource->process))
    return FCGI_RESOURCE_READY;
  long long now = fcgi__now();
  pthread_mutex_lock(&resource->lock);
  step = fcgi__policy_tidy(&resource->policy, what, (uintptr_t)pthread_self(),
                           now, out);
  pthread_mutex_unlock(&resource->lock);
  return step;
}

void fcgi_handle_explain(fcgi_handle *handle, const char *why) {
  fcgi_resource *resource = handle->resource;
  if (fcgi__process_is_other(&resource->process))
    return;
  pthread_mutex_lock(&resource->lock);
  snprintf(resource->cause, sizeof resource->cause, "%s", why);
  pthread_mutex_unlock(&resource->lock);
}

/* The lock is held. */
static void tell_failure(fcgi_resource *resource, int error) {
  const char *fault = resource->policy.fault;
  resource->policy.stats.refused++;
  fcgi__policy_note(&resource->policy, FCGI_METRIC_RESOURCES_REFUSED, 1);
  if (error == FCGI_ERR_STATE)
    snprintf(resource->message, sizeof resource->message,
             "resource '%s': what a callback did was begun by the process of "
             "which this one is a fork",
             resource->name);
  else
    snprintf(resource->message, sizeof resource->message,
             error == FCGI_ERR_TIMEOUT ? "resource '%s': none was free: %.160s"
                                       : "resource '%s' cannot be opened: "
                                         "%.160s",
             resource->name, fault ? fault : resource->cause);
}

/* A step in a child that its callback has forked is the parent's. */
int fcgi_handle_done(fcgi_handle *handle, int outcome) {
  fcgi_resource *resource = handle->resource;
  int result;
  if (fcgi__process_is_other(&resource->process))
    return refuse_fork(resource);
  long long now = fcgi__now();
  pthread_mutex_lock(&resource->lock);
  result = fcgi__policy_done(&resource->policy, handle, outcome, now);
  if (result < 0 && result != FCGI_ERR_AGAIN)
    tell_failure(resource, result);
  pthread_mutex_unlock(&resource->lock);
  return result;
}

void fcgi__resource_abandon(fcgi_handle *handle) {
  fcgi_resource *resource = handle->resource;
  pthread_mutex_lock(&resource->lock);
  if (handle->state == FCGI__HANDLE_HELD)
    fcgi__policy_abandon(&resource->policy, handle);
  pthread_mutex_unlock(&resource->lock);
}
