/* SPDX-License-Identifier: MIT */
/* A dictionary that workers share. Its operations are short, so they keep the
   GIL; it is let go only where one has to sleep. */
#include "shared.h"

enum { ON_STACK = 4096 }; /* Values up to this size are read at once. */

typedef struct shared_object {
  PyObject_HEAD
  fcgi_shared *memory; /* NULL only if making it has failed. */
} shared_object;

static void *let_go(void *unused) {
  (void)unused;
  return PyEval_SaveThread();
}

static void take_back(void *unused, void *thread) {
  (void)unused;
  PyEval_RestoreThread(thread);
}

static core_state *state_of(PyObject *self) {
  return state_of_type(Py_TYPE(self));
}

static fcgi_shared *memory_of(PyObject *self) {
  return ((shared_object *)self)->memory;
}

/* --- Making one ----------------------------------------------------------- */

static PyObject *cannot_open(core_state *state, int error, const char *name) {
  char text[256];
  if (error == FCGI_ERR_STATE)
    snprintf(text, sizeof text,
             "the supervisor has no shared dictionary \"%.64s\"; declare it: "
             "--shared %.64s=16M",
             name, name);
  else if (error == FCGI_ERR_INVALID)
    snprintf(text, sizeof text,
             "a shared dictionary has a name of up to %d letters, digits, _, - "
             "and ., and a size from %d up",
             FCGI_SHARED_NAME - 1, FCGI_SHARED_LEAST);
  else if (error == FCGI_ERR_DAMAGED)
    snprintf(text, sizeof text,
             "the memory of the shared dictionaries is of another version; "
             "restart the supervisor");
  else
    return error_set(state, error, NULL);
  return error_set(state, error, text);
}

static PyObject *shared_new(PyTypeObject *type, PyObject *args,
                            PyObject *kwargs) {
  static const char *const names[] = {"name", "size", NULL};
  fcgi_shared_config config = {
      .size = sizeof config, .sleeps = let_go, .woke = take_back};
  core_state *state = state_of_type(type);
  const char *name;
  Py_ssize_t size = 1 << 20;
  if (state == NULL || !args_parse(args, kwargs, "s|n", names, &name, &size))
    return NULL;
  config.private_size = size > 0 ? (size_t)size : 1;
  shared_object *self = (shared_object *)type->tp_alloc(type, 0);
  if (self == NULL)
    return NULL;
  int error = fcgi_shared_open(&self->memory, name, &config);
  if (!error)
    return (PyObject *)self;
  cannot_open(state, error, name);
  Py_DECREF(self);
  return NULL;
}

static void shared_dealloc(PyObject *object) {
  PyTypeObject *type = Py_TYPE(object);
  fcgi_shared_free(memory_of(object));
  type->tp_free(object);
  Py_DECREF(type);
}

/* --- Operations ----------------------------------------------------------- */

/* What an operation on a key has come to, as an exception if it failed. */
static PyObject *done(PyObject *self, shared_key *key, int result) {
  core_state *state = state_of(self);
  Py_DECREF(key->owner);
  if (result >= 0)
    return PyBool_FromLong(result);
  if (state == NULL)
    return NULL;
  return error_set(state, result,
                   result == FCGI_ERR_LIMIT
                       ? "the value is larger than the shared dictionary"
                       : NULL);
}

static PyObject *shared_get(PyObject *self, PyObject *args, PyObject *kwargs) {
  static const char *const names[] = {"", "default", NULL};
  PyObject *name, *standard = Py_None, *large = NULL, *made;
  char small[ON_STACK], *buffer = small;
  size_t room = sizeof small;
  fcgi_shared_value value;
  shared_key key;
  int found;
  if (!args_parse(args, kwargs, "O|O:get", names, &name, &standard) ||
      shared_key_take(&key, name) < 0)
    return NULL;
  for (;;) {
    found = fcgi_shared_get(memory_of(self), key.data, (size_t)key.len, buffer,
                            room, &value);
    if (found <= 0 || value.data != NULL || value.kind > FCGI_SHARED_STRING)
      break;
    Py_XDECREF(large);
    room = value.len;
    large = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)room);
    if (large == NULL) {
      Py_DECREF(key.owner);
      return NULL;
    }
    buffer = PyBytes_AS_STRING(large);
  }
  made = done(self, &key, found);
  if (found >= 0)
    Py_SETREF(made, found ? shared_value_make(&value) : Py_NewRef(standard));
  Py_XDECREF(large);
  return made;
}

