/* SPDX-License-Identifier: MIT */
/* What becomes of the handles of a resource, as a state machine: it makes no
   system call unless a quota looks for dead processes, knows no thread and no
   database, and gets the time, in milliseconds, as an argument. Its caller has
   a lock around each call.

   Whatever a handle needs is a step that the caller carries out without the
   lock and reports; meanwhile the handle is BUSY and nobody else's. */
#ifndef FCGI_RESOURCE_POLICY_H
#define FCGI_RESOURCE_POLICY_H

#include "base/alloc.h"
#include "base/row.h"
#include "resource/holder.h"
#include "resource/quota.h"
#include "resource/sink.h"
#include "resource/told.h"
#include <fastcgi/resource.h>
#include <fastcgi/status.h>
#include <stdint.h>

enum {
  FCGI__RESOURCE_WAIT = 100 /* Beside the steps: none is free, or what it
                               connects to is away. */
};

typedef enum fcgi__handle_state {
  FCGI__HANDLE_EMPTY, /* Nothing is open. */
  FCGI__HANDLE_IDLE,  /* Open, and nobody has it. */
  FCGI__HANDLE_BUSY,  /* A step is being carried out. */
  FCGI__HANDLE_HELD   /* Somebody has it. */
} fcgi__handle_state;

/* What a step is part of. */
typedef enum fcgi__errand {
  FCGI__TAKING, /* Its holder gets it afterwards. */
  FCGI__RESTING /* It rests afterwards, or is empty. */
} fcgi__errand;

struct fcgi_handle {
  fcgi_resource *resource; /* What it is of. */
  fcgi_handle *next;       /* In the list of all of the resource. */
  fcgi_handle *beside;     /* In the list of its holder. */
  fcgi_holder *holder;     /* Who has it; NULL: a thread, or nobody. */
  uintptr_t thread;        /* Scope THREAD: whose it is, 0: nobody's any more.
                              Else: the thread that took it. */
  void *value;             /* What was opened. */
  void *place;             /* Where it was taken, as the taker says. */
  long long too_old;       /* When it is to be replaced. */
  long long rested;        /* Since when nobody has it. */
  unsigned depth;          /* Takes that are not given back. */
  unsigned trust;          /* The policy's when it last proved to work. */
  unsigned round;          /* The policy's when it was opened. */
  unsigned slot;           /* Its slot of the quota; 0: it needs none. */
  uint8_t state;           /* A fcgi__handle_state. */
  uint8_t errand;          /* A fcgi__errand. */
  uint8_t step;            /* The fcgi_resource_step under way. */
  uint8_t doom;            /* 1 + the fcgi_resource_cause why it is closed when
                              it is given back; 0: it is not. */
  uint8_t kept;            /* 1: until its holder ends. */
  uint8_t unended;         /* 1: its holder's end took it back. */
  uint8_t tries;           /* 1: it is the attempt while the other side is
                              away. */
};

static inline void fcgi__holder_add(fcgi_holder *holder, fcgi_handle *handle) {
  fcgi__holder_lock(holder);
  handle->beside = atomic_load_explicit(&holder->first, memory_order_relaxed);
  atomic_store_explicit(&holder->first, handle, memory_order_release);
  fcgi__holder_unlock(holder);
}

static inline void fcgi__holder_remove(fcgi_holder *holder,
                                       fcgi_handle *handle) {
  fcgi__holder_lock(holder);
  if (atomic_load_explicit(&holder->first, memory_order_relaxed) == handle)
    atomic_store_explicit(&holder->first, handle->beside, memory_order_release);
  else
    fcgi__holder_remove_inner(holder, handle);
  fcgi__holder_unlock(holder);
}

/* Who asks for a handle. */
typedef struct fcgi__ask {
  fcgi_holder *holder;        /* Who is to have it, or NULL. */
  uintptr_t thread;           /* The thread that asks, not 0. */
  fcgi_handle *own;           /* Scope THREAD: its handle, or NULL. */
  long long until;            /* When waiting ends. */
  struct fcgi__waiter *queue; /* Its place in the queue, or NULL. */
  int keep;                   /* 1: until the holder ends. */
} fcgi__ask;

