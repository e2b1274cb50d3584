/* SPDX-License-Identifier: MIT */
/* fastcgi._core.Options: what a command line, the environment and files say. */
#include "options.h"
#include <string.h>

typedef struct options_object {
  PyObject_HEAD
  fcgi_options *core; /* NULL until it is made. */
} options_object;

static fcgi_options *core_of(PyObject *self) {
  return ((options_object *)self)->core;
}

static PyObject *new_options(PyTypeObject *type, PyObject *args,
                             PyObject *kwargs) {
  (void)kwargs;
  if (!PyArg_ParseTuple(args, ":Options"))
    return NULL;
  options_object *self = (options_object *)type->tp_alloc(type, 0);
  if (self != NULL && (self->core = options_new()) == NULL)
    Py_CLEAR(self);
  return (PyObject *)self;
}

static void dealloc(PyObject *self) {
  PyTypeObject *type = Py_TYPE(self);
  fcgi_options_free(core_of(self));
  type->tp_free(self);
  Py_DECREF(type);
}

fcgi_options *options_of(PyObject *value, PyTypeObject *type) {
  if (PyObject_TypeCheck(value, type))
    return core_of(value);
  PyErr_Format(PyExc_TypeError, "options must be Options, not %.100s",
               Py_TYPE(value)->tp_name);
  return NULL;
}

static PyObject *raise(const fcgi_options *options, int error) {
  if (error == FCGI_ERR_NOMEM)
    return PyErr_NoMemory();
  PyErr_SetString(PyExc_ValueError, fcgi_options_message(options));
  return NULL;
}

/* The words of a tuple of bytes, an array that PyMem_Free frees; NULL with an
   exception. */
static const char **words_of(PyObject *all) {
  Py_ssize_t count = PyTuple_GET_SIZE(all);
  const char **words = PyMem_Calloc((size_t)count + 1, sizeof *words);
  if (words == NULL)
    PyErr_NoMemory();
  for (Py_ssize_t i = 0; words != NULL && i < count; i++) {
    char *word;
    if (PyBytes_AsStringAndSize(PyTuple_GET_ITEM(all, i), &word, NULL) < 0) {
      PyMem_Free(words);
      return NULL;
    }
    words[i] = word;
  }
  return words;
}

static PyObject *read_words(PyObject *self, PyObject *list) {
  PyObject *all = PySequence_Tuple(list);
  const char **words = all == NULL ? NULL : words_of(all);
  PyObject *used = NULL;
  size_t count = 0;
  if (words != NULL) {
    int error = fcgi_options_read_words(
        core_of(self), (size_t)PyTuple_GET_SIZE(all), words, &count);
    used = error ? raise(core_of(self), error) : PyLong_FromSize_t(count);
  }
  PyMem_Free(words);
  Py_XDECREF(all);
  return used;
}

static PyObject *read_environment(PyObject *self, PyObject *unused) {
  int error = fcgi_options_read_environment(core_of(self));
  (void)unused;
  if (error)
    return raise(core_of(self), error);
  Py_RETURN_NONE;
}

static PyObject *read_file(PyObject *self, PyObject *args) {
  PyObject *directory = NULL, *path = NULL;
  const char *table;
  if (!PyArg_ParseTuple(args, "O&O&z:read_file", PyUnicode_FSConverter,
                        &directory, PyUnicode_FSConverter, &path, &table)) {
    Py_XDECREF(directory);
    return NULL;
  }
  int error =
      fcgi_options_read_file(core_of(self), PyBytes_AS_STRING(directory),
                             PyBytes_AS_STRING(path), table);
  Py_DECREF(directory);
  Py_DECREF(path);
  if (error)
    return raise(core_of(self), error);
  Py_RETURN_NONE;
}

static const fcgi_option *option_of(PyObject *name) {
  const char *text = PyUnicode_AsUTF8(name);
  const fcgi_option *option = text == NULL ? NULL : fcgi_option_find(text);
  if (text != NULL && option == NULL)
    PyErr_SetObject(PyExc_KeyError, name);
  return option;
}

static PyObject *value(PyObject *self, PyObject *name) {
  const fcgi_option *option = option_of(name);
  return option == NULL ? NULL : options_value(core_of(self), option);
}

static int give_any(PyObject *self, PyObject *name, PyObject *value) {
  const fcgi_option *option = option_of(name);
  return option == NULL ? -1 : options_give(core_of(self), option, value);
}

