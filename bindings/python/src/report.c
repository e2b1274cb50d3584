/* SPDX-License-Identifier: MIT */
/* What the log says of an application that has failed. */
#include "report.h"

/* "GET '/path': the application failed", while the request is open; NULL
   without memory. */
static PyObject *what_failed(request_object *request) {
  static const char what[] = "the application failed";
  PyObject *method = PyObject_GetAttrString((PyObject *)request, "method");
  PyObject *path = PyObject_GetAttrString((PyObject *)request, "path");
  PyErr_Clear();
  PyObject *text =
      method != NULL && path != NULL
          ? PyUnicode_FromFormat("%A %A: %s\n", method, path, what)
          : PyUnicode_FromFormat("request %d: %s\n", (int)request->id, what);
  Py_XDECREF(method);
  Py_XDECREF(path);
  return text;
}

/* The lines of a traceback after those of `text`; NULL with an exception. */
static PyObject *with_traceback(PyObject *text, PyObject *type, PyObject *value,
                                PyObject *traceback) {
  PyObject *all = NULL, *lines = NULL, *empty = PyUnicode_FromString("");
  PyObject *module = PyImport_ImportModule("traceback");
  if (module != NULL && empty != NULL)
    lines = PyObject_CallMethod(module, "format_exception", "OOO", type, value,
                                traceback != NULL ? traceback : Py_None);
  PyObject *joined = lines == NULL ? NULL : PyUnicode_Join(empty, lines);
  if (joined != NULL)
    all = PyUnicode_Concat(text, joined);
  Py_XDECREF(joined);
  Py_XDECREF(lines);
  Py_XDECREF(module);
  Py_XDECREF(empty);
  return all;
}

/* Whether an object of module sys is still the one that it began with. */
static int is_original(const char *name, const char *original) {
  PyObject *now = PySys_GetObject(name);
  return now == NULL || now == Py_None || now == PySys_GetObject(original);
}

/* Print it as the interpreter would, which would end the process for
   SystemExit, or for a hook that exits. */
static void print_error(PyObject *type, PyObject *value, PyObject *traceback) {
  PyObject *hook = PySys_GetObject("excepthook"), *done = NULL;
  Py_XINCREF(hook);
  if (hook != NULL)
    done = PyObject_CallFunctionObjArgs(
        hook, type, value != NULL ? value : Py_None,
        traceback != NULL ? traceback : Py_None, NULL);
  if (done == NULL) {
    PyErr_Clear();
    PyErr_Display(type, value, traceback);
    PyErr_Clear();
  }
  Py_XDECREF(done);
  Py_XDECREF(hook);
}

/* A program that has put something else there gets what Python would print;
   where that is slow, this request's thread alone waits for it. */
static void print(PyObject *text, PyObject *type, PyObject *value,
                  PyObject *traceback) {
  PySys_FormatStderr("fastcgi: %U", text);
  print_error(type, value, traceback);
}

/* An outage is no fault of the application's: the server tells it, in few
   lines. 1: that is what it was. */
static int tell_unavailable(request_object *request, PyObject *value) {
  if (!PyErr_GivenExceptionMatches(value, request->state->unavailable))
    return 0;
  PyObject *text = PyObject_Str(value);
  const char *why = text == NULL ? NULL : PyUnicode_AsUTF8(text);
  PyErr_Clear();
  request_set_unavailable(request, why);
  Py_XDECREF(text);
  return 1;
}

void report_failure(request_object *request, PyObject *what, PyObject *type,
                    PyObject *value, PyObject *traceback) {
  fcgi_server *server = request->server->core;
  if (tell_unavailable(request, value))
    return;
  PyObject *text = what != NULL ? Py_NewRef(what) : what_failed(request);
  PyObject *all = NULL, *named = NULL;
  int logged = fcgi_server_log(server, FCGI_LOG_ERROR, "", 0);
  if (!logged && text != NULL &&
      !(is_original("stderr", "__stderr__") &&
        is_original("excepthook", "__excepthook__"))) {
    print(text, type, value, traceback);
    Py_DECREF(text);
    return;
  }
  if (text != NULL)
    named =
        logged ? Py_NewRef(text) : PyUnicode_FromFormat("fastcgi: %U", text);
  if (named != NULL)
    all = with_traceback(named, type, value, traceback);
  PyErr_Clear();
  server_log(request->server, FCGI_LOG_ERROR, all != NULL ? all : named);
  Py_XDECREF(all);
  Py_XDECREF(named);
  Py_XDECREF(text);
}