/* One that waits; the thread that waits has its memory. */
typedef struct fcgi__waiter {
  struct fcgi__waiter *next; /* Who has come later. */
  const fcgi__ask *ask;      /* What for. */
  fcgi_handle *given;        /* BUSY for it, once it has left the queue. */
  int queued;                /* 1: it is in the queue. */
  void (*wake)(struct fcgi__waiter *waiter); /* Has it look again. */
} fcgi__waiter;

/* Times that are "never" are LLONG_MAX / 2, so that sums have room. */
#define FCGI__RESOURCE_NEVER (INT64_MAX / 2)

typedef struct fcgi__policy {
  fcgi_resource *resource;         /* Whose it is. */
  const fcgi_allocator *allocator; /* Of the handles. */
  fcgi_resource_scope scope;       /* As configured. */
  unsigned most;                   /* Handles at once; WORKER has one. */
  unsigned least;                  /* Handles that rest for ever. */
  int retry;                       /* 1: as FCGI_RETRY_SAFE says. */
  unsigned wanted;                 /* Steps that are taken, 1u << step. */
  long long acquire;               /* Longest wait. */
  long long check_after;           /* Rest before a check. */
  long long max_age;               /* Until one is replaced. */
  long long max_idle;              /* Rest until one is closed. */
  fcgi_handle *all;                /* Every handle, EMPTY ones too. */
  fcgi__waiter *first;             /* Who has waited longest. */
  fcgi__waiter **last;             /* Where the next one is put. */
  unsigned used;                   /* Handles that are not EMPTY. */
  unsigned trust;            /* Grows when one is found broken: what proved to
                                work before is checked. */
  unsigned round;            /* Grows with each drain: what was opened before
                                is closed. */
  int closed;                /* 1: no more is given out. */
  int away;                  /* 1: the last attempt to open failed. */
  int trying;                /* 1: somebody attempts while it is away. */
  unsigned tries;            /* Attempts since it went away. */
  long long away_since;      /* When it went away. */
  long long try_at;          /* When the next attempt may begin. */
  const char *fault;         /* What is wrong with what was opened last, or
                                NULL. */
  uint64_t random;           /* State of the random numbers. */
  fcgi_resource_stats stats; /* What is counted. */
  fcgi__sink *sink;          /* Where it is counted, too; or NULL. */
  _Atomic uint64_t *row;     /* Its numbers there (base/row.h), or NULL. */
  int shown;                 /* 1: there has been one. */
  fcgi__told *told;          /* What a pool of the program's counts, or NULL;
                                then `row` is NULL. */
  fcgi__quota *quota;        /* What all workers may have; NULL: no limit. */
  int crowded;               /* 1: the last one had to wait for that. */
  int noted;                 /* 1: there is a row or a quota. */
} fcgi__policy;

/* 1: another worker waits for the handle, which is to be closed once it
   rests. */
static inline int fcgi__policy_gives_way(const fcgi__policy *policy,
                                         const fcgi_handle *handle,
                                         long long now) {
  return handle->slot && fcgi__quota_is_asked(policy->quota, handle->slot, now);
}

/* Count for the status of a server, where there is one. */
static inline void fcgi__policy_note(const fcgi__policy *policy,
                                     fcgi_metric metric, uint64_t amount) {
  if (policy->row)
    atomic_fetch_add_explicit(&policy->row[fcgi__row_at(metric)], amount,
                              memory_order_relaxed);
}

/* Count at `offset` of `sink` from now on, or nowhere for NULL. */
void fcgi__policy_count_in(fcgi__policy *policy, fcgi__sink *sink,
                           size_t offset);

/* Takes what the configuration has, with its defaults: 0, or FCGI_ERR_INVALID
   with one line in `why`. */
int fcgi__policy_init(fcgi__policy *policy, const fcgi_resource_config *config,
                      char *why, size_t len);

