/* SPDX-License-Identifier: MIT */
/* The WSGI environ (PEP 3333), made quickly: each serving thread keeps the
   one of its previous request and changes only what differs. */
#ifndef FASTCGI_PYTHON_ENVIRON_H
#define FASTCGI_PYTHON_ENVIRON_H

#include "request.h"

#define ENVIRON_SLOTS 96 /* Requests with more parameters are built anew. */

typedef struct environ_slot {
  PyObject *name;  /* Of the parameter at this index in the last request. */
  PyObject *value; /* Its value. */
} environ_slot;

typedef struct environ_memo {
  PyObject *base; /* The keys that every request has. */
  PyObject *last; /* `base` and the last request's parameters, or NULL. */
  size_t count;   /* Slots in use. */
  environ_slot slots[ENVIRON_SLOTS]; /* The last request's parameters. */
} environ_memo;

/* Begin; `multithread` is what wsgi.multithread says, `cgi` whether a CGI
   server starts a process for each request. */
int environ_init(environ_memo *self, core_state *state, int multithread,
                 int cgi);
void environ_clear(environ_memo *self);

/* A new dict for `request`, whose handle the caller uses. */
PyObject *environ_make(environ_memo *self, request_object *request);

#endif