typedef int store_fn(fcgi_shared *, const void *, size_t,
                     const fcgi_shared_value *);

static PyObject *store(PyObject *self, PyObject *args, PyObject *kwargs,
                       store_fn *how, const char *format) {
  static const char *const names[] = {"", "", "ttl", NULL};
  PyObject *name, *given, *ttl = NULL;
  Py_buffer view = {.obj = NULL};
  fcgi_shared_value value;
  shared_key key;
  int result;
  if (!args_parse(args, kwargs, format, names, &name, &given, &ttl) ||
      shared_key_take(&key, name) < 0)
    return NULL;
  if (shared_value_take(&value, given, &view) < 0 ||
      shared_ttl_take(&value.ttl_ms, ttl) < 0) {
    PyBuffer_Release(&view);
    Py_DECREF(key.owner);
    return NULL;
  }
  result = how(memory_of(self), key.data, (size_t)key.len, &value);
  PyBuffer_Release(&view);
  if (how != fcgi_shared_set || result < 0)
    return done(self, &key, result);
  Py_DECREF(key.owner);
  return PyLong_FromLong(result);
}

static PyObject *shared_set(PyObject *self, PyObject *args, PyObject *kwargs) {
  return store(self, args, kwargs, fcgi_shared_set, "OO|O:set");
}

static PyObject *shared_add(PyObject *self, PyObject *args, PyObject *kwargs) {
  return store(self, args, kwargs, fcgi_shared_add, "OO|O:add");
}

static PyObject *shared_replace(PyObject *self, PyObject *args,
                                PyObject *kwargs) {
  return store(self, args, kwargs, fcgi_shared_replace, "OO|O:replace");
}

static PyObject *count_failed(PyObject *self, shared_key *key, int result) {
  PyObject *error = result == FCGI_ERR_STATE   ? PyExc_TypeError
                    : result == FCGI_ERR_LIMIT ? PyExc_OverflowError
                                               : NULL;
  if (error == NULL)
    return done(self, key, result);
  Py_DECREF(key->owner);
  PyErr_SetString(error, result == FCGI_ERR_STATE
                             ? "the value of that key is no integer"
                             : "the sum does not fit into 64 bits");
  return NULL;
}

static PyObject *shared_incr(PyObject *self, PyObject *args, PyObject *kwargs) {
  static const char *const names[] = {"", "n", "init", "ttl", NULL};
  PyObject *name, *by = NULL, *init = Py_None, *ttl = NULL;
  int64_t added = 1, first = 0, ttl_ms, sum;
  shared_key key;
  if (!args_parse(args, kwargs, "O|O!OO:incr", names, &name, &PyLong_Type, &by,
                  &init, &ttl) ||
      (by != NULL && shared_integer_take(&added, by) < 0) ||
      (init != Py_None && shared_integer_take(&first, init) < 0) ||
      shared_ttl_take(&ttl_ms, ttl) < 0 || shared_key_take(&key, name) < 0)
    return NULL;
  int result =
      fcgi_shared_incr(memory_of(self), key.data, (size_t)key.len, added,
                       init == Py_None ? NULL : &first, ttl_ms, &sum);
  if (result < 0)
    return count_failed(self, &key, result);
  Py_DECREF(key.owner);
  if (result == 0)
    Py_RETURN_NONE;
  return PyLong_FromLongLong(sum);
}

static PyObject *shared_delete(PyObject *self, PyObject *name) {
  shared_key key;
  if (shared_key_take(&key, name) < 0)
    return NULL;
  return done(self, &key,
              fcgi_shared_delete(memory_of(self), key.data, (size_t)key.len));
}

