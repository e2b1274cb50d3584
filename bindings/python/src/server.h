/* SPDX-License-Identifier: MIT */
/* The Python object for a server. */
#ifndef FASTCGI_PYTHON_SERVER_H
#define FASTCGI_PYTHON_SERVER_H

#include "state.h"
#include <stdatomic.h>

/* How long a wait that must notice Python's signals lasts at most: a signal
   that arrives just before the wait begins does not interrupt it. */
#define SERVER_SIGNAL_MS 500

typedef struct server_object {
  PyObject_HEAD
  fcgi_stopper *stopper; /* Stops it by signals, or NULL. */
  core_state *state;     /* The module's. */
  fcgi_server *core;     /* NULL before __init__ and after the last hold. */
  atomic_int holds;      /* The object itself, open requests, running calls. */
  atomic_int closed;     /* 1 once close() gave up the object's own hold. */
  atomic_int stopped;    /* 1 once the core said that all is finished. */
  atomic_int hurried;    /* 1 once stopped at once: what runs is aborted. */
  PyObject *roles;       /* Names by number, a dict, or NULL: the standard's. */
  PyObject **headers;    /* ASGI: the last header of each known name, a pair
                            of bytes, or NULL. */
  int inherits;          /* 1: a listener of its is another process's too. */
  int collects;          /* 1: a request begins when its body is whole. */
} server_object;

/* Keep the core server alive; 0 when it is already gone. Needs no GIL. */
int server_hold(server_object *self);

/* Give a hold back; the last one frees the core server. Needs no GIL. */
void server_drop(server_object *self);

/* server_hold, or 0 with an exception. */
int server_enter(server_object *self);
/* Give text, or NULL with an exception, to fcgi_server_log; clears what is
   set. */
void server_log(server_object *self, fcgi_log_level level, PyObject *text);

/* Take the next request into `*out`: 1, 0 when `timeout_ms` passed, or -1 with
   an exception, or -2 when the server has stopped. Called with the GIL, waits
   without it, runs Python's signal handlers. */
int server_take(server_object *self, fcgi_request **out, int timeout_ms);

/* Have the slow log show Python's stack, once the core server is there; and
   free that, with the GIL or without it. */
void trace_init(server_object *self);
void trace_free_server(fcgi_server *server);

/* Server.set_roles, and the name of a role: new, NULL with an exception. */
PyObject *roles_method_set(PyObject *self, PyObject *roles);
PyObject *roles_name(server_object *self, unsigned number);

/* Server.run: serve on the calling thread. */
PyObject *loop_method_run(PyObject *self, PyObject *args, PyObject *kwargs);

/* What an event loop of Python's calls. */
PyObject *asgi_method_open(PyObject *self, PyObject *unused);
PyObject *asgi_method_withhold(PyObject *self, PyObject *flag);
PyObject *asgi_method_turn(PyObject *self, PyObject *begin);
void asgi_forget_headers(server_object *self);

#endif