/* The handle for `ask`: READY, a step, FCGI__RESOURCE_WAIT, or an error. */
int fcgi__policy_take(fcgi__policy *policy, fcgi__ask *ask, long long now,
                      fcgi_handle **out);
/* What a waiter that was given a handle does next, as after a take. */
int fcgi__policy_given(fcgi__policy *policy, fcgi_handle *handle,
                       long long now);
/* When one that must wait looks again at the latest. */
long long fcgi__policy_look_at(const fcgi__policy *policy, const fcgi__ask *ask,
                               long long now);
/* 1: one that must wait has waited for as long as it may. */
int fcgi__policy_is_late(const fcgi__policy *policy, const fcgi__ask *ask,
                         long long now);

/* Put a waiter at the end of the queue, and take it out. */
void fcgi__policy_queue(fcgi__policy *policy, fcgi__waiter *waiter);
void fcgi__policy_unqueue(fcgi__policy *policy, fcgi__waiter *waiter);
/* Have the first of the queue, or all, look again. */
void fcgi__policy_wake(fcgi__policy *policy);
void fcgi__policy_wake_all(fcgi__policy *policy);

/* The handle that the holder has or, without one, the thread; or NULL. The
   first is for scopes other than THREAD. */
fcgi_handle *fcgi__policy_found(fcgi__policy *policy, const fcgi__ask *ask);
static inline fcgi_handle *fcgi__policy_held(fcgi__policy *policy,
                                             const fcgi__ask *ask) {
  fcgi_handle *own = ask->own;
  if (policy->scope != FCGI_RESOURCE_THREAD)
    return fcgi__policy_found(policy, ask);
  return own && own->state == FCGI__HANDLE_HELD && own->holder == ask->holder
             ? own
             : NULL;
}

/* Give back one take of a handle that is held: READY or a step. At the holder's
   `end` all of them. `*place` gets its place when it was the last one. */
int fcgi__policy_give(fcgi__policy *policy, fcgi_handle *handle, int end,
                      void **place, long long now);
/* It is broken: close it when it is given back. */
void fcgi__policy_invalidate(fcgi__policy *policy, fcgi_handle *handle);
/* Nobody opens what a take was told to open. */
void fcgi__policy_cancel(fcgi__policy *policy, fcgi_handle *handle);
/* Nobody can give it back any more. The first of the queue looks again. */
void fcgi__policy_abandon(fcgi__policy *policy, fcgi_handle *handle);

/* Its step was carried out with this outcome: READY, the next step, or an
   error. */
int fcgi__policy_done(fcgi__policy *policy, fcgi_handle *handle, int outcome,
                      long long now);

/* What is to be tidied up next by this thread: a step with `*out`, or READY. */
int fcgi__policy_tidy(fcgi__policy *policy, fcgi_resource_tidying what,
                      uintptr_t thread, long long now, fcgi_handle **out);

/* Forget every handle, as a fork does: what is open is not closed. */
void fcgi__policy_forget(fcgi__policy *policy);

/* Count a take that has waited for so long. */
void fcgi__policy_waited(fcgi__policy *policy, long long ms);

/* For the files of the policy: an empty handle for a thread, `handle` unless
   that is NULL, that may be opened now, FCGI__RESOURCE_WAIT, or an error; open
   it as part of an errand; and what is wrong with a handle that rests, as
   1 + a fcgi_resource_cause, or 0. */
int fcgi__policy_empty(fcgi__policy *policy, uintptr_t thread, int asks,
                       long long now, fcgi_handle **handle);
int fcgi__policy_open(fcgi__policy *policy, fcgi_handle *handle,
                      fcgi__errand errand);
int fcgi__policy_may_open(const fcgi__policy *policy, long long now);
unsigned fcgi__policy_fault(const fcgi__policy *policy,
                            const fcgi_handle *handle, long long now);
int fcgi__policy_close(fcgi__policy *policy, fcgi_handle *handle, unsigned doom,
                       fcgi__errand errand);

#endif
