/* SPDX-License-Identifier: MIT */
/* The WSGI environ (PEP 3333), made quickly: each serving thread keeps the
   one of its previous request and changes only what differs. */
#ifndef FASTCGI_PYTHON_ENVIRON_H
#define FASTCGI_PYTHON_ENVIRON_H

#include "slots.h"

typedef struct environ_memo {
  PyObject *base;          /* The keys that every request has. */
  PyObject *last;          /* `base` and the last request's parameters but
                              those that come and go, which no application
                              sees; or NULL. */
  size_t dense;            /* Keys and gaps of `last` when it was made. */
  size_t room;             /* Keys that fitted in then without more memory. */
  unsigned unused;         /* Requests in a row that needed no such room. */
  derive_memo derived;     /* What of `last` is derived. */
  request_object *request; /* Whose `last` is, which holds it, or NULL. */
  PyObject *aborted;       /* Its callable, also in `last`. */
  int collects;            /* 1: bodies are whole, so have a length. */
  slot_table slots;        /* What `last` has of the parameters. */
} environ_memo;

/* Begin; `multithread` and `multiprocess` are what those keys say, `cgi`
   whether a CGI server starts a process for each request. */
int environ_init(environ_memo *self, core_state *state, int multithread,
                 int multiprocess, int cgi);
void environ_clear(environ_memo *self);

/* A new dict for `request`, whose handle the caller uses. */
PyObject *environ_make(environ_memo *self, request_object *request);

/* References to `request` that are held here; -1 when others hold what refers
   to it. */
int environ_holds(const environ_memo *self, const request_object *request);

/* Let go of the request. */
void environ_release(environ_memo *self);

#endif
