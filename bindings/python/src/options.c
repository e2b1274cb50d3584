/* SPDX-License-Identifier: MIT */
/* Values of options, from Python to the core and back. */
#include "options.h"
#include <string.h>

fcgi_options *options_new(void) {
  fcgi_options *options;
  if (fcgi_options_new(&options, FCGI_LAUNCHER_PYTHON) == 0)
    return options;
  PyErr_NoMemory();
  return NULL;
}

static int refuse_type(const fcgi_option *option, PyObject *value,
                       const char *wanted) {
  PyErr_Format(PyExc_TypeError, "%s must be %s, not %.100s", option->name,
               wanted, Py_TYPE(value)->tp_name);
  return -1;
}

/* 0, or an exception for what the core has said of the value. */
static int done(const fcgi_options *options, int error) {
  if (error)
    PyErr_SetString(error == FCGI_ERR_NOMEM ? PyExc_MemoryError
                                            : PyExc_ValueError,
                    fcgi_options_message(options));
  return error ? -1 : 0;
}

static int give_number(fcgi_options *options, const fcgi_option *option,
                       int64_t number) {
  return done(options, fcgi_options_set_number(options, FCGI_ORIGIN_PROGRAM,
                                               option->name, number));
}

/* A str, or what names a file. */
static int give_text(fcgi_options *options, const fcgi_option *option,
                     PyObject *value) {
  PyObject *bytes = NULL;
  if (!PyUnicode_Check(value) && !PyObject_HasAttrString(value, "__fspath__"))
    return refuse_type(option, value, "a str");
  if (!PyUnicode_FSConverter(value, &bytes))
    return -1;
  int error = fcgi_options_set(options, FCGI_ORIGIN_PROGRAM, option->name,
                               PyBytes_AS_STRING(bytes));
  Py_DECREF(bytes);
  return done(options, error);
}

static int give_texts(fcgi_options *options, const fcgi_option *option,
                      PyObject *value) {
  if (PyUnicode_Check(value))
    return give_text(options, option, value);
  PyObject *all = PySequence_Tuple(value);
  int failed = all == NULL;
  for (Py_ssize_t i = 0; !failed && i < PyTuple_GET_SIZE(all); i++)
    failed = give_text(options, option, PyTuple_GET_ITEM(all, i)) < 0;
  Py_XDECREF(all);
  return failed ? -1 : 0;
}

static int refuse_value(const fcgi_option *option, PyObject *value) {
  char wanted[160];
  fcgi_option_wanted(option, wanted, sizeof wanted);
  PyErr_Format(PyExc_ValueError, "%s=%S: must be %s", option->name, value,
               wanted);
  return -1;
}

/* 0 is "never" where there is such a thing. */
static int give_integer(fcgi_options *options, const fcgi_option *option,
                        PyObject *value) {
  PyObject *number = PyNumber_Index(value);
  if (number == NULL)
    return refuse_type(option, value, "an int");
  int overflow = 0;
  long long wide = PyLong_AsLongLongAndOverflow(number, &overflow);
  Py_DECREF(number);
  if (wide == 0 && option->may_be_none)
    return give_number(options, option, -1);
  if (overflow || wide < option->least || wide > option->most)
    return refuse_value(option, value);
  return give_number(options, option, wide);
}

/* Seconds as milliseconds, at least one. */
static int give_seconds(fcgi_options *options, const fcgi_option *option,
                        PyObject *value) {
  if (value == Py_None)
    return give_number(options, option, -1);
  double seconds = PyFloat_AsDouble(value);
  if (seconds == -1.0 && PyErr_Occurred())
    return refuse_type(option, value, "a number of seconds, or None");
  double ms = seconds * 1000.0;
  if (!(ms > 0) || ms > (double)option->most)
    return refuse_value(option, value);
  return give_number(options, option, ms < 1.0 ? 1 : (int64_t)ms);
}

int options_give(fcgi_options *options, const fcgi_option *option,
                 PyObject *value) {
  if (option->kind == FCGI_OPTION_SECONDS)
    return give_seconds(options, option, value);
  if (value == Py_None)
    return 0;
  if (option->repeatable)
    return give_texts(options, option, value);
  switch (option->kind) {
  case FCGI_OPTION_FLAG:
    if (!PyBool_Check(value))
      return refuse_type(option, value, "True or False");
    return give_number(options, option, value == Py_True);
  case FCGI_OPTION_PROCESSES:
    if (PyUnicode_Check(value))
      return give_text(options, option, value);
    return give_integer(options, option, value);
  case FCGI_OPTION_COUNT:
  case FCGI_OPTION_BYTES:
  case FCGI_OPTION_MODE:
    return give_integer(options, option, value);
  default:
    return give_text(options, option, value);
  }
}

/* What Server() takes: what is for servers, but for the time of whoever stops
   them, and of what is for workers what the core does. */
static int is_of_server(const fcgi_option *option) {
  if (option->scope == FCGI_OPTION_FOR_SERVER)
    return strcmp(option->name, "graceful_timeout") != 0;
  return strcmp(option->name, "stream") == 0 ||
         strcmp(option->name, "log_level") == 0;
}

int options_give_server(fcgi_options *options, PyObject *kwargs) {
  PyObject *key, *value;
  Py_ssize_t at = 0;
  while (kwargs != NULL && PyDict_Next(kwargs, &at, &key, &value)) {
    const char *name = PyUnicode_AsUTF8(key);
    const fcgi_option *option = name == NULL ? NULL : fcgi_option_find(name);
    if (name == NULL)
      return -1;
    if (option == NULL || !is_of_server(option)) {
      PyErr_Format(PyExc_TypeError, "Server() has no option '%s'", name);
      return -1;
    }
    if (options_give(options, option, value) < 0)
      return -1;
  }
  return 0;
}

static PyObject *texts_of(const fcgi_options *options,
                          const fcgi_option *option) {
  PyObject *list = PyList_New(0);
  const char *text;
  for (size_t i = 0;
       list != NULL &&
       (text = fcgi_options_text(options, option->name, i)) != NULL;
       i++) {
    PyObject *one = PyUnicode_DecodeFSDefault(text);
    if (one == NULL || PyList_Append(list, one) < 0)
      Py_CLEAR(list);
    Py_XDECREF(one);
  }
  return list;
}

PyObject *options_value(const fcgi_options *options,
                        const fcgi_option *option) {
  int64_t number = fcgi_options_number(options, option->name);
  const char *text = fcgi_options_text(options, option->name, 0);
  if (option->repeatable)
    return texts_of(options, option);
  switch (option->kind) {
  case FCGI_OPTION_FLAG:
    return PyBool_FromLong(number > 0);
  case FCGI_OPTION_COUNT:
  case FCGI_OPTION_PROCESSES:
  case FCGI_OPTION_BYTES:
  case FCGI_OPTION_MODE:
    return PyLong_FromLongLong(number < 0 ? 0 : number);
  case FCGI_OPTION_SECONDS:
    if (number > 0)
      return PyFloat_FromDouble((double)number / 1000.0);
    break;
  default:
    if (text != NULL)
      return PyUnicode_DecodeFSDefault(text);
  }
  Py_RETURN_NONE;
}
