/* SPDX-License-Identifier: MIT */
/* The Python object for a resource: what is kept between requests, opened and
   closed by Python's functions. The policy is the core's; its steps are carried
   out here, with the GIL, so that no exception crosses the core. */
#ifndef FASTCGI_PYTHON_RESOURCE_H
#define FASTCGI_PYTHON_RESOURCE_H

#include "state.h"

typedef struct resource_object {
  PyObject_HEAD
  core_state *state;   /* The module's. */
  fcgi_resource *core; /* NULL before __init__. */
  PyObject *open;      /* Makes a value. */
  PyObject *check;     /* Tells whether a value works, or None. */
  PyObject *reset;     /* Makes a value fit for the next request, or None. */
  PyObject *broken;    /* Tells whether an exception means that the value is
                          broken, or None. */
  PyObject *error;     /* What the last attempt to open raised, or NULL. */
  atomic_uint noted;   /* Takes whose place was noted. */
  atomic_int unended;  /* 1: one was not given back. */
  _Atomic(const void *) shown; /* The server whose status counts it; never
                                  followed. */
} resource_object;

/* Where a handle was taken. The handle's place, which ends when it is given
   back. */
typedef struct resource_place {
  resource_object *resource; /* Kept alive while something is held. */
  PyObject *code;            /* The code object, or NULL. */
  int instruction;           /* The last one that ran, or -1. */
} resource_place;

/* Carry out steps until none is left: READY, or an error of the core. What must
   be raised in any case is put into `*raised`, a new reference. */
int resource_finish(fcgi_handle *handle, int step, PyObject **raised);

/* Note where the caller of this function takes the handle, once. */
void resource_note_place(resource_object *self, fcgi_handle *handle);
/* "app.py:12 in list_users": new, or NULL with an exception. */
PyObject *resource_place_text(const void *place);
/* The handle is given back. */
void resource_drop_place(void *place);

/* The holder of the thread that serves a request now, or NULL. */
struct serve_loop;
fcgi_holder *resource_holder(core_state *state);
struct serve_loop *resource_loop(core_state *state);
/* The status of the server that serves on this thread counts it from now on. */
void resource_show(resource_object *self);
/* The method _tell. */
PyObject *resource_tell(PyObject *object, PyObject *numbers);

/* Give back what the request of this loop has, when its handler has ended; the
   exception that it ends with stays set. */
void resource_end_request(struct serve_loop *loop);

/* What is counted, by name: new, or NULL with an exception. */
PyObject *resource_stats_dict(const fcgi_resource_stats *stats);

/* Milliseconds of the clock by which the core waits. */
long long resource_now(void);

/* How long a wait of at most `ms` may last, as fcgi_resource_tidy_ms says;
   whether it is time that this thread tidies up; and do it, or LEAVE.
   Exceptions are written to stderr. */
int resource_wait_ms(core_state *state, int ms);
int resource_tidying_due(struct serve_loop *loop);
/* 1: also a thread that always has another request must tidy up in time. */
static inline int resource_gives_way(core_state *state) {
  return atomic_load_explicit(&state->gives_way, memory_order_relaxed);
}
void resource_tidy_all(core_state *state, fcgi_resource_tidying what);

#endif
