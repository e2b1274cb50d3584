/* SPDX-License-Identifier: MIT */
#include "environ.h"

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

static void clear_slots(environ_slot *slots, size_t count) {
  for (size_t i = 0; i < count; i++) {
    Py_CLEAR(slots[i].name);
    Py_CLEAR(slots[i].value);
  }
}

static void drop_last(environ_memo *self) {
  self->request = NULL;
  Py_CLEAR(self->aborted);
  Py_CLEAR(self->last);
}

static void forget(environ_memo *self) {
  clear_slots(self->slots, self->count);
  self->count = 0;
  drop_last(self);
}

void environ_clear(environ_memo *self) {
  forget(self);
  Py_CLEAR(self->base);
}

/* Find them where the slots tell at which index they are. */
static void take_sources(const environ_memo *self, const fcgi_params *params,
                         derive_sources *out) {
  fcgi_param param;
  memset(out, 0, sizeof *out);
  for (int i = 0; i < DERIVE_READ; i++)
    if (self->source[i] >= 0 &&
        fcgi_params_at(params, (size_t)self->source[i], &param) == 0)
      out->at[i] = (params_text){param.value, param.value_len};
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

/* Our own keys are nobody else's to set. */
static int is_ours(const char *name, size_t len) {
  return (len >= 5 && memcmp(name, "wsgi.", 5) == 0) ||
         (len >= 8 && memcmp(name, "fastcgi.", 8) == 0);
}

/* The parameters but those with a name of ours, which hides it. */
static int fill(const environ_memo *self, core_state *state, PyObject *dict,
                const fcgi_params *params) {
  fcgi_param param;
  if (params_fill(state, dict, params) < 0)
    return -1;
  for (size_t i = 0; fcgi_params_at(params, i, &param) == 0; i++) {
    if (!is_ours(param.name, param.name_len))
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
  PyObject *dict = PyDict_Copy(self->base);
  derive_find(params, &from);
  if (dict != NULL && (fill(self, request->state, dict, params) < 0 ||
                       drop_misleading(self, dict, request) < 0 ||
                       derive_keys(request, dict, &from) < 0))
    Py_CLEAR(dict);
  return dict;
}

static int is_name(const environ_slot *slot, const fcgi_param *param) {
  return slot->name_len == param->name_len &&
         memcmp(slot->name_text, param->name, param->name_len) == 0;
}

static int is_value(const environ_slot *slot, const fcgi_param *param) {
  return slot->value_len == param->value_len &&
         memcmp(slot->value_text, param->value, param->value_len) == 0;
}

/* Put a string, whose reference is taken, into a slot; -1 for NULL. */
static int put_name(environ_slot *slot, PyObject *name) {
  Py_XSETREF(slot->name, name);
  if (name == NULL)
    return -1;
  slot->name_text = (const char *)PyUnicode_1BYTE_DATA(name);
  slot->name_len = (size_t)PyUnicode_GET_LENGTH(name);
  return 0;
}

static int put_value(environ_slot *slot, PyObject *value) {
  Py_XSETREF(slot->value, value);
  if (value == NULL)
    return -1;
  slot->value_text = (const char *)PyUnicode_1BYTE_DATA(value);
  slot->value_len = (size_t)PyUnicode_GET_LENGTH(value);
  return 0;
}

/* Fill a slot with a parameter, with the strings of the slot of its name in
   the last request, `old`, where they are the same. */
static int fill_slot(environ_slot *slot, core_state *state,
                     const environ_slot *old, const fcgi_param *param) {
  PyObject *name = old != NULL
                       ? Py_NewRef(old->name)
                       : params_name(state, param->name, param->name_len);
  PyObject *value = old != NULL && is_value(old, param)
                        ? Py_NewRef(old->value)
                        : params_value(param->value, param->value_len);
  int failed = put_name(slot, name) < 0;
  slot->is_hidden = is_ours(param->name, param->name_len);
  return put_value(slot, value) < 0 || failed ? -1 : 0;
}

/* The slots for a list of parameters. Mostly it is the last one with a few
   names more or less, so a name is looked for behind the one before. */
static int fill_slots(const environ_memo *self, core_state *state,
                      const fcgi_params *params, environ_slot *slots) {
  fcgi_param param;
  size_t from = 0, count = fcgi_params_count(params);
  for (size_t i = 0; i < count; i++) {
    size_t at = from;
    fcgi_params_at(params, i, &param);
    while (at < self->count && !is_name(&self->slots[at], &param))
      at++;
    const environ_slot *old = at < self->count ? &self->slots[at] : NULL;
    if (fill_slot(&slots[i], state, old, &param) < 0)
      return -1;
    from = old != NULL ? at + 1 : from;
  }
  return 0;
}

static void note_source(environ_memo *self, int at) {
  environ_slot *slot = &self->slots[at];
  int source = derive_source(slot->name_text, slot->name_len);
  slot->is_source = source >= 0;
  if (source >= 0)
    self->source[source] = at;
}

/* Replace the slots by those for `params`. */
static int remember(environ_memo *self, core_state *state,
                    const fcgi_params *params) {
  environ_slot fresh[ENVIRON_SLOTS];
  size_t count = fcgi_params_count(params);
  memset(fresh, 0, count * sizeof *fresh);
  drop_last(self);
  if (fill_slots(self, state, params, fresh) < 0) {
    clear_slots(fresh, count);
    return -1;
  }
  clear_slots(self->slots, self->count);
  memcpy(self->slots, fresh, count * sizeof *fresh);
  self->count = count;
  for (int i = 0; i < DERIVE_SOURCES; i++)
    self->source[i] = -1;
  for (size_t i = 0; i < count; i++)
    note_source(self, (int)i);
  return 0;
}

/* Make `last` anew from the slots. */
static int build_last(environ_memo *self, request_object *request,
                      const fcgi_params *params) {
  derive_sources from;
  if (remember(self, request->state, params) < 0)
    return -1;
  PyObject *dict = PyDict_Copy(self->base);
  for (size_t i = 0; dict != NULL && i < self->count; i++)
    if (!self->slots[i].is_hidden &&
        PyDict_SetItem(dict, self->slots[i].name, self->slots[i].value) < 0)
      Py_CLEAR(dict);
  take_sources(self, params, &from);
  if (dict != NULL && derive_keys(request, dict, &from) < 0)
    Py_CLEAR(dict);
  self->last = dict;
  return dict == NULL ? -1 : 0;
}

/* Put a changed value into its slot and into `last`. */
static int update_slot(environ_memo *self, environ_slot *slot,
                       const fcgi_param *param) {
  PyObject *value = params_value(param->value, param->value_len);
  if (put_value(slot, value) < 0)
    return -1;
  return slot->is_hidden ? 0 : PyDict_SetItem(self->last, slot->name, value);
}

/* Bring `last` up to date when the list of names is the same, one by one: 1,
   0 when it is another, -1 with an exception. Every value is compared, so that
   nothing of the request before is left; what follows from several of them is
   derived anew after any change of those. */
static int update_last(environ_memo *self, request_object *request,
                       const fcgi_params *params) {
  derive_sources from;
  fcgi_param param;
  int sources_changed = 0;
  if (self->last == NULL || fcgi_params_count(params) != self->count)
    return 0;
  for (size_t i = 0; i < self->count; i++) {
    environ_slot *slot = &self->slots[i];
    if (fcgi_params_at(params, i, &param) < 0 || !is_name(slot, &param))
      return 0;
    if (is_value(slot, &param))
      continue;
    if (update_slot(self, slot, &param) < 0)
      return -1;
    sources_changed |= slot->is_source;
  }
  if (!sources_changed)
    return 1;
  take_sources(self, params, &from);
  return derive_keys(request, self->last, &from) < 0 ? -1 : 1;
}

static int can_remember(const fcgi_params *params) {
  return fcgi_params_count(params) <= ENVIRON_SLOTS &&
         !fcgi_params_duplicates(params) &&
         fcgi_params_get(params, "HTTP_CONTENT_TYPE", 17, NULL) == NULL &&
         fcgi_params_get(params, "HTTP_CONTENT_LENGTH", 19, NULL) == NULL &&
         fcgi_params_get(params, "HTTP_TRANSFER_ENCODING", 22, NULL) == NULL;
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

/* A body that was collected has a length, which applications go by, whatever
   wsgi.input_terminated says. */
static PyObject *with_length(const request_object *request, PyObject *dict,
                             const fcgi_params *params) {
  if (dict == NULL || request->length <= 0 ||
      fcgi_params_number(params, "CONTENT_LENGTH", 14) >= 0)
    return dict;
  if (derive_set(dict, "CONTENT_LENGTH",
                 PyUnicode_FromFormat("%lld", (long long)request->length)) < 0)
    Py_CLEAR(dict);
  return dict;
}

static PyObject *make(environ_memo *self, request_object *request,
                      const fcgi_params *params) {
  int rc = update_last(self, request, params);
  if (rc == 0 && !can_remember(params)) {
    forget(self);
    return build_alone(self, request, params);
  }
  if (rc == 0)
    rc = build_last(self, request, params);
  if (rc >= 0 && bind(self, request) == 0)
    return PyDict_Copy(self->last);
  forget(self);
  return NULL;
}

PyObject *environ_make(environ_memo *self, request_object *request) {
  const fcgi_params *params = fcgi_request_params(request->handle);
  return with_length(request, make(self, request, params), params);
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
