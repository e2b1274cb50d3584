/* SPDX-License-Identifier: MIT */
/* Which roles a server serves. */
#include "server.h"

enum { ROLES_MOST = 64 }; /* More than any application has. */

static int take_role(PyObject *row, fcgi_role_spec *out) {
  unsigned number, streams;
  if (!PyTuple_Check(row)) {
    PyErr_SetString(PyExc_TypeError, "a role is (number, streams, name)");
    return -1;
  }
  if (!PyArg_ParseTuple(row, "IIs", &number, &streams, &out->name))
    return -1;
  if (number == 0 || number > 65535 || streams > FCGI_STREAMS_STDIN_DATA) {
    PyErr_Format(PyExc_ValueError,
                 "role '%s': the number must be from 1 to 65535, the streams "
                 "from 0 to 2",
                 out->name);
    return -1;
  }
  out->number = (uint16_t)number;
  out->streams = (fcgi_role_streams)streams;
  return 0;
}

static PyObject *names_of(const fcgi_role_spec *roles, size_t count) {
  PyObject *names = PyDict_New();
  for (size_t i = 0; names != NULL && i < count; i++) {
    PyObject *number = PyLong_FromLong(roles[i].number);
    PyObject *name = PyUnicode_FromString(roles[i].name);
    if (number == NULL || name == NULL ||
        PyDict_SetItem(names, number, name) < 0)
      Py_CLEAR(names);
    Py_XDECREF(number);
    Py_XDECREF(name);
  }
  return names;
}

static PyObject *set_core(server_object *self, const fcgi_role_spec *roles,
                          size_t count) {
  PyObject *names = names_of(roles, count);
  if (names == NULL || !server_enter(self)) {
    Py_XDECREF(names);
    return NULL;
  }
  int code = fcgi_server_set_roles(self->core, roles, count);
  server_drop(self);
  if (code == 0) {
    Py_XSETREF(self->roles, names);
    Py_RETURN_NONE;
  }
  Py_DECREF(names);
  return error_set(self->state, code,
                   code == FCGI_ERR_STATE
                       ? "roles are set before the first connection"
                       : "a role's number or name is there twice, or one of "
                         "the standard's has other streams");
}

PyObject *roles_method_set(PyObject *object, PyObject *list) {
  fcgi_role_spec roles[ROLES_MOST];
  PyObject *rows = PySequence_Tuple(list), *done = NULL;
  if (rows == NULL)
    return NULL;
  Py_ssize_t count = PyTuple_GET_SIZE(rows), at = 0;
  if (count > ROLES_MOST)
    PyErr_Format(PyExc_ValueError, "more than %d roles", (int)ROLES_MOST);
  else
    while (at < count && take_role(PyTuple_GET_ITEM(rows, at), &roles[at]) == 0)
      at++;
  if (at == count)
    done = set_core((server_object *)object, roles, (size_t)count);
  Py_DECREF(rows);
  return done;
}

PyObject *roles_name(server_object *self, unsigned number) {
  static const char *const standard[] = {"", "responder", "authorizer",
                                         "filter"};
  if (number < 4)
    return PyUnicode_FromString(standard[number]);
  PyObject *key = PyLong_FromUnsignedLong(number), *name = NULL;
  if (key != NULL && self->roles != NULL)
    name = PyDict_GetItemWithError(self->roles, key);
  Py_XDECREF(key);
  Py_XINCREF(name);
  return name != NULL || PyErr_Occurred() ? name
                                          : PyLong_FromUnsignedLong(number);
}
