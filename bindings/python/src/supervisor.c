/* SPDX-License-Identifier: MIT */
/* _core.supervise: fcgi_supervisor_run with its configuration as keywords. */
#include "options.h"
#include <string.h>

typedef struct call {
  fcgi_supervisor_config config; /* What the keywords say. */
  fcgi_options *options;         /* Those of them that are options. */
  PyTypeObject *options_type;    /* fastcgi._core.Options. */
  PyObject *kept;                /* A list of the objects whose bytes it has. */
} call;

/* The bytes of a path or name, lent by `kept`; NULL with an exception. */
static const char *text_of(call *self, PyObject *value) {
  PyObject *bytes = NULL;
  if (!PyUnicode_FSConverter(value, &bytes))
    return NULL;
  int failed = PyList_Append(self->kept, bytes) < 0;
  const char *text = PyBytes_AS_STRING(bytes);
  Py_DECREF(bytes);
  return failed ? NULL : text;
}

/* A list that ends in NULL, lent likewise; NULL with an exception. */
static const char *const *texts_of(call *self, PyObject *value) {
  PyObject *all = PySequence_Tuple(value);
  Py_ssize_t count = all == NULL ? 0 : PyTuple_GET_SIZE(all);
  PyObject *room = all == NULL
                       ? NULL
                       : PyBytes_FromStringAndSize(
                             NULL, (count + 1) * (Py_ssize_t)sizeof(char *));
  int failed = room == NULL || PyList_Append(self->kept, room) < 0;
  const char **list = failed ? NULL : (void *)PyBytes_AS_STRING(room);
  Py_XDECREF(room);
  for (Py_ssize_t i = 0; list != NULL && i < count; i++)
    if ((list[i] = text_of(self, PyTuple_GET_ITEM(all, i))) == NULL)
      list = NULL;
  if (list != NULL)
    list[count] = NULL;
  Py_XDECREF(all);
  return list;
}

static int set_named(call *self, PyObject *key, PyObject *value) {
  const char *name = PyUnicode_AsUTF8(key);
  const fcgi_option *option = name == NULL ? NULL : fcgi_option_find(name);
  if (name == NULL)
    return -1;
  if (strcmp(name, "command") == 0)
    return (self->config.command = texts_of(self, value)) == NULL ? -1 : 0;
  if (strcmp(name, "restart") == 0)
    return (self->config.self = texts_of(self, value)) == NULL ? -1 : 0;
  if (strcmp(name, "options") == 0)
    return (self->config.options = options_of(value, self->options_type)) ==
                   NULL
               ? -1
               : 0;
  if (option != NULL)
    return options_give(self->options, option, value);
  PyErr_Format(PyExc_TypeError, "supervise() has no option '%U'", key);
  return -1;
}

static int read_settings(call *self, PyObject *kwargs) {
  PyObject *key, *value;
  Py_ssize_t at = 0;
  while (kwargs != NULL && PyDict_Next(kwargs, &at, &key, &value))
    if (set_named(self, key, value) < 0)
      return -1;
  fcgi_options_supervisor(self->options, &self->config);
  return 0;
}

PyObject *supervisor_run(PyObject *module, PyObject *args, PyObject *kwargs) {
  core_state *state = PyModule_GetState(module);
  call self = {.config = {.size = sizeof self.config},
               .options_type = state->options_type};
  int status = -1;
  if (!PyArg_ParseTuple(args, ":supervise") ||
      (self.kept = PyList_New(0)) == NULL)
    return NULL;
  /* Our workers tell when they are ready. */
  self.config.ready_after_ms = FCGI_WAIT_FOREVER;
  self.options = options_new();
  if (self.options != NULL && read_settings(&self, kwargs) == 0) {
    Py_BEGIN_ALLOW_THREADS
    status = fcgi_supervisor_run(&self.config);
    Py_END_ALLOW_THREADS
  }
  fcgi_options_free(self.options);
  Py_DECREF(self.kept);
  return status < 0 ? NULL : PyLong_FromLong(status);
}
