/* SPDX-License-Identifier: MIT */
#include "resource/holder.h"
#include "base/alloc.h"
#include "resource/resource.h"
#include <fastcgi/error.h>

fcgi_handle *fcgi__holder_first(fcgi_holder *holder) {
  return atomic_load_explicit(&holder->first, memory_order_acquire);
}

/* There are two of one resource where two threads took at once. */
fcgi_handle *fcgi__holder_find(fcgi_holder *holder,
                               const fcgi_resource *resource,
                               uintptr_t thread) {
  fcgi_handle *at, *found = NULL;
  if (!fcgi__holder_first(holder))
    return NULL;
  fcgi__holder_lock(holder);
  at = atomic_load_explicit(&holder->first, memory_order_relaxed);
  for (; at; at = at->beside) {
    if (at->resource != resource)
      continue;
    if (at->thread == thread) {
      found = at;
      break;
    }
    if (!found)
      found = at;
  }
  fcgi__holder_unlock(holder);
  return found;
}

/* The list is as long as the resources that one request uses. */
void fcgi__holder_remove_inner(fcgi_holder *holder, fcgi_handle *handle) {
  fcgi_handle *at = atomic_load_explicit(&holder->first, memory_order_relaxed);
  while (at && at->beside != handle)
    at = at->beside;
  if (at)
    at->beside = handle->beside;
}

/* The list is a copy, and perhaps locked by a thread that is not here. */
void fcgi__holder_drop(fcgi_holder *holder, fcgi_handle *handle) {
  fcgi__holder_unlock(holder);
  fcgi__holder_remove(holder, handle);
  handle->holder = NULL;
}

void fcgi__holder_abandon(fcgi_holder *holder) {
  fcgi_handle *handle;
  while ((handle = fcgi__holder_first(holder)) != NULL)
    if (fcgi_resource_forked(handle->resource))
      fcgi__holder_drop(holder, handle);
    else
      fcgi__resource_abandon(handle);
}

fcgi_handle *fcgi_holder_first(fcgi_holder *holder) {
  return fcgi__holder_first(holder);
}

int fcgi_holder_is_busy(const fcgi_holder *holder) {
  return atomic_load_explicit(&holder->first, memory_order_acquire) != NULL;
}

void fcgi_holder_begin(fcgi_holder *holder) {
  atomic_store_explicit(&holder->retry, 0, memory_order_relaxed);
}

void fcgi_holder_want_retry(fcgi_holder *holder) {
  atomic_fetch_or(&holder->retry, FCGI__RETRY_ASKED);
}

static int has_retrying(fcgi_holder *holder) {
  fcgi_handle *at;
  fcgi__holder_lock(holder);
  at = atomic_load_explicit(&holder->first, memory_order_relaxed);
  while (at && !at->resource->policy.retry)
    at = at->beside;
  fcgi__holder_unlock(holder);
  return at != NULL;
}

/* Only after a failure: takes need not note what they took. */
int fcgi_holder_wants_retry(fcgi_holder *holder) {
  if (atomic_load(&holder->retry) & (FCGI__RETRY_ASKED | FCGI__RETRY_BROKEN))
    return 1;
  return fcgi__holder_first(holder) && has_retrying(holder);
}

void fcgi__holder_again(fcgi_holder *holder) {
  atomic_fetch_and(&holder->retry,
                   ~(unsigned)(FCGI__RETRY_BROKEN | FCGI__RETRY_OTHER));
  atomic_store(&holder->wanted, 0);
}

/* One that a program has made. */
typedef struct own_holder {
  fcgi_holder holder;       /* What the program has. */
  fcgi_allocator allocator; /* Where it comes from. */
} own_holder;

int fcgi_holder_new(fcgi_holder **out, const fcgi_allocator *allocator) {
  const fcgi_allocator given = fcgi__allocator(allocator);
  own_holder *own = fcgi__calloc(&given, sizeof *own);
  if (!own)
    return FCGI_ERR_NOMEM;
  own->allocator = given;
  *out = &own->holder;
  return 0;
}

void fcgi_holder_free(fcgi_holder *holder) {
  fcgi_allocator allocator;
  if (!holder)
    return;
  fcgi_holder_end(holder);
  fcgi__holder_abandon(holder);
  allocator = ((own_holder *)holder)->allocator;
  fcgi__free(&allocator, holder);
}
