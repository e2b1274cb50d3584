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

enum { WANTED = 160 };

static int refuse_type(const fcgi_option *option, PyObject *value) {
  char wanted[WANTED];
  fcgi_option_wanted_in(option, FCGI_LAUNCHER_PYTHON, wanted, sizeof wanted);
  PyErr_Format(PyExc_TypeError, "%s must be %s, not %.100s", option->name,
               wanted, Py_TYPE(value)->tp_name);
  return -1;
}

/* As a program would write it: a mode in octal. Decimal digits beyond some
   thousands are refused by Python itself, and hexadecimal ones are not. */
static PyObject *shown(const fcgi_option *option, PyObject *value) {
  PyObject *text = option->kind == FCGI_OPTION_MODE ? PyNumber_ToBase(value, 8)
                                                    : PyObject_Repr(value);
  if (text == NULL && PyErr_ExceptionMatches(PyExc_ValueError)) {
    PyErr_Clear();
    text = PyNumber_ToBase(value, 16);
  }
  return text;
}

static int refuse_value(const fcgi_option *option, PyObject *value) {
  char wanted[WANTED];
  PyObject *text = shown(option, value);
  fcgi_option_wanted_in(option, FCGI_LAUNCHER_PYTHON, wanted, sizeof wanted);
  if (text != NULL)
    PyErr_Format(PyExc_ValueError, "%s=%.100U: must be %s", option->name, text,
                 wanted);
  Py_XDECREF(text);
  return -1;
}

/* 0, or an exception for a value that the core has refused. */
static int done(const fcgi_option *option, PyObject *value, int error) {
  if (error == FCGI_ERR_NOMEM)
    PyErr_NoMemory();
  else if (error)
    refuse_value(option, value);
  return error ? -1 : 0;
}

static int give_number(fcgi_options *options, const fcgi_option *option,
                       PyObject *value, int64_t number) {
  return done(option, value,
              fcgi_options_set_number(options, FCGI_ORIGIN_PROGRAM,
                                      option->name, number));
}

/* A str, or what names a file. */
static int give_text(fcgi_options *options, const fcgi_option *option,
                     PyObject *value) {
  PyObject *bytes = NULL;
  if (!PyUnicode_Check(value) && !PyObject_HasAttrString(value, "__fspath__"))
    return refuse_type(option, value);
  if (!PyUnicode_FSConverter(value, &bytes))
    return -1;
  int error = fcgi_options_set(options, FCGI_ORIGIN_PROGRAM, option->name,
                               PyBytes_AS_STRING(bytes));
  Py_DECREF(bytes);
  return done(option, value, error);
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

/* True is an int to Python, and no number to a person. */
static int give_integer(fcgi_options *options, const fcgi_option *option,
                        PyObject *value) {
  PyObject *number = PyBool_Check(value) ? NULL : PyNumber_Index(value);
  if (number == NULL)
    return refuse_type(option, value);
  int overflow = 0;
  long long wide = PyLong_AsLongLongAndOverflow(number, &overflow);
  Py_DECREF(number);
  if (wide == 0 && option->may_be_none)
    return give_number(options, option, value, -1);
  if (overflow || wide < option->least || wide > option->most)
    return refuse_value(option, value);
  return give_number(options, option, value, wide);
}

/* Seconds as milliseconds, at least one. */
static int give_seconds(fcgi_options *options, const fcgi_option *option,
                        PyObject *value) {
  double seconds = PyBool_Check(value) ? -1.0 : PyFloat_AsDouble(value);
  int is_huge = PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_OverflowError);
  if (PyBool_Check(value) || (PyErr_Occurred() && !is_huge))
    return refuse_type(option, value);
  PyErr_Clear();
  double ms = seconds * 1000.0;
  if (ms == 0 && option->may_be_none && !is_huge)
    return give_number(options, option, value, -1);
  if (is_huge || !(ms > 0) || ms > (double)option->most)
    return refuse_value(option, value);
  return give_number(options, option, value, ms < 1.0 ? 1 : (int64_t)ms);
}

