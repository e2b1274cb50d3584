/* SPDX-License-Identifier: MIT */
/* What an operation of a shared dictionary is called with. The functions set an
   exception where they return -1 or NULL. */
#ifndef FASTCGI_PYTHON_SHARED_H
#define FASTCGI_PYTHON_SHARED_H

#include "state.h"

typedef struct shared_key {
  PyObject *owner;  /* A reference to what the bytes are part of. */
  const char *data; /* The bytes. */
  Py_ssize_t len;   /* Their number. */
} shared_key;

/* Takes a str or bytes; the caller drops the reference to the owner. */
int shared_key_take(shared_key *out, PyObject *key);

/* Seconds, or NULL or None for no end, as milliseconds or 0. */
int shared_ttl_take(int64_t *out, PyObject *ttl);

/* An int of 64 bits. */
int shared_integer_take(int64_t *out, PyObject *value);

/* A value, without its time; bytes are lent from `view`, which the caller
   releases. */
int shared_value_take(fcgi_shared_value *out, PyObject *value, Py_buffer *view);

/* A new object of a value. */
PyObject *shared_value_make(const fcgi_shared_value *value);

#endif
