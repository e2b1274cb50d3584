/* SPDX-License-Identifier: MIT */
/* The keyword arguments of Server(), from one table. */
#include "server.h"
#include <limits.h>
#include <stddef.h>

typedef enum option_kind {
  OPTION_SIZE,     /* size_t */
  OPTION_U32,      /* uint32_t */
  OPTION_U64,      /* uint64_t */
  OPTION_INT,      /* int */
  OPTION_MODE,     /* unsigned, the mode of a file */
  OPTION_SECONDS,  /* int milliseconds from float seconds; None: no limit */
  OPTION_PATH,     /* const char *, lent */
  OPTION_URL_PATH, /* Likewise; begins with '/', or is "" */
  OPTION_TEXT,     /* const char *, lent */
  OPTION_FLAG      /* int: 1 for true, -1 for false */
} option_kind;

typedef struct option {
  const char *name; /* The keyword. */
  option_kind kind; /* How its value is read. */
  size_t at;        /* The field of fcgi_server_config. */
} option;

#define FIELD(name) offsetof(fcgi_server_config, name)

static const option options[] = {
    {"limit_params_size", OPTION_SIZE, FIELD(limit_params_size)},
    {"limit_params", OPTION_U32, FIELD(limit_params)},
    {"limit_request_body", OPTION_U64, FIELD(limit_request_body)},
    {"limit_connections", OPTION_U32, FIELD(limit_connections)},
    {"max_multiplexed", OPTION_U32, FIELD(max_multiplexed)},
    {"body_memory", OPTION_SIZE, FIELD(body_memory)},
    {"temp_dir", OPTION_PATH, FIELD(temp_dir)},
    {"input_window", OPTION_SIZE, FIELD(input_window)},
    {"output_window", OPTION_SIZE, FIELD(output_window)},
    {"connection_memory", OPTION_SIZE, FIELD(connection_memory)},
    {"server_memory", OPTION_SIZE, FIELD(server_memory)},
    {"io_timeout", OPTION_SECONDS, FIELD(io_timeout_ms)},
    {"header_timeout", OPTION_SECONDS, FIELD(header_timeout_ms)},
    {"idle_timeout", OPTION_SECONDS, FIELD(idle_timeout_ms)},
    {"drain_silence", OPTION_SECONDS, FIELD(drain_silence_ms)},
    {"drain_timeout", OPTION_SECONDS, FIELD(drain_timeout_ms)},
    {"drain_bytes", OPTION_U64, FIELD(drain_bytes)},
    {"backlog", OPTION_INT, FIELD(backlog)},
    {"socket_mode", OPTION_MODE, FIELD(socket_mode)},
    {"allow_from", OPTION_TEXT, FIELD(allow_from)},
    {"peer_users", OPTION_TEXT, FIELD(peer_users)},
    {"status_path", OPTION_URL_PATH, FIELD(status_path)},
    {"ping_path", OPTION_URL_PATH, FIELD(ping_path)},
    {"root_path", OPTION_URL_PATH, FIELD(root_path)},
    {"request_timeout", OPTION_SECONDS, FIELD(request_timeout_ms)},
    {"slow_log", OPTION_SECONDS, FIELD(slow_log_ms)},
    {"access_logfile", OPTION_PATH, FIELD(access_logfile)},
    {"access_logformat", OPTION_TEXT, FIELD(access_logformat)},
    {"error_logfile", OPTION_PATH, FIELD(error_logfile)},
    {"max_requests", OPTION_U64, FIELD(max_requests)},
    {"max_requests_jitter", OPTION_U64, FIELD(max_requests_jitter)},
    {"no_multiplex", OPTION_FLAG, FIELD(no_multiplex)},
};

static int refuse(const option *row, const char *wanted) {
  PyErr_Format(PyExc_ValueError, "%s must be %s", row->name, wanted);
  return -1;
}

static int set_number(const option *row, PyObject *value,
                      unsigned long long most, unsigned long long *out) {
  PyObject *number = PyNumber_Index(value);
  if (number == NULL) {
    PyErr_Format(PyExc_TypeError, "%s must be an int, not %.100s", row->name,
                 Py_TYPE(value)->tp_name);
    return -1;
  }
  *out = PyLong_AsUnsignedLongLong(number);
  Py_DECREF(number);
  int failed = PyErr_Occurred() != NULL;
  if (!failed && *out > 0 && *out <= most)
    return 0;
  PyErr_Clear();
  PyErr_Format(PyExc_ValueError, "%s must be from 1 to %llu", row->name, most);
  return -1;
}

static int set_seconds(const option *row, PyObject *value, int *out) {
  if (value == Py_None) {
    *out = -1;
    return 0;
  }
  double seconds = PyFloat_AsDouble(value);
  if (seconds == -1.0 && PyErr_Occurred())
    return refuse(row, "a number of seconds, or None for no limit");
  if (!(seconds > 0) || seconds > 2e6)
    return refuse(row, "more than 0 and at most 2,000,000 seconds");
  double ms = seconds * 1000.0;
  *out = ms < 1.0 ? 1 : (int)ms;
  return 0;
}