static PyObject *shared_expire(PyObject *self, PyObject *args,
                               PyObject *kwargs) {
  static const char *const names[] = {"", "ttl", NULL};
  PyObject *name, *ttl;
  int64_t ttl_ms;
  shared_key key;
  if (!args_parse(args, kwargs, "OO:expire", names, &name, &ttl) ||
      shared_ttl_take(&ttl_ms, ttl) < 0 || shared_key_take(&key, name) < 0)
    return NULL;
  return done(
      self, &key,
      fcgi_shared_expire(memory_of(self), key.data, (size_t)key.len, ttl_ms));
}

static PyObject *shared_ttl(PyObject *self, PyObject *name) {
  fcgi_shared_value value;
  shared_key key;
  if (shared_key_take(&key, name) < 0)
    return NULL;
  int found = fcgi_shared_get(memory_of(self), key.data, (size_t)key.len, NULL,
                              0, &value);
  PyObject *made = done(self, &key, found);
  if (found == 0) {
    Py_CLEAR(made);
    PyErr_SetObject(PyExc_KeyError, name);
  } else if (found > 0) {
    Py_SETREF(made, value.ttl_ms
                        ? PyFloat_FromDouble((double)value.ttl_ms / 1000)
                        : Py_NewRef(Py_None));
  }
  return made;
}

static int add_key(PyObject *list, const char *key, int len) {
  PyObject *text = PyUnicode_DecodeUTF8(key, len, "surrogateescape");
  int failed = text == NULL || PyList_Append(list, text) < 0;
  Py_XDECREF(text);
  return failed ? -1 : 0;
}

static PyObject *shared_keys(PyObject *self, PyObject *unused) {
  char key[FCGI_SHARED_KEY];
  core_state *state = state_of(self);
  PyObject *list = state == NULL ? NULL : PyList_New(0);
  uint64_t place = 0;
  int len = 0;
  (void)unused;
  while (list != NULL &&
         (len = fcgi_shared_next(memory_of(self), &place, key)) > 0)
    if (add_key(list, key, len) < 0)
      Py_CLEAR(list);
  if (list != NULL && len < 0) {
    Py_CLEAR(list);
    error_set(state, len, NULL);
  }
  return list;
}

static PyObject *nothing(PyObject *self, int error) {
  core_state *state;
  if (!error)
    Py_RETURN_NONE;
  state = state_of(self);
  return state == NULL ? NULL : error_set(state, error, NULL);
}

static PyObject *shared_clear(PyObject *self, PyObject *unused) {
  (void)unused;
  return nothing(self, fcgi_shared_clear(memory_of(self)));
}

static PyObject *shared_lock(PyObject *self, PyObject *args) {
  PyObject *name, *ttl;
  int64_t ttl_ms;
  uint64_t token;
  shared_key key;
  int wait_ms;
  if (!PyArg_ParseTuple(args, "OOi:_lock", &name, &ttl, &wait_ms) ||
      shared_ttl_take(&ttl_ms, ttl) < 0 || shared_key_take(&key, name) < 0)
    return NULL;
  int result = fcgi_shared_lock(memory_of(self), key.data, (size_t)key.len,
                                ttl_ms, wait_ms, &token);
  PyObject *made = done(self, &key, result);
  if (result > 0)
    Py_SETREF(made, PyLong_FromUnsignedLongLong(token));
  return made;
}

static PyObject *shared_unlock(PyObject *self, PyObject *args) {
  PyObject *name;
  unsigned long long token;
  shared_key key;
  if (!PyArg_ParseTuple(args, "OK:_unlock", &name, &token) ||
      shared_key_take(&key, name) < 0)
    return NULL;
  return done(
      self, &key,
      fcgi_shared_unlock(memory_of(self), key.data, (size_t)key.len, token));
}

