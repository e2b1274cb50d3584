/* SPDX-License-Identifier: MIT */
/* Keys, values and times of shared dictionaries, from Python and back. */
#include "shared.h"
#include <math.h>
#include <string.h>

int shared_key_take(shared_key *out, PyObject *key) {
  if (PyUnicode_Check(key))
    out->owner = PyUnicode_AsEncodedString(key, "utf-8", "surrogateescape");
  else if (PyBytes_Check(key))
    out->owner = Py_NewRef(key);
  else
    return PyErr_Format(PyExc_TypeError, "a key is str or bytes, not %.100s",
                        Py_TYPE(key)->tp_name),
           -1;
  if (out->owner == NULL)
    return -1;
  out->data = PyBytes_AS_STRING(out->owner);
  out->len = PyBytes_GET_SIZE(out->owner);
  if (out->len > 0 && out->len <= FCGI_SHARED_KEY)
    return 0;
  Py_DECREF(out->owner);
  PyErr_Format(PyExc_ValueError, "a key has 1 to %d bytes, not %zd",
               FCGI_SHARED_KEY, out->len);
  return -1;
}

int shared_ttl_take(int64_t *out, PyObject *ttl) {
  double seconds;
  *out = 0;
  if (ttl == NULL || ttl == Py_None)
    return 0;
  seconds = PyFloat_AsDouble(ttl);
  if (seconds == -1.0 && PyErr_Occurred())
    return -1;
  if (!(seconds > 0) || seconds > 1e12) {
    PyErr_SetString(PyExc_ValueError,
                    "a ttl is a number of seconds above 0, or None");
    return -1;
  }
  *out = (int64_t)ceil(seconds * 1000);
  return 0;
}

int shared_integer_take(int64_t *out, PyObject *value) {
  int overflow;
  *out = PyLong_AsLongLongAndOverflow(value, &overflow);
  if (overflow)
    PyErr_SetString(PyExc_OverflowError,
                    "an integer of a shared dictionary has 64 bits");
  return overflow || PyErr_Occurred() ? -1 : 0;
}

int shared_value_take(fcgi_shared_value *out, PyObject *value,
                      Py_buffer *view) {
  *out = (fcgi_shared_value){.kind = FCGI_SHARED_BOOLEAN};
  if (PyBool_Check(value)) {
    out->integer = value == Py_True;
  } else if (PyLong_Check(value)) {
    out->kind = FCGI_SHARED_INTEGER;
    return shared_integer_take(&out->integer, value);
  } else if (PyFloat_Check(value)) {
    out->kind = FCGI_SHARED_REAL;
    out->real = PyFloat_AS_DOUBLE(value);
  } else if (PyUnicode_Check(value)) {
    Py_ssize_t len;
    out->kind = FCGI_SHARED_STRING;
    out->data = PyUnicode_AsUTF8AndSize(value, &len);
    out->len = (size_t)len;
    return out->data == NULL ? -1 : 0;
  } else if (PyObject_CheckBuffer(value)) {
    if (PyObject_GetBuffer(value, view, PyBUF_SIMPLE) < 0)
      return -1;
    out->kind = FCGI_SHARED_BYTES;
    out->data = view->buf;
    out->len = (size_t)view->len;
  } else {
    PyErr_Format(PyExc_TypeError,
                 "a value is bytes, str, int, float or bool, not %.100s",
                 Py_TYPE(value)->tp_name);
    return -1;
  }
  return 0;
}

PyObject *shared_value_make(const fcgi_shared_value *value) {
  switch (value->kind) {
  case FCGI_SHARED_BYTES:
    return PyBytes_FromStringAndSize(value->data, (Py_ssize_t)value->len);
  case FCGI_SHARED_STRING:
    return PyUnicode_DecodeUTF8(value->data, (Py_ssize_t)value->len, NULL);
  case FCGI_SHARED_REAL:
    return PyFloat_FromDouble(value->real);
  case FCGI_SHARED_INTEGER:
    return PyLong_FromLongLong(value->integer);
  default:
    return PyBool_FromLong((long)value->integer);
  }
}
