/* SPDX-License-Identifier: MIT */
/* Why the head of an answer was refused, for the person who wrote it. */
#include "params.h"
#include "reply.h"

#define NAME_SHOWN 80 /* Characters of a name in a message. */

/* "header 'X-A' has '\\n' in its value, which must be ..." */
static void name_culprit(const fcgi_header *header, fcgi_header_fault fault,
                         size_t at, const char *what, const char *kind) {
  int is_name = fault == FCGI_HEADER_BAD_NAME;
  size_t shown = header->name_len < NAME_SHOWN ? header->name_len : NAME_SHOWN;
  PyObject *name = params_value(header->name, shown);
  PyObject *culprit =
      params_value((is_name ? header->name : header->value) + at, 1);
  if (name != NULL && culprit != NULL)
    PyErr_Format(PyExc_ValueError,
                 "%s: %s %A has %A in its %s, which must be %s", what, kind,
                 name, culprit, is_name ? "name" : "value",
                 is_name ? "an HTTP token" : "without CR, LF and NUL");
  Py_XDECREF(name);
  Py_XDECREF(culprit);
}

void reply_refused(const reply *self, const char *what, const char *kind,
                   const char *why) {
  for (size_t i = 0; i < self->count; i++) {
    const fcgi_header *header = &self->headers[i];
    size_t at = 0;
    fcgi_header_fault fault = fcgi_header_check(header, &at);
    if (header->name_len == 0) {
      PyErr_Format(PyExc_ValueError, "%s: %s without a name", what, kind);
      return;
    }
    if (fault != FCGI_HEADER_GOOD) {
      name_culprit(header, fault, at, what, kind);
      return;
    }
  }
  PyErr_Format(PyExc_ValueError, "%s: %s", what, why);
}
