/* SPDX-License-Identifier: MIT */
/* Parameters as Python strings: Latin-1, one character a byte (PEP 3333). */
#ifndef FASTCGI_PYTHON_PARAMS_H
#define FASTCGI_PYTHON_PARAMS_H

#include "state.h"

typedef struct params_text {
  const char *data; /* NULL when the parameter is absent. */
  size_t len;       /* Bytes in it. */
} params_text;

/* The parameter `name`, as fcgi_params_get has it. */
params_text params_get(const fcgi_params *params, const char *name);

/* A dict that maps each usual name to its one interned string, so that the
   keys of an environ are identical to the literals of an application. */
PyObject *params_known_names(void);

/* A new reference to the string for a name, interned when it is known. */
PyObject *params_name(core_state *state, const char *name, size_t len);

/* A new reference to the string for a value. */
PyObject *params_value(const char *value, size_t len);

/* Set every parameter in `dict`; of duplicates what fcgi_params_get says. */
int params_fill(core_state *state, PyObject *dict, const fcgi_params *params);

/* 1 for a name of our own keys, which nobody else may set. */
int params_is_ours(const char *name, size_t len);

/* 1 when `text`, a Latin-1 string, has exactly these bytes. */
static inline int params_equal(PyObject *text, const char *data, size_t len) {
  return (size_t)PyUnicode_GET_LENGTH(text) == len &&
         memcmp(PyUnicode_1BYTE_DATA(text), data, len) == 0;
}

#endif
