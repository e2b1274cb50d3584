/* SPDX-License-Identifier: MIT */
#include "environ.h"

enum {
  /* Keys that a copy of `last` holds more without taking more memory. It is
     less than half of what any dict has room for that is as large as `last`. */
  ROOM = 12,
  QUIET = 64 /* Requests that need no room before it is given up. */
};

/* Python has none where descriptor 2 was closed; an application counts on it
   (PEP 3333). */
static PyObject *wsgi_errors(void) {
  PyObject *errors = PySys_GetObject("stderr");
  if (errors != NULL && errors != Py_None)
    return Py_NewRef(errors);
  PyObject *io = PyImport_ImportModule("io");
  PyObject *made =
      io == NULL ? NULL
                 : PyObject_CallMethod(io, "open", "ss", "/dev/null", "w");
  Py_XDECREF(io);
  return made;
}

int environ_init(environ_memo *self, core_state *state, int multithread,
                 int multiprocess, int cgi) {
  memset(self, 0, sizeof *self);
  slots_clear(&self->slots);
  PyObject *base = self->base = PyDict_New();
  if (base == NULL || derive_defaults(base) < 0 ||
      derive_set(base, "wsgi.version", Py_BuildValue("(ii)", 1, 0)) < 0 ||
      derive_set(base, "wsgi.errors", wsgi_errors()) < 0 ||
      derive_set(base, "wsgi.multithread", PyBool_FromLong(multithread)) < 0 ||
      derive_set(base, "wsgi.multiprocess", PyBool_FromLong(multiprocess)) <
          0 ||
      derive_set(base, "wsgi.run_once", PyBool_FromLong(cgi)) < 0 ||
      derive_set(base, "wsgi.input_terminated", PyBool_FromLong(1)) < 0 ||
      derive_set(base, "wsgi.file_wrapper",
                 Py_NewRef((PyObject *)state->file_wrapper_type)) < 0 ||
      PyDict_SetItem(base, state->wsgi_input, Py_None) < 0)
    return -1;
  return PyDict_SetItem(base, state->fastcgi_request, Py_None);
}

static void forget(environ_memo *self) {
  self->request = NULL;
  Py_CLEAR(self->aborted);
  Py_CLEAR(self->last);
  memset(&self->derived, 0, sizeof self->derived);
  slots_clear(&self->slots);
}

void environ_clear(environ_memo *self) {
  forget(self);
  Py_CLEAR(self->base);
}

/* CGI has CONTENT_TYPE and CONTENT_LENGTH instead of these two; Caddy sends
   both spellings, and wsgiref.validate refuses these. The web server has taken
   a coding off the body (RFC 3875, 4.1.18): Bottle would do so again. Only
   where the length is open is it a hint that there is a body. */
static int drop_misleading(const environ_memo *self, PyObject *dict,
                           const request_object *request) {
  int failed = derive_drop(dict, "HTTP_CONTENT_TYPE") < 0 ||
               derive_drop(dict, "HTTP_CONTENT_LENGTH") < 0;
  if (!failed && (self->collects || request->length >= 0))
    failed = derive_drop(dict, "HTTP_TRANSFER_ENCODING") < 0;
  return failed ? -1 : 0;
}

/* The parameters but those with a name of ours, which hides it. */
static int fill(const environ_memo *self, core_state *state, PyObject *dict,
                const fcgi_params *params) {
  fcgi_param param;
  if (params_fill(state, dict, params) < 0)
    return -1;
  for (size_t i = 0; fcgi_params_at(params, i, &param) == 0; i++) {
    if (!params_is_ours(param.name, param.name_len))
      continue;
    PyObject *name = params_name(state, param.name, param.name_len);
    PyObject *own =
        name == NULL ? NULL : PyDict_GetItemWithError(self->base, name);
    int failed = name == NULL || (own != NULL ? PyDict_SetItem(dict, name, own)
                                              : PyDict_DelItem(dict, name)) < 0;
    Py_XDECREF(name);
    if (failed && !PyErr_ExceptionMatches(PyExc_KeyError))
      return -1;
    PyErr_Clear(); /* It came twice. */
  }
  return 0;
}

