/* SPDX-License-Identifier: MIT */
/* What a request tells of its abort. Who calls cancellers is in Python. */
#include "request.h"

PyObject *abort_get_reason(PyObject *object, void *unused) {
  request_object *self = (request_object *)object;
  (void)unused;
  fcgi_request *handle = request_look(self);
  if (handle == NULL)
    return NULL;
  const char *name = fcgi_abort_name(fcgi_request_aborted(handle));
  request_look_away(self);
  /* The core tells of a stop only when some thread waits for requests. */
  if (name == NULL && atomic_load(&self->server->hurried))
    name = fcgi_abort_name(FCGI_ABORT_STOP);
  if (name == NULL)
    Py_RETURN_NONE;
  return PyUnicode_FromString(name);
}

static PyObject *call_reason(PyObject *self, PyObject *unused) {
  (void)unused;
  return abort_get_reason(self, NULL);
}

static PyMethodDef callable = {
    "aborted", call_reason, METH_NOARGS,
    "aborted($self)\n--\n\nWhy the request is aborted, or None."};

PyObject *abort_callable(request_object *request) {
  return PyCFunction_New(&callable, (PyObject *)request);
}

PyObject *abort_method_on(PyObject *object, PyObject *args, PyObject *kwargs) {
  static const char *const names[] = {"", "record", NULL};
  PyObject *server = (PyObject *)((request_object *)object)->server;
  PyObject *canceller;
  int record = 1;
  if (!args_parse(args, kwargs, "O|$p:on_abort", names, &canceller, &record))
    return NULL;
  if (!PyCallable_Check(canceller)) {
    PyErr_Format(PyExc_TypeError, "the canceller must be callable, not %.100s",
                 Py_TYPE(canceller)->tp_name);
    return NULL;
  }
  return PyObject_CallMethod(server, "_on_abort", "OOi", object, canceller,
                             record);
}

PyObject *abort_method_raise(PyObject *object, PyObject *args,
                             PyObject *kwargs) {
  static const char *const names[] = {"record", NULL};
  PyObject *server = (PyObject *)((request_object *)object)->server;
  int record = 1;
  if (!args_parse(args, kwargs, "|$p:raise_on_abort", names, &record))
    return NULL;
  return PyObject_CallMethod(server, "_raise_on_abort", "Oi", object, record);
}

PyObject *abort_raise_in_thread(PyObject *module, PyObject *args) {
  unsigned long thread;
  PyObject *exception;
  (void)module;
  if (!PyArg_ParseTuple(args, "kO:raise_in_thread", &thread, &exception))
    return NULL;
  PyThreadState_SetAsyncExc(thread, exception == Py_None ? NULL : exception);
  Py_RETURN_NONE;
}
