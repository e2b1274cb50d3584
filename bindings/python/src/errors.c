/* SPDX-License-Identifier: MIT */
#include "state.h"
#include <errno.h>

/* How a code looks in Python: a class of ours below Error and, where Python
   has a word for the same thing, below that too; or, without a name, Python's
   own class alone. A code new in FCGI_ERROR_MAP does not compile until it has
   its line here. */
typedef struct error_class {
  const char *name; /* "fastcgi.X", or NULL for `base` itself. */
  PyObject **base;  /* Python's class, or NULL. */
  const char *doc;  /* The docstring. */
} error_class;

#define CLASS_NOMEM                                                            \
  { NULL, &PyExc_MemoryError, NULL }
#define CLASS_INVALID                                                          \
  { NULL, &PyExc_ValueError, NULL }
#define CLASS_SYSTEM                                                           \
  { NULL, &PyExc_OSError, NULL }
#define CLASS_STATE                                                            \
  {                                                                            \
    "fastcgi.StateError", &PyExc_RuntimeError,                                 \
        "Not allowed now: the request has ended, the answer has begun, ..."    \
  }
#define CLASS_PROTOCOL                                                         \
  { "fastcgi.ProtocolError", NULL, "The peer broke the FastCGI protocol." }
#define CLASS_LIMIT                                                            \
  { "fastcgi.LimitError", NULL, "A configured limit was reached." }
#define CLASS_AGAIN                                                            \
  {                                                                            \
    "fastcgi.WouldBlock", &PyExc_BlockingIOError,                              \
        "Not possible now without blocking."                                   \
  }
#define CLASS_TIMEOUT                                                          \
  { "fastcgi.Timeout", &PyExc_TimeoutError, "The peer was too slow." }
#define CLASS_CLOSED                                                           \
  { "fastcgi.Closed", NULL, "The server is closed." }
#define CLASS_ABORTED                                                          \
  {                                                                            \
    "fastcgi.Aborted", &PyExc_ConnectionAbortedError,                          \
        "The client or the web server gave the request up."                    \
  }
#define CLASS_TRUNCATED                                                        \
  {                                                                            \
    "fastcgi.Truncated", &PyExc_ConnectionError,                               \
        "The body ended before CONTENT_LENGTH bytes."                          \
  }
#define CLASS_UNSUPPORTED                                                      \
  {                                                                            \
    "fastcgi.Unsupported", &PyExc_NotImplementedError,                         \
        "This platform or configuration cannot do it."                         \
  }

#define CLASS_DAMAGED                                                          \
  { "fastcgi.Damaged", NULL, "Another process has written over shared memory." }

static PyObject *make_class(core_state *state, const error_class *wanted) {
  if (wanted->name == NULL)
    return Py_NewRef(*wanted->base);
  PyObject *bases = wanted->base == NULL
                        ? PyTuple_Pack(1, state->error)
                        : PyTuple_Pack(2, state->error, *wanted->base);
  if (bases == NULL)
    return NULL;
  PyObject *made =
      PyErr_NewExceptionWithDoc(wanted->name, wanted->doc, bases, NULL);
  Py_DECREF(bases);
  return made;
}

static int add_class(PyObject *module, core_state *state, int index,
                     const error_class *wanted) {
  state->errors[index] = make_class(state, wanted);
  if (state->errors[index] == NULL)
    return -1;
  if (wanted->name == NULL)
    return 0;
  const char *name = wanted->name + sizeof("fastcgi.") - 1;
  return PyModule_AddObjectRef(module, name, state->errors[index]);
}

/* The one that no code stands for: what a handler needs is not to be had. */
static int add_unavailable(PyObject *module, core_state *state) {
  static const char doc[] =
      "A resource cannot be had now: it cannot be opened, or all are in use. A "
      "handler\nthat does not catch it answers 503 with Retry-After.";
  state->unavailable = PyErr_NewExceptionWithDoc(
      "fastcgi.Unavailable", doc, state->errors[ERROR_TIMEOUT], NULL);
  return state->unavailable == NULL
             ? -1
             : PyModule_AddObjectRef(module, "Unavailable", state->unavailable);
}

int errors_init(PyObject *module, core_state *state) {
  state->error = PyErr_NewExceptionWithDoc(
      "fastcgi.Error", "The base of the exceptions of this package.", NULL,
      NULL);
  if (state->error == NULL ||
      PyModule_AddObjectRef(module, "Error", state->error) < 0)
    return -1;
  const error_class classes[] = {
#define ERROR_CLASS(name, number, text) CLASS_##name,
      FCGI_ERROR_MAP(ERROR_CLASS)
#undef ERROR_CLASS
  };
  for (int i = 0; i < ERROR_COUNT; i++)
    if (add_class(module, state, i, &classes[i]) < 0)
      return -1;
  return add_unavailable(module, state);
}

static int error_index(int code) {
  switch (code) {
#define ERROR_CASE(name, number, text)                                         \
  case number:                                                                 \
    return ERROR_##name;
    FCGI_ERROR_MAP(ERROR_CASE)
#undef ERROR_CASE
  default:
    return -1;
  }
}

static PyObject *set_system(int number, const char *text) {
  PyObject *error = PyObject_CallFunction(PyExc_OSError, "is", number, text);
  if (error != NULL)
    PyErr_SetObject((PyObject *)Py_TYPE(error), error);
  Py_XDECREF(error);
  return NULL;
}

PyObject *error_set(core_state *state, int code, const char *detail) {
  int number = errno;
  const char *text =
      detail != NULL && *detail != '\0' ? detail : fcgi_error_text(code);
  int index = error_index(code);
  if (code == FCGI_ERR_SYSTEM && number != 0)
    return set_system(number, text);
  PyErr_SetString(index < 0 ? state->error : state->errors[index], text);
  return NULL;
}

PyObject *error_set_write(core_state *state, int code) {
  return error_set(state, code,
                   code == FCGI_ERR_INVALID
                       ? "the answer is refused, as its head is not valid or "
                         "promises another length: the log has the reason"
                       : NULL);
}

int error_is_disconnect(core_state *state) {
  return PyErr_ExceptionMatches(state->errors[ERROR_ABORTED]);
}