static PyObject *give(PyObject *self, PyObject *args) {
  PyObject *name, *value;
  const char *call = NULL;
  if (!PyArg_ParseTuple(args, "UO|z:give", &name, &value, &call))
    return NULL;
  int given = call == NULL
                  ? give_any(self, name, value)
                  : options_give_serve(core_of(self), call, name, value);
  if (given < 0)
    return NULL;
  Py_RETURN_NONE;
}

/* The names of what was given. */
static PyObject *given(PyObject *self, PyObject *unused) {
  PyObject *list = PyList_New(0);
  const fcgi_option *option;
  (void)unused;
  for (size_t i = 0; list != NULL && (option = fcgi_option_at(i)) != NULL;
       i++) {
    if (fcgi_options_origin(core_of(self), option->name) == FCGI_ORIGIN_DEFAULT)
      continue;
    PyObject *name = PyUnicode_FromString(option->name);
    if (name == NULL || PyList_Append(list, name) < 0)
      Py_CLEAR(list);
    Py_XDECREF(name);
  }
  return list;
}

static PyObject *text_of(const char *text) {
  return text == NULL ? PyErr_NoMemory() : PyUnicode_DecodeFSDefault(text);
}

static PyObject *doubts(PyObject *self, PyObject *unused) {
  PyObject *list = PyList_New(0);
  const char *line;
  (void)unused;
  for (Py_ssize_t i = 0;
       list != NULL &&
       (line = fcgi_options_doubt(core_of(self), (size_t)i)) != NULL;
       i++) {
    PyObject *text = text_of(line);
    if (text == NULL || PyList_Append(list, text) < 0)
      Py_CLEAR(list);
    Py_XDECREF(text);
  }
  return list;
}

static PyObject *show(PyObject *self, PyObject *unused) {
  (void)unused;
  return text_of(fcgi_options_show(core_of(self)));
}

static PyObject *help(PyObject *self, PyObject *unused) {
  (void)unused;
  return text_of(fcgi_options_help(core_of(self)));
}

/* The names of the options of a scope that Python has. */
static PyObject *names_of(PyObject *self, PyObject *scope) {
  static const char *const scopes[] = {"server", "worker", "processes",
                                       "command"};
  PyObject *list = PyList_New(0);
  const fcgi_option *option;
  (void)self;
  for (size_t i = 0; list != NULL && (option = fcgi_option_at(i)) != NULL;
       i++) {
    if (!PyUnicode_Check(scope) ||
        PyUnicode_CompareWithASCIIString(scope, scopes[option->scope]) != 0 ||
        !(option->launchers & 1u << FCGI_LAUNCHER_PYTHON))
      continue;
    PyObject *name = PyUnicode_FromString(option->name);
    if (name == NULL || PyList_Append(list, name) < 0)
      Py_CLEAR(list);
    Py_XDECREF(name);
  }
  return list;
}

static PyMethodDef methods[] = {
    {"read_words", read_words, METH_O,
     "read_words($self, words, /)\n--\n\n"
     "Read the words of a command line, as bytes; returns how many were read."},
    {"read_environment", read_environment, METH_NOARGS,
     "read_environment($self)\n--\n\nRead what the environment says."},
    {"read_file", read_file, METH_VARARGS,
     "read_file($self, directory, path, table, /)\n--\n\n"
     "Read a TOML file, or a table of it."},
    {"value", value, METH_O,
     "value($self, name, /)\n--\n\n"
     "The value of an option, or its default; None where there is none."},
    {"give", give, METH_VARARGS,
     "give($self, name, value, call=None, /)\n--\n\n"
     "Give an option the value of a keyword; refuses one that it cannot have.\n"
     "With call, 'serve' or 'main', it also refuses what that has not."},
    {"given", given, METH_NOARGS,
     "given($self)\n--\n\nThe names of the options that were given."},
    {"doubts", doubts, METH_NOARGS,
     "doubts($self)\n--\n\nLines about variables that are nearly options."},
    {"show", show, METH_NOARGS,
     "show($self)\n--\n\nA TOML file of all options and their origins."},
    {"help", help, METH_NOARGS,
     "help($self)\n--\n\nWhat --help says of the options."},
    {"names", names_of, METH_O | METH_STATIC,
     "names(scope, /)\n--\n\n"
     "The options for 'server', 'worker', 'processes' or 'command'."},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(doc, "Options()\n--\n\nWhat is given to the launcher.");

static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)(uintptr_t)doc},
    {Py_tp_new, new_options},
    {Py_tp_dealloc, dealloc},
    {Py_tp_methods, methods},
    {0, NULL},
};

PyType_Spec options_spec = {
    .name = "fastcgi._core.Options",
    .basicsize = sizeof(options_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};
