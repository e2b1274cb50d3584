/* SPDX-License-Identifier: MIT */
#include "derive.h"
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

int derive_defaults(PyObject *base) {
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

#define NAME(name) [DERIVE_##name] = #name
static const char *const source_names[DERIVE_SOURCES] = {
    NAME(SCRIPT_NAME),          NAME(PATH_INFO),       NAME(HTTPS),
    NAME(REQUEST_SCHEME),       NAME(SERVER_NAME),     NAME(SERVER_PORT),
    NAME(REQUEST_METHOD),       NAME(SERVER_PROTOCOL), NAME(CONTENT_LENGTH),
    NAME(DOCUMENT_URI),         NAME(SCRIPT_FILENAME), NAME(SERVER_SOFTWARE),
    NAME(REDIRECT_URL),         NAME(REDIRECT_STATUS), NAME(DOCUMENT_ROOT),
    NAME(CONTEXT_DOCUMENT_ROOT)};
#undef NAME

int derive_source(const char *name, size_t len) {
  for (int i = 0; i < DERIVE_SOURCES; i++)
    if (strlen(source_names[i]) == len &&
        memcmp(source_names[i], name, len) == 0)
      return i;
  return -1;
}

void derive_find(const fcgi_params *params, derive_sources *out) {
  memset(out, 0, sizeof *out);
  for (int i = 0; i < DERIVE_READ; i++)
    out->at[i] = params_get(params, source_names[i]);
}

int derive_set(PyObject *dict, const char *key, PyObject *value) {
  PyObject *name = PyUnicode_InternFromString(key);
  int failed =
      name == NULL || value == NULL || PyDict_SetItem(dict, name, value) < 0;
  Py_XDECREF(name);
  Py_XDECREF(value);
  return failed ? -1 : 0;
}

/* Python has none where descriptor 2 was closed; an application counts on it
   (PEP 3333). */
static int is_https(const derive_sources *from) {
  const char *https = from->at[DERIVE_HTTPS].data;
  const char *scheme = from->at[DERIVE_REQUEST_SCHEME].data;
  if (https != NULL && *https != '\0')
    return strcasecmp(https, "off") != 0 && strcmp(https, "0") != 0;
  return scheme != NULL && strcasecmp(scheme, "https") == 0;
}

/* A string for our value: what the web server sent, where that is the same. */
static PyObject *string_of(const derive_sources *from, int source,
                           const char *data, size_t len) {
  const params_text *sent = &from->at[source];
  int same = from->string[source] != NULL && sent->len == len &&
             memcmp(sent->data, data, len) == 0;
  return same ? Py_NewRef(from->string[source]) : params_value(data, len);
}

/* Set `key` to our value, and keep under the name `kept` what the web server
   sent where that differs. */
static int set_path(PyObject *dict, PyObject *key, PyObject *kept,
                    params_text sent, PyObject *value) {
  int failed = 0;
  if (sent.data != NULL && !params_equal(value, sent.data, sent.len)) {
    PyObject *original = params_value(sent.data, sent.len);
    failed = original == NULL || PyDict_SetItem(dict, kept, original) < 0;
    Py_XDECREF(original);
  } else if (PyDict_Contains(dict, kept) == 1) {
    failed = PyDict_DelItem(dict, kept) < 0;
  }
  return failed ? -1 : PyDict_SetItem(dict, key, value);
}

/* The pair that the core makes of what the web server sent. */
static int derive_path(const request_object *request, PyObject *dict,
                       const derive_sources *from) {
  const core_state *state = request->state;
  fcgi_path path;
  if (fcgi_request_path(request->handle, &path) < 0)
    return PyErr_NoMemory(), -1;
  PyObject *script = string_of(from, DERIVE_SCRIPT_NAME, path.script_name,
                               path.script_name_len);
  PyObject *info =
      string_of(from, DERIVE_PATH_INFO, path.path_info, path.path_info_len);
  int failed = script == NULL || info == NULL ||
               set_path(dict, state->script_name, state->orig_script_name,
                        from->at[DERIVE_SCRIPT_NAME], script) < 0 ||
               set_path(dict, state->path_info, state->orig_path_info,
                        from->at[DERIVE_PATH_INFO], info) < 0;
  Py_XDECREF(script);
  Py_XDECREF(info);
  return failed ? -1 : 0;
}

/* The name of a file; the web server's own is that, unless it is Apache's
 * proxy. */
static int derive_file(const request_object *request, PyObject *dict,
                       const derive_sources *from) {
  const core_state *state = request->state;
  const params_text *sent = &from->at[DERIVE_SCRIPT_FILENAME];
  size_t len = 0;
  if (sent->len < 6 || memcmp(sent->data, "proxy:", 6) != 0)
    return PyDict_Contains(dict, state->orig_script_filename) == 1
               ? PyDict_DelItem(dict, state->orig_script_filename)
               : 0;
  const char *file = fcgi_request_script_filename(request->handle, &len);
  PyObject *value = params_value(file, len);
  int failed =
      value == NULL || set_path(dict, state->script_filename,
                                state->orig_script_filename, *sent, value) < 0;
  Py_XDECREF(value);
  return failed ? -1 : 0;
}

int derive_drop(PyObject *dict, const char *name) {
  if (PyDict_DelItemString(dict, name) == 0)
    return 0;
  if (!PyErr_ExceptionMatches(PyExc_KeyError))
    return -1;
  PyErr_Clear();
  return 0;
}

/* PEP 3333: these are never empty. */
static int fill_empty(PyObject *dict, const derive_sources *from, int https) {
  static const int never_empty[] = {DERIVE_SERVER_NAME, DERIVE_SERVER_PORT,
                                    DERIVE_REQUEST_METHOD,
                                    DERIVE_SERVER_PROTOCOL};
  for (size_t i = 0; i < sizeof never_empty / sizeof *never_empty; i++) {
    const char *name = source_names[never_empty[i]], *value = NULL;
    if (from->at[never_empty[i]].len > 0)
      continue;
    for (size_t j = 0; value == NULL; j++)
      if (strcmp(defaults[j][0], name) == 0)
        value = defaults[j][1];
    if (https && never_empty[i] == DERIVE_SERVER_PORT)
      value = "443";
    if (derive_set(dict, name, PyUnicode_InternFromString(value)) < 0)
      return -1;
  }
  return 0;
}

/* "-1" is no length: applications would read nothing, or fail. */
static int drop_unknown_length(PyObject *dict, const derive_sources *from) {
  const params_text *length = &from->at[DERIVE_CONTENT_LENGTH];
  if (length->len == 0 || *length->data != '-')
    return 0;
  return derive_drop(dict, source_names[DERIVE_CONTENT_LENGTH]);
}

int derive_keys(const request_object *request, PyObject *dict,
                const derive_sources *from) {
  const core_state *state = request->state;
  int https = is_https(from);
  if (PyDict_SetItem(dict, state->wsgi_url_scheme,
                     https ? state->https : state->http) < 0 ||
      fill_empty(dict, from, https) < 0 ||
      drop_unknown_length(dict, from) < 0 ||
      derive_file(request, dict, from) < 0)
    return -1;
  return derive_path(request, dict, from);
}
