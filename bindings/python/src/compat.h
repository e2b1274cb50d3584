/* SPDX-License-Identifier: MIT */
/* What newer CPythons offer, for all from 3.10 on. */
#ifndef FASTCGI_PYTHON_COMPAT_H
#define FASTCGI_PYTHON_COMPAT_H

#include <Python.h>

#if PY_VERSION_HEX < 0x030d0000
#define PyThreadState_GetUnchecked _PyThreadState_UncheckedGet

/* Without free threading the GIL guards every object. */
#define Py_BEGIN_CRITICAL_SECTION(object) {
#define Py_END_CRITICAL_SECTION()         }

static inline PyObject *PyList_GetItemRef(PyObject *list, Py_ssize_t index) {
  return Py_XNewRef(PyList_GetItem(list, index));
}
#endif

/* PyArg_ParseTupleAndKeywords; the names became const in 3.13 only. */
static inline int args_parse(PyObject *args, PyObject *kwargs,
                             const char *format, const char *const *names,
                             ...) {
  va_list list;
  va_start(list, names);
  int ok = PyArg_VaParseTupleAndKeywords(args, kwargs, format,
                                         (char **)(uintptr_t)names, list);
  va_end(list);
  return ok;
}

#endif
