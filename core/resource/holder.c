/* SPDX-License-Identifier: MIT */
#include "resource/holder.h"
#include "base/alloc.h"
#include "resource/resource.h"
#include <fastcgi/error.h>
#include <sched.h>

static void lock(fcgi_holder *holder) {
  while (
      atomic_flag_test_and_set_explicit(&holder->locked, memory_order_acquire))
    sched_yield();
}

static void unlock(fcgi_holder *holder) {
  atomic_flag_clear_explicit(&holder->locked, memory_order_release);
}

fcgi_handle *fcgi__holder_first(fcgi_holder *holder) {
  return atomic_load_explicit(&holder->first, memory_order_acquire);
}

fcgi_handle *fcgi__holder_find(fcgi_holder *holder,
                               const fcgi_resource *resource) {
  fcgi_handle *at;
  if (!fcgi__holder_first(holder))
    return NULL;
  lock(holder);
  at = atomic_load_explicit(&holder->first, memory_order_relaxed);
  while (at && at->resource != resource)
    at = at->beside;
  unlock(holder);
  return at;
}

void fcgi__holder_add(fcgi_holder *holder, fcgi_handle *handle) {
  lock(holder);
  handle->beside = atomic_load_explicit(&holder->first, memory_order_relaxed);
  atomic_store_explicit(&holder->first, handle, memory_order_release);
  unlock(holder);
}

/* The list is as long as the resources that one request uses. */
void fcgi__holder_remove(fcgi_holder *holder, fcgi_handle *handle) {
  fcgi_handle *at;
  lock(holder);
  at = atomic_load_explicit(&holder->first, memory_order_relaxed);
  if (at == handle) {
    atomic_store_explicit(&holder->first, handle->beside, memory_order_release);
  } else {
    while (at && at->beside != handle)
      at = at->beside;
    if (at)
      at->beside = handle->beside;
  }
  unlock(holder);
  handle->beside = NULL;
}

void fcgi__holder_abandon(fcgi_holder *holder) {
  fcgi_handle *handle;
  while ((handle = fcgi__holder_first(holder)) != NULL)
    fcgi__resource_abandon(handle);
}

fcgi_handle *fcgi_holder_first(fcgi_holder *holder) {
  return fcgi__holder_first(holder);
}

int fcgi_holder_is_busy(const fcgi_holder *holder) {
  return atomic_load_explicit(&holder->first, memory_order_acquire) != NULL;
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
