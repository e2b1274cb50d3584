/* SPDX-License-Identifier: MIT */
/* Who has handles: a request, or whatever a program makes one for. Handles of
   several resources are in its list, each under its own lock, so the list has a
   lock of its own, which is held for a few steps. */
#ifndef FCGI_RESOURCE_HOLDER_H
#define FCGI_RESOURCE_HOLDER_H

#include <fastcgi/resource.h>
#include <sched.h>
#include <stdatomic.h>

struct fcgi_holder {
  _Atomic(fcgi_handle *) first; /* The handle that it took last, or NULL. */
  atomic_flag locked;           /* Set while a thread changes the list. */
  atomic_int wanted;            /* Whether it was refused a handle: 0 or
                                   FCGI__WANTED... */
  _Atomic(const fcgi_resource *) refuser; /* Who refused it one last: only to
                                             be compared, as it may be gone. */
  atomic_uint retry;                      /* An or of FCGI__RETRY_... */
};

/* It was refused a handle; the log has been told so, too. */
enum { FCGI__WANTED = 1, FCGI__WANTED_TOLD };

/* What a holder knows of a retry. */
enum {
  FCGI__RETRY_ASKED = 1,  /* It asks for a retry whatever breaks. */
  FCGI__RETRY_BROKEN = 2, /* A handle of a resource that retries broke. */
  FCGI__RETRY_OTHER = 4   /* A handle of another one broke. */
};

/* 1: a handle that it had broke, and a retry is wanted for that. */
static inline int fcgi__holder_is_to_retry(const fcgi_holder *holder) {
  unsigned bits = atomic_load_explicit(&holder->retry, memory_order_relaxed);
  return (bits & FCGI__RETRY_BROKEN) ||
         ((bits & FCGI__RETRY_ASKED) && (bits & FCGI__RETRY_OTHER));
}

/* `resource` has refused it a handle. */
static inline void fcgi__holder_refused(fcgi_holder *holder,
                                        const fcgi_resource *resource) {
  atomic_store(&holder->refuser, resource);
  atomic_store(&holder->wanted, FCGI__WANTED);
}

/* It is run again: nothing that it has is broken, and it was refused nothing.
 */
void fcgi__holder_again(fcgi_holder *holder);

/* The handle of `resource` that it has, or NULL; of several the one that
   `thread` has taken. The resource's lock is held. */
fcgi_handle *fcgi__holder_find(fcgi_holder *holder,
                               const fcgi_resource *resource, uintptr_t thread);
/* The first one that it has, or NULL. */
fcgi_handle *fcgi__holder_first(fcgi_holder *holder);

static inline void fcgi__holder_lock(fcgi_holder *holder) {
  while (
      atomic_flag_test_and_set_explicit(&holder->locked, memory_order_acquire))
    sched_yield();
}

static inline void fcgi__holder_unlock(fcgi_holder *holder) {
  atomic_flag_clear_explicit(&holder->locked, memory_order_release);
}

/* Take one that is not the first out of the list, which is locked. */
void fcgi__holder_remove_inner(fcgi_holder *holder, fcgi_handle *handle);

/* In a fork: the handle is the parent's, and goes out of the list. */
void fcgi__holder_drop(fcgi_holder *holder, fcgi_handle *handle);

/* Give back what it has, as fcgi_holder_end does; `tell` is called for each
   handle that was taken and not given back, before that is closed. */
typedef void (*fcgi__holder_tell)(const fcgi_handle *handle, const void *place,
                                  void *data);
unsigned fcgi__holder_end(fcgi_holder *holder, fcgi__holder_tell tell,
                          void *data);

/* It goes and nobody can give back: what it has is closed when the resource is
   tidied up, unless this is a fork. No callback is called. */
void fcgi__holder_abandon(fcgi_holder *holder);

#endif