static PyObject *shared_counts(PyObject *self, PyObject *unused) {
  static const char *const keys[] = {
#define COUNT_KEY(name, key, text) #key,
      FCGI_SHARED_COUNT_MAP(COUNT_KEY)
#undef COUNT_KEY
  };
  uint64_t counts[FCGI_SHARED_COUNTS];
  int error = fcgi_shared_counts(memory_of(self), counts, FCGI_SHARED_COUNTS);
  PyObject *made = error ? nothing(self, error) : PyDict_New();
  (void)unused;
  for (int i = 0; made != NULL && !error && i < FCGI_SHARED_COUNTS; i++) {
    PyObject *number = PyLong_FromUnsignedLongLong(counts[i]);
    if (number == NULL || PyDict_SetItemString(made, keys[i], number) < 0)
      Py_CLEAR(made);
    Py_XDECREF(number);
  }
  return made;
}

static PyObject *get_name(PyObject *self, void *unused) {
  (void)unused;
  return PyUnicode_FromString(fcgi_shared_name(memory_of(self)));
}

static PyObject *get_private(PyObject *self, void *unused) {
  (void)unused;
  return PyBool_FromLong(fcgi_shared_is_private(memory_of(self)));
}

#define WITH_KEYWORDS(function) (PyCFunction)(void (*)(void)) function
#define KEYWORDS                METH_VARARGS | METH_KEYWORDS

static PyMethodDef shared_methods[] = {
    {"get", WITH_KEYWORDS(shared_get), KEYWORDS,
     "get($self, key, /, default=None)\n--\n\nThe value of a key."},
    {"set", WITH_KEYWORDS(shared_set), KEYWORDS,
     "set($self, key, value, /, ttl=None)\n--\n\nStore a value, for ttl "
     "seconds. Returns how many entries had to go for it."},
    {"add", WITH_KEYWORDS(shared_add), KEYWORDS,
     "add($self, key, value, /, ttl=None)\n--\n\nStore a value if the key has "
     "none; says whether."},
    {"replace", WITH_KEYWORDS(shared_replace), KEYWORDS,
     "replace($self, key, value, /, ttl=None)\n--\n\nStore a value if the key "
     "has one; says whether."},
    {"incr", WITH_KEYWORDS(shared_incr), KEYWORDS,
     "incr($self, key, /, n=1, init=None, ttl=None)\n--\n\nAdd to an integer, "
     "exactly, and return the sum. Where there is none, init + n is\nstored "
     "for ttl seconds; without init None is returned."},
    {"delete", shared_delete, METH_O,
     "delete($self, key, /)\n--\n\nRemove an entry; says whether there was "
     "one."},
    {"expire", WITH_KEYWORDS(shared_expire), KEYWORDS,
     "expire($self, key, /, ttl)\n--\n\nLet an entry live for ttl seconds from "
     "now, None for ever; says whether there is one."},
    {"ttl", shared_ttl, METH_O,
     "ttl($self, key, /)\n--\n\nSeconds that an entry has left; None: without "
     "an end. KeyError if there is none."},
    {"keys", shared_keys, METH_NOARGS,
     "keys($self)\n--\n\nThe keys in a list, in any order."},
    {"clear", shared_clear, METH_NOARGS,
     "clear($self)\n--\n\nRemove every entry and every lock."},
    {"counts", shared_counts, METH_NOARGS,
     "counts($self)\n--\n\nNumbers about the dictionary, by their names."},
    {"_lock", shared_lock, METH_VARARGS, NULL},
    {"_unlock", shared_unlock, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef shared_getset[] = {
    {"name", get_name, NULL, "Its name.", NULL},
    {"private", get_private, NULL, "Whether no other program has it.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static const char doc[] =
    "Shared(name, size=1048576)\n--\n\n"
    "A dictionary that all workers of a supervisor share.";

static PyType_Slot shared_slots[] = {
    {Py_tp_doc, (void *)(uintptr_t)doc}, {Py_tp_new, shared_new},
    {Py_tp_dealloc, shared_dealloc},     {Py_tp_methods, shared_methods},
    {Py_tp_getset, shared_getset},       {0, NULL},
};

PyType_Spec shared_spec = {
    .name = "fastcgi._core.Shared",
    .basicsize = sizeof(shared_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = shared_slots,
};