/* A dict that owes nothing to another request. */
static PyObject *build(environ_memo *self, request_object *request,
                       const fcgi_params *params) {
  derive_sources from;
  derive_memo nothing = {0};
  PyObject *dict = PyDict_Copy(self->base);
  derive_find(params, &from);
  if (dict != NULL &&
      (fill(self, request->state, dict, params) < 0 ||
       drop_misleading(self, dict, request) < 0 ||
       derive_keys(request, dict, &from, &nothing, DERIVE_ALL) < 0))
    Py_CLEAR(dict);
  return dict;
}

/* Bring `last` up to date: 0, 1 when the parameters do not fit, or -1 with an
   exception. */
static int update_last(environ_memo *self, request_object *request,
                       const slots_list *list) {
  slot_table *slots = &self->slots;
  int is_first = self->last == NULL;
  if (is_first && (self->last = PyDict_Copy(self->base)) == NULL)
    return -1;
  if (is_first) {
    self->dense = (size_t)PyDict_Size(self->base);
    self->room = 0;
  }
  int rc = slots_update(slots, request->state, self->base, self->last, list);
  if (rc < 0)
    return rc == SLOTS_UNFIT ? 1 : -1;
  unsigned changed = is_first ? DERIVE_ALL : slots->changed;
  if (changed == 0)
    return 0;
  return derive_keys(request, self->last, &slots->sources, &self->derived,
                     changed);
}

/* A key for each number, which no parameter has. */
static int set_spare(PyObject *dict, int number, PyObject *value) {
  PyObject *name = PyUnicode_FromFormat("fastcgi.spare.%d", number);
  int failed =
      name == NULL || (value != NULL ? PyDict_SetItem(dict, name, value)
                                     : PyDict_DelItem(dict, name)) < 0;
  Py_XDECREF(name);
  return failed ? -1 : 0;
}

/* The bytes of a dict; -1 with an exception. */
static Py_ssize_t size_of(PyObject *dict) {
  PyObject *size = PyObject_CallMethod(dict, "__sizeof__", NULL);
  Py_ssize_t bytes = size == NULL ? -1 : PyLong_AsSsize_t(size);
  Py_XDECREF(size);
  return bytes;
}

/* Put keys in until the dict takes more memory, but at most `most`, and take
   them out: how many fitted, or -1 with an exception. */
static int try_room(PyObject *dict, int most) {
  Py_ssize_t before = size_of(dict), after = before;
  int count = 0, failed = before < 0;
  while (!failed && count < most && after == before) {
    failed = set_spare(dict, count++, Py_None) < 0;
    after = failed ? -1 : size_of(dict);
    failed = after < 0;
  }
  int fitted = after == before ? count : count - 1;
  while (!failed && count > 0)
    failed = set_spare(dict, --count, NULL) < 0;
  return failed ? -1 : fitted;
}

static PyObject *without_gaps(PyObject *dict) {
  PyObject *fresh = PyDict_New();
  if (fresh != NULL && PyDict_Update(fresh, dict) < 0)
    Py_CLEAR(fresh);
  return fresh;
}

/* Give `last` no gaps, and room for so many keys. */
static int remake_last(environ_memo *self, int wanted) {
  PyObject *tried = without_gaps(self->last), *fresh = NULL;
  int room = tried == NULL ? -1 : try_room(tried, wanted);
  size_t gaps = room < wanted ? (size_t)room + 1 : 0;
  if (room >= 0) /* What had the room has gaps instead. */
    fresh = gaps > 0 ? Py_NewRef(tried) : without_gaps(self->last);
  Py_XDECREF(tried);
  if (fresh == NULL)
    return -1;
  Py_SETREF(self->last, fresh);
  self->dense = (size_t)PyDict_Size(fresh) + gaps;
  self->room = (size_t)wanted;
  self->slots.added = 0;
  return 0;
}

/* Where keys come and go, `last` gets gaps. Once they are a third of it, Python
   would copy it key by key. A copy that gets more keys than it has room for
   takes as long. */
