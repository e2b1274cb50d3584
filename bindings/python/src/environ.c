/* SPDX-License-Identifier: MIT */
#include "environ.h"
#include "params.h"
#include "path.h"
#include <strings.h>

/* What PEP 3333 requires and a web server may leave out. */
static const char *const defaults[][2] = {
    {"REQUEST_METHOD", "GET"},
    {"SCRIPT_NAME", ""},
    {"PATH_INFO", ""},
    {"QUERY_STRING", ""},
    {"SERVER_NAME", "localhost"},
    {"SERVER_PORT", "80"},
    {"SERVER_PROTOCOL", "HTTP/1.1"},
    {"wsgi.url_scheme", "http"},
};

static int set_defaults(PyObject *base) {
  for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++) {
    PyObject *key = PyUnicode_InternFromString(defaults[i][0]);
    PyObject *value = PyUnicode_InternFromString(defaults[i][1]);
    int failed =
        key == NULL || value == NULL || PyDict_SetItem(base, key, value) < 0;
    Py_XDECREF(key);
    Py_XDECREF(value);
    if (failed)
      return -1;
  }
  return 0;
}

/* Set `key` and let go of `value`, which may be NULL with an exception. */
static int set_new(PyObject *dict, const char *key, PyObject *value) {
  PyObject *name = PyUnicode_InternFromString(key);
  int failed =
      name == NULL || value == NULL || PyDict_SetItem(dict, name, value) < 0;
  Py_XDECREF(name);
  Py_XDECREF(value);
  return failed ? -1 : 0;
}

static PyObject *wsgi_errors(void) {
  PyObject *errors = PySys_GetObject("stderr");
  return Py_NewRef(errors == NULL ? Py_None : errors);
}

int environ_init(environ_memo *self, core_state *state, int multithread,
                 int cgi) {
  memset(self, 0, sizeof *self);
  PyObject *base = self->base = PyDict_New();
  if (base == NULL || set_defaults(base) < 0 ||
      set_new(base, "wsgi.version", Py_BuildValue("(ii)", 1, 0)) < 0 ||
      set_new(base, "wsgi.errors", wsgi_errors()) < 0 ||
      set_new(base, "wsgi.multithread", PyBool_FromLong(multithread)) < 0 ||
      set_new(base, "wsgi.multiprocess", PyBool_FromLong(cgi)) < 0 ||
      set_new(base, "wsgi.run_once", PyBool_FromLong(cgi)) < 0 ||
      set_new(base, "wsgi.input_terminated", PyBool_FromLong(1)) < 0 ||
      set_new(base, "wsgi.file_wrapper",
              Py_NewRef((PyObject *)state->file_wrapper_type)) < 0 ||
      PyDict_SetItem(base, state->wsgi_input, Py_None) < 0)
    return -1;
  return PyDict_SetItem(base, state->fastcgi_request, Py_None);
}

static void forget(environ_memo *self) {
  for (size_t i = 0; i < self->count; i++) {
    Py_CLEAR(self->slots[i].name);
    Py_CLEAR(self->slots[i].value);
  }
  self->count = 0;
  Py_CLEAR(self->last);
}

void environ_clear(environ_memo *self) {
  forget(self);
  Py_CLEAR(self->base);
}

static int is_https(const fcgi_params *params) {
  const char *https = fcgi_params_get(params, "HTTPS", 5, NULL);
  const char *scheme = fcgi_params_get(params, "REQUEST_SCHEME", 14, NULL);
  if (https != NULL && *https != '\0')
    return strcasecmp(https, "off") != 0 && strcmp(https, "0") != 0;
  return scheme != NULL && strcasecmp(scheme, "https") == 0;
}

/* Set the key to our value, and keep what the web server sent under another
   name where that differs. */
static int set_path(core_state *state, PyObject *dict, int is_info,
                    const fcgi_params *params, PyObject *value) {
  PyObject *key = is_info ? state->path_info : state->script_name;
  PyObject *kept = is_info ? state->orig_path_info : state->orig_script_name;
  const char *name = is_info ? "PATH_INFO" : "SCRIPT_NAME";
  size_t len = 0;
  const char *sent = fcgi_params_get(params, name, strlen(name), &len);
  int failed = 0;
  if (sent != NULL && !params_equal(value, sent, len)) {
    PyObject *original = params_value(sent, len);
    failed = original == NULL || PyDict_SetItem(dict, kept, original) < 0;
    Py_XDECREF(original);
  } else if (PyDict_Contains(dict, kept) == 1) {
    failed = PyDict_DelItem(dict, kept) < 0;
  }
  return failed ? -1 : PyDict_SetItem(dict, key, value);
}

/* The keys that follow from several parameters. */
static int derive(core_state *state, PyObject *dict, PyObject *root,
                  const fcgi_params *params) {
  path_pair pair;
  PyObject *scheme = is_https(params) ? state->https : state->http;
  if (PyDict_SetItem(dict, state->wsgi_url_scheme, scheme) < 0 ||
      path_split(params, root, &pair) < 0)
    return -1;
  int failed = set_path(state, dict, 0, params, pair.script_name) < 0 ||
               set_path(state, dict, 1, params, pair.path_info) < 0;
  Py_DECREF(pair.script_name);
  Py_DECREF(pair.path_info);
  return failed ? -1 : 0;
}