static int set_flag(const option *row, PyObject *value, int *out) {
  if (!PyBool_Check(value))
    return refuse(row, "True or False");
  *out = value == Py_True ? 1 : -1;
  return 0;
}

static int set_text(const option *row, PyObject *value, const char *wanted,
                    const char **out) {
  *out = PyUnicode_Check(value) ? PyUnicode_AsUTF8(value) : NULL;
  return *out == NULL ? refuse(row, wanted) : 0;
}

static int set_url_path(const option *row, PyObject *value, const char **out) {
  const char *wanted = "a path that begins with '/', below 256 bytes";
  if (set_text(row, value, wanted, out) < 0)
    return -1;
  return **out && (**out != '/' || strlen(*out) > 255) ? refuse(row, wanted)
                                                       : 0;
}

static int set_option(const option *row, PyObject *value, char *config) {
  void *field = config + row->at;
  unsigned long long number = 0;
  switch (row->kind) {
  case OPTION_SECONDS:
    return set_seconds(row, value, field);
  case OPTION_PATH:
    return set_text(row, value, "a path as str", field);
  case OPTION_TEXT:
    return set_text(row, value, "a str", field);
  case OPTION_URL_PATH:
    return set_url_path(row, value, field);
  case OPTION_FLAG:
    return set_flag(row, value, field);
  case OPTION_SIZE:
    if (set_number(row, value, SIZE_MAX / 2, &number) < 0)
      return -1;
    *(size_t *)field = (size_t)number;
    return 0;
  case OPTION_U64:
    if (set_number(row, value, INT64_MAX, &number) < 0)
      return -1;
    *(uint64_t *)field = number;
    return 0;
  case OPTION_U32:
    if (set_number(row, value, INT_MAX, &number) < 0)
      return -1;
    *(uint32_t *)field = (uint32_t)number;
    return 0;
  case OPTION_INT:
    if (set_number(row, value, INT_MAX, &number) < 0)
      return -1;
    *(int *)field = (int)number;
    return 0;
  case OPTION_MODE:
    if (set_number(row, value, 0777, &number) < 0)
      return -1;
    *(unsigned *)field = (unsigned)number;
    return 0;
  }
  return -1;
}

static int choose(const char *name, PyObject *value, int count,
                  const char *const *names, int *out) {
  for (int i = 0; PyUnicode_Check(value) && i < count; i++)
    if (PyUnicode_CompareWithASCIIString(value, names[i]) == 0) {
      *out = i;
      return 0;
    }
  PyErr_Format(PyExc_ValueError, "%s: unknown value %A, use '%s' or '%s'", name,
               value, names[0], names[count - 1]);
  return -1;
}

static int set_log_level(PyObject *value, unsigned *out) {
  static const char *const names[] = {"error", "warning", "info", "debug"};
  int level = 0;
  if (choose("log_level", value, 4, names, &level) < 0)
    return -1;
  *out = (2u << level) - 1;
  return 0;
}

static int set_poller(PyObject *value, fcgi_poller_kind *out) {
  static const char *const names[] = {"best", "epoll", "poll"};
  int chosen = 0;
  if (choose("poller", value, 3, names, &chosen) < 0)
    return -1;
  *out = (fcgi_poller_kind)chosen;
  return 0;
}

static int set_stream(PyObject *value, fcgi_body_mode *out) {
  int stream = PyObject_IsTrue(value);
  if (stream < 0)
    return -1;
  *out = stream ? FCGI_BODY_STREAM : FCGI_BODY_COLLECT;
  return 0;
}

static int set_named(const char *name, PyObject *value,
                     fcgi_server_config *config) {
  if (strcmp(name, "stream") == 0)
    return set_stream(value, &config->body);
  if (strcmp(name, "poller") == 0)
    return set_poller(value, &config->poller);
  if (strcmp(name, "log_level") == 0)
    return set_log_level(value, &config->log_levels);
  for (size_t i = 0; i < sizeof options / sizeof *options; i++)
    if (strcmp(name, options[i].name) == 0)
      return value == Py_None && options[i].kind != OPTION_SECONDS
                 ? 0
                 : set_option(&options[i], value, (char *)config);
  PyErr_Format(PyExc_TypeError, "Server() has no option '%s'", name);
  return -1;
}

int options_parse(PyObject *kwargs, fcgi_server_config *config) {
  PyObject *key, *value;
  Py_ssize_t at = 0;
  while (kwargs != NULL && PyDict_Next(kwargs, &at, &key, &value)) {
    const char *name = PyUnicode_AsUTF8(key);
    if (name == NULL || set_named(name, value, config) < 0)
      return -1;
  }
  return 0;
}