static int tidy(environ_memo *self) {
  size_t used = (size_t)PyDict_Size(self->last), added = self->slots.added;
  size_t more = slots_loose(&self->slots);
  more = more < ROOM ? more : ROOM;
  self->unused = more > 0 || self->room == 0 ? 0 : self->unused + 1;
  if (used >= (self->dense + added) * 2 / 3 && self->unused < QUIET &&
      (more == 0 || self->room >= added + more))
    return 0;
  return remake_last(self, more > 0 ? ROOM : 0);
}

static int can_remember(const fcgi_params *params, const slots_list *list) {
  return list->count <= SLOTS_PARAMS && !fcgi_params_duplicates(params);
}

/* The keys that belong to one request. */
static int set_request(const core_state *state, PyObject *dict,
                       PyObject *request, PyObject *aborted) {
  if (PyDict_SetItem(dict, state->wsgi_input, request) < 0 ||
      PyDict_SetItem(dict, state->fastcgi_request, request) < 0)
    return -1;
  return PyDict_SetItem(dict, state->fastcgi_aborted, aborted);
}

/* `last` is mostly that of the same object already, which was used again. */
static int bind(environ_memo *self, request_object *request) {
  if (self->request == request)
    return 0;
  PyObject *aborted = abort_callable(request);
  if (aborted == NULL)
    return -1;
  Py_XSETREF(self->aborted, aborted);
  self->request = request;
  return set_request(request->state, self->last, (PyObject *)request, aborted);
}

static PyObject *build_alone(environ_memo *self, request_object *request,
                             const fcgi_params *params) {
  PyObject *dict = build(self, request, params);
  PyObject *aborted = dict == NULL ? NULL : abort_callable(request);
  if (aborted == NULL ||
      set_request(request->state, dict, (PyObject *)request, aborted) < 0)
    Py_CLEAR(dict);
  Py_XDECREF(aborted);
  return dict;
}

static PyObject *copy_last(environ_memo *self) {
  PyObject *copy = tidy(self) < 0 ? NULL : PyDict_Copy(self->last);
  if (copy != NULL && slots_complete(&self->slots, self->last, copy) < 0)
    Py_CLEAR(copy);
  return copy;
}

static PyObject *make(environ_memo *self, request_object *request,
                      const fcgi_params *params) {
  slots_list list;
  PyObject *dict = NULL;
  list.count = fcgi_params_list(params, list.at, list.known, SLOTS_PARAMS);
  int rc = can_remember(params, &list) ? update_last(self, request, &list) : 1;
  if (rc == 0 && bind(self, request) == 0)
    dict = copy_last(self);
  if (dict != NULL)
    return dict;
  forget(self);
  return rc > 0 ? build_alone(self, request, params) : NULL;
}

/* A body that was collected has a length, which applications go by, whatever
   wsgi.input_terminated says. */
static int set_length(const request_object *request, PyObject *dict) {
  return derive_set(dict, "CONTENT_LENGTH",
                    PyUnicode_FromFormat("%lld", (long long)request->length));
}

PyObject *environ_make(environ_memo *self, request_object *request) {
  const fcgi_params *params = fcgi_request_params(request->handle);
  int needs_length = request->length > 0 &&
                     fcgi_params_number(params, "CONTENT_LENGTH", 14) < 0;
  PyObject *dict = make(self, request, params);
  if (dict != NULL && needs_length && set_length(request, dict) < 0)
    Py_CLEAR(dict);
  return dict;
}

int environ_holds(const environ_memo *self, const request_object *request) {
  if (self->request == NULL || self->request != request)
    return 0;
  const PyCFunctionObject *aborted = (const PyCFunctionObject *)self->aborted;
  int ours = Py_REFCNT(self->aborted) == 2 && aborted->m_weakreflist == NULL;
  return ours ? 3 : -1; /* Two keys, and the callable. */
}

void environ_release(environ_memo *self) {
  PyObject *type, *value, *traceback;
  if (self->request == NULL)
    return;
  const core_state *state = self->request->state;
  PyErr_Fetch(&type, &value, &traceback); /* The application's may be set. */
  self->request = NULL;
  if (set_request(state, self->last, Py_None, Py_None) < 0)
    forget(self);
  Py_CLEAR(self->aborted);
  PyErr_Restore(type, value, traceback);
}