/* CGI has CONTENT_TYPE and CONTENT_LENGTH instead of these two; Caddy sends
   both spellings, and wsgiref.validate refuses these. */
static int drop_doubles(PyObject *dict) {
  static const char *const doubles[] = {"HTTP_CONTENT_TYPE",
                                        "HTTP_CONTENT_LENGTH"};
  for (int i = 0; i < 2; i++) {
    if (PyDict_DelItemString(dict, doubles[i]) == 0)
      continue;
    if (!PyErr_ExceptionMatches(PyExc_KeyError))
      return -1;
    PyErr_Clear();
  }
  return 0;
}

static PyObject *build(environ_memo *self, request_object *request,
                       const fcgi_params *params) {
  PyObject *dict = PyDict_Copy(self->base);
  if (dict != NULL &&
      (params_fill(request->state, dict, params) < 0 ||
       drop_doubles(dict) < 0 ||
       derive(request->state, dict, request->server->root, params) < 0))
    Py_CLEAR(dict);
  return dict;
}

/* Remember the parameters by index, for the next request to compare. */
static int remember(environ_memo *self, core_state *state,
                    const fcgi_params *params) {
  fcgi_param param;
  for (size_t i = 0; fcgi_params_at(params, i, &param) == 0; i++) {
    environ_slot *slot = &self->slots[i];
    slot->name = params_name(state, param.name, param.name_len);
    slot->value = params_value(param.value, param.value_len);
    self->count = i + 1;
    if (slot->name == NULL || slot->value == NULL)
      return -1;
  }
  return 0;
}

/* Nothing of the previous request may be left: the list of names must be the
   same, one by one, and every value is compared. What follows from several of
   them is derived anew after any change. */
static int same_names(environ_memo *self, const fcgi_params *params) {
  fcgi_param param;
  if (self->last == NULL || fcgi_params_count(params) != self->count)
    return 0;
  for (size_t i = 0; i < self->count; i++)
    if (fcgi_params_at(params, i, &param) < 0 ||
        !params_equal(self->slots[i].name, param.name, param.name_len))
      return 0;
  return 1;
}

/* Put a changed value into its slot and into `last`; 1 when it was changed. */
static int update_slot(environ_memo *self, environ_slot *slot,
                       const fcgi_param *param) {
  if (params_equal(slot->value, param->value, param->value_len))
    return 0;
  PyObject *value = params_value(param->value, param->value_len);
  if (value == NULL)
    return -1;
  Py_SETREF(slot->value, value);
  return PyDict_SetItem(self->last, slot->name, value) < 0 ? -1 : 1;
}

static int update(environ_memo *self, request_object *request,
                  const fcgi_params *params) {
  fcgi_param param;
  int changed = 0;
  for (size_t i = 0; i < self->count; i++) {
    fcgi_params_at(params, i, &param);
    int rc = update_slot(self, &self->slots[i], &param);
    if (rc < 0)
      return -1;
    changed |= rc;
  }
  if (!changed)
    return 0;
  return derive(request->state, self->last, request->server->root, params);
}

static int can_remember(const fcgi_params *params) {
  return fcgi_params_count(params) <= ENVIRON_SLOTS &&
         !fcgi_params_duplicates(params) &&
         fcgi_params_get(params, "HTTP_CONTENT_TYPE", 17, NULL) == NULL &&
         fcgi_params_get(params, "HTTP_CONTENT_LENGTH", 19, NULL) == NULL;
}

static PyObject *build_last(environ_memo *self, request_object *request,
                            const fcgi_params *params) {
  forget(self);
  PyObject *dict = build(self, request, params);
  if (dict == NULL || !can_remember(params))
    return dict;
  if (remember(self, request->state, params) < 0)
    Py_CLEAR(dict);
  else
    self->last = PyDict_Copy(dict);
  if (self->last == NULL)
    forget(self);
  return dict;
}

PyObject *environ_make(environ_memo *self, request_object *request) {
  const fcgi_params *params = fcgi_request_params(request->handle);
  PyObject *dict = NULL;
  if (!same_names(self, params))
    dict = build_last(self, request, params);
  else if (update(self, request, params) == 0)
    dict = PyDict_Copy(self->last);
  else
    forget(self);
  core_state *state = request->state;
  PyObject *input = (PyObject *)request;
  PyObject *aborted = dict == NULL ? NULL : abort_callable(request);
  if (dict != NULL &&
      (aborted == NULL || PyDict_SetItem(dict, state->wsgi_input, input) < 0 ||
       PyDict_SetItem(dict, state->fastcgi_request, input) < 0 ||
       PyDict_SetItem(dict, state->fastcgi_aborted, aborted) < 0))
    Py_CLEAR(dict);
  Py_XDECREF(aborted);
  return dict;
}
