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

/* A number that changes with every change of a dict. Python 3.12 has deprecated
   it without anything instead, 3.14 has none; without a GIL nobody can go by
   it. */
#if PY_VERSION_HEX < 0x030e0000 && !defined(Py_GIL_DISABLED)
#define COMPAT_DICT_VERSION 1
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
static inline uint64_t compat_dict_version(PyObject *dict) {
  return ((PyDictObject *)dict)->ma_version_tag;
}
#pragma GCC diagnostic pop
#else
#define COMPAT_DICT_VERSION 0
static inline uint64_t compat_dict_version(PyObject *dict) {
  (void)dict;
  return 0;
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
