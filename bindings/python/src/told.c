/* SPDX-License-Identifier: MIT */
/* What the pool of another library counts, for the status. */
#include "resource.h"

/* The order of the numbers that _tell is given; _pools.py has the same. */
static void read_told(const uint64_t *told, fcgi_resource_stats *stats) {
  stats->open = (unsigned)*told++;
  stats->in_use = (unsigned)*told++;
  stats->waiting = (unsigned)*told++;
  stats->opened = *told++;
  stats->failed = *told++;
  stats->waited_ms = *told++;
  memcpy(stats->closed, told, sizeof stats->closed);
  memcpy(stats->waits, told + FCGI_RESOURCE_CAUSES, sizeof stats->waits);
}

PyObject *resource_tell(PyObject *object, PyObject *numbers) {
  enum { TOLD = 6 + FCGI_RESOURCE_CAUSES + FCGI_RESOURCE_WAITS };
  resource_object *self = (resource_object *)object;
  fcgi_resource_stats stats = {.size = sizeof stats};
  Py_buffer view;
  if (self->core == NULL)
    return error_set(self->state, FCGI_ERR_STATE,
                     "the resource is not initialised");
  if (PyObject_GetBuffer(numbers, &view, PyBUF_SIMPLE) < 0)
    return NULL;
  int fits = view.len == TOLD * sizeof(uint64_t);
  if (fits)
    read_told(view.buf, &stats);
  PyBuffer_Release(&view);
  if (!fits) {
    PyErr_Format(PyExc_ValueError, "_tell() takes %d numbers", (int)TOLD);
    return NULL;
  }
  int code = fcgi_resource_tell(self->core, &stats);
  if (code < 0)
    return error_set(self->state, code, NULL);
  resource_show(self);
  Py_RETURN_NONE;
}
