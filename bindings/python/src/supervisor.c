/* SPDX-License-Identifier: MIT */
/* _core.supervise: fcgi_supervisor_run with its configuration as keywords. */
#include "state.h"
#include <fastcgi/supervisor.h>
#include <limits.h>
#include <stddef.h>

typedef enum setting_kind {
  SETTING_TEXT,     /* const char *, a path or a name */
  SETTING_TEXTS,    /* const char *const *, from a list */
  SETTING_UNSIGNED, /* unsigned */
  SETTING_INT,      /* int */
  SETTING_U64,      /* uint64_t */
  SETTING_UMASK,    /* unsigned, and says that there is one */
  SETTING_SECONDS,  /* int milliseconds; None: no limit */
  SETTING_LONG,     /* int64_t milliseconds */
  SETTING_LEVEL     /* Not the supervisor's: lines above it are dropped. */
} setting_kind;

typedef struct setting {
  const char *name;  /* The keyword. */
  setting_kind kind; /* How its value is read. */
  size_t at;         /* The field of fcgi_supervisor_config. */
} setting;

#define AT(name) offsetof(fcgi_supervisor_config, name)

static const setting settings[] = {
    {"command", SETTING_TEXTS, AT(command)},
    {"restart", SETTING_TEXTS, AT(self)},
    {"addresses", SETTING_TEXTS, AT(bind)},
    {"workers", SETTING_UNSIGNED, AT(workers)},
    {"backlog", SETTING_INT, AT(backlog)},
    {"socket_mode", SETTING_UNSIGNED, AT(socket_mode)},
    {"socket_user", SETTING_TEXT, AT(socket_user)},
    {"socket_group", SETTING_TEXT, AT(socket_group)},
    {"allow_from", SETTING_TEXT, AT(allow_from)},
    {"user", SETTING_TEXT, AT(user)},
    {"group", SETTING_TEXT, AT(group)},
    {"allow_root", SETTING_INT, AT(allow_root)},
    {"umask", SETTING_UMASK, AT(umask)},
    {"directory", SETTING_TEXT, AT(chdir)},
    {"pid_file", SETTING_TEXT, AT(pid)},
    {"start_timeout", SETTING_SECONDS, AT(start_timeout_ms)},
    {"graceful_timeout", SETTING_SECONDS, AT(graceful_timeout_ms)},
    {"watchdog", SETTING_SECONDS, AT(timeout_ms)},
    {"max_age", SETTING_LONG, AT(max_worker_age_ms)},
    {"max_age_jitter", SETTING_LONG, AT(max_worker_age_jitter_ms)},
    {"max_worker_rss", SETTING_U64, AT(max_worker_rss)},
    {"check_only", SETTING_INT, AT(check_only)},
    {"log_level", SETTING_LEVEL, 0},
};

typedef struct call {
  fcgi_supervisor_config config; /* What the keywords say. */
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

/* A number from 0 to `most`, or -1 with an exception. */
static long long number_of(const setting *row, PyObject *value,
                           long long most) {
  long long number = PyLong_AsLongLong(value);
  if (number >= 0 && number <= most)
    return number;
  if (!PyErr_Occurred())
    PyErr_Format(PyExc_ValueError, "%s must be from 0 to %lld", row->name,
                 most);
  return -1;
}

/* Milliseconds, at least one; -1 with an exception. */
static long long milliseconds_of(const setting *row, PyObject *value,
                                 long long most) {
  double seconds = PyFloat_AsDouble(value);
  if (seconds == -1.0 && PyErr_Occurred())
    return -1;
  if (!(seconds > 0) || seconds * 1000 > (double)most) {
    PyErr_Format(PyExc_ValueError, "%s must be more than 0, and at most %lld",
                 row->name, most / 1000);
    return -1;
  }
  return seconds * 1000 < 1 ? 1 : (long long)(seconds * 1000);
}

static int set_level(call *self, PyObject *value) {
  static const char *const names[] = {"error", "warning", "info", "debug"};
  for (int i = 0; i < 4 && PyUnicode_Check(value); i++)
    if (PyUnicode_CompareWithASCIIString(value, names[i]) == 0) {
      self->config.log_levels = (2u << i) - 1;
      return 0;
    }
  PyErr_SetString(PyExc_ValueError, "log_level: unknown value");
  return -1;
}

static int set_seconds(const setting *row, PyObject *value, int *out) {
  long long ms =
      value == Py_None ? INT_MAX : milliseconds_of(row, value, INT_MAX);
  *out = (int)ms;
  return ms < 0 ? -1 : 0;
}

static int set_integer(const setting *row, PyObject *value, void *field) {
  int wide = row->kind == SETTING_U64;
  long long number = number_of(row, value, wide ? LLONG_MAX : INT_MAX);
  if (wide)
    *(uint64_t *)field = (uint64_t)number;
  else if (row->kind == SETTING_INT)
    *(int *)field = (int)number;
  else
    *(unsigned *)field = (unsigned)number;
  return number < 0 ? -1 : 0;
}

static int set_field(call *self, const setting *row, PyObject *value) {
  void *field = (char *)&self->config + row->at;
  switch (row->kind) {
  case SETTING_TEXT:
    return (*(const char **)field = text_of(self, value)) == NULL ? -1 : 0;
  case SETTING_TEXTS:
    return (*(const char *const **)field = texts_of(self, value)) == NULL ? -1
                                                                          : 0;
  case SETTING_SECONDS:
    return set_seconds(row, value, field);
  case SETTING_LONG:
    *(int64_t *)field = milliseconds_of(row, value, INT64_MAX / 1000);
    return *(int64_t *)field < 0 ? -1 : 0;
  case SETTING_LEVEL:
    return set_level(self, value);
  case SETTING_UMASK:
    self->config.has_umask = 1;
    return set_integer(row, value, field);
  default:
    return set_integer(row, value, field);
  }
}

static int set_named(call *self, PyObject *key, PyObject *value) {
  for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
    if (PyUnicode_CompareWithASCIIString(key, settings[i].name) == 0)
      return value == Py_None && settings[i].kind != SETTING_SECONDS
                 ? 0
                 : set_field(self, &settings[i], value);
  PyErr_Format(PyExc_TypeError, "supervise() has no option '%U'", key);
  return -1;
}

static int read_settings(call *self, PyObject *kwargs) {
  PyObject *key, *value;
  Py_ssize_t at = 0;
  while (kwargs != NULL && PyDict_Next(kwargs, &at, &key, &value))
    if (set_named(self, key, value) < 0)
      return -1;
  return 0;
}

PyObject *supervisor_run(PyObject *module, PyObject *args, PyObject *kwargs) {
  call self = {.config = {.size = sizeof self.config}};
  int status = -1;
  (void)module;
  if (!PyArg_ParseTuple(args, ":supervise") ||
      (self.kept = PyList_New(0)) == NULL)
    return NULL;
  /* Our workers tell when they are ready. */
  self.config.ready_after_ms = FCGI_READY_WHEN_TOLD;
  if (read_settings(&self, kwargs) == 0) {
    Py_BEGIN_ALLOW_THREADS
    status = fcgi_supervisor_run(&self.config);
    Py_END_ALLOW_THREADS
  }
  Py_DECREF(self.kept);
  return status < 0 ? NULL : PyLong_FromLong(status);
}