int options_give(fcgi_options *options, const fcgi_option *option,
                 PyObject *value) {
  if (value == Py_None)
    return option->may_be_none ? give_number(options, option, value, -1) : 0;
  if (option->repeatable)
    return give_texts(options, option, value);
  switch (option->kind) {
  case FCGI_OPTION_FLAG:
    if (!PyBool_Check(value))
      return refuse_type(option, value);
    return give_number(options, option, value, value == Py_True);
  case FCGI_OPTION_PROCESSES:
    if (PyUnicode_Check(value) &&
        PyUnicode_CompareWithASCIIString(value, "auto") == 0)
      return give_text(options, option, value);
    return give_integer(options, option, value);
  case FCGI_OPTION_SECONDS:
    return give_seconds(options, option, value);
  case FCGI_OPTION_COUNT:
  case FCGI_OPTION_BYTES:
  case FCGI_OPTION_MODE:
    return give_integer(options, option, value);
  default:
    return give_text(options, option, value);
  }
}

/* What an ASGI application's event loop heeds. */
static int is_of_asgi(const fcgi_option *option) {
  static const char *const names[] = {"lifespan", "limit_concurrency",
                                      "disconnect_grace", "loop"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strcmp(option->name, names[i]) == 0)
      return 1;
  return 0;
}

/* What is for servers, and of what is for workers what the core does. */
static int is_of_server(const fcgi_option *option) {
  return option->scope == FCGI_OPTION_FOR_SERVER ||
         strcmp(option->name, "stream") == 0 ||
         strcmp(option->name, "log_level") == 0;
}

/* What is for the processes of serve() and main(). */
static int is_of_workers(const fcgi_option *option) {
  return option->scope == FCGI_OPTION_FOR_PROCESSES ||
         strcmp(option->name, "chdir") == 0 ||
         strcmp(option->name, "umask") == 0;
}

/* What serve() and main() have. */
static int is_of_serve(const fcgi_option *option) {
  return is_of_server(option) || is_of_workers(option) || is_of_asgi(option) ||
         strcmp(option->name, "threads") == 0 ||
         strcmp(option->name, "interface") == 0;
}

/* "keep-alive" finds an option too, and is no keyword. */
static const fcgi_option *keyword(const char *name) {
  const fcgi_option *option = fcgi_option_find(name);
  if (option == NULL || strcmp(option->name, name) != 0)
    return NULL;
  return option->launchers & 1u << FCGI_LAUNCHER_PYTHON ? option : NULL;
}

/* The core knows which name was probably meant. */
static int refuse_keyword(fcgi_options *options, const char *call,
                          const char *name) {
  const fcgi_option *option = keyword(name);
  if (option == NULL) {
    fcgi_options_set(options, FCGI_ORIGIN_PROGRAM, name, "");
    PyErr_Format(PyExc_TypeError, "%s(): %s", call,
                 fcgi_options_message(options));
  } else {
    PyErr_Format(PyExc_TypeError, "%s(): option '%s' is for %s", call, name,
                 is_of_workers(option)
                     ? "serve() and main() with workers"
                     : "the command line of python -m fastcgi");
  }
  return -1;
}

/* Give one that the call has, which is Server() without `of_serve`. */
static int give_keyword(fcgi_options *options, const char *call, int of_serve,
                        PyObject *key, PyObject *value) {
  const char *name = PyUnicode_AsUTF8(key);
  if (name == NULL)
    return -1;
  const fcgi_option *option = keyword(name);
  if (option == NULL || !(of_serve ? is_of_serve : is_of_server)(option))
    return refuse_keyword(options, call, name);
  return options_give(options, option, value);
}

int options_give_server(fcgi_options *options, PyObject *kwargs) {
  PyObject *key, *value;
  Py_ssize_t at = 0;
  while (kwargs != NULL && PyDict_Next(kwargs, &at, &key, &value))
    if (give_keyword(options, "Server", 0, key, value) < 0)
      return -1;
  return 0;
}

int options_give_serve(fcgi_options *options, const char *call, PyObject *key,
                       PyObject *value) {
  return give_keyword(options, call, 1, key, value);
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
