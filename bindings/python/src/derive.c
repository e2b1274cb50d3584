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
    NAME(SCRIPT_NAME),           NAME(PATH_INFO),       NAME(HTTPS),
    NAME(REQUEST_SCHEME),        NAME(SERVER_NAME),     NAME(SERVER_PORT),
    NAME(REQUEST_METHOD),        NAME(SERVER_PROTOCOL), NAME(CONTENT_LENGTH),
    NAME(DOCUMENT_URI),          NAME(SCRIPT_FILENAME), NAME(SERVER_SOFTWARE),
    NAME(REDIRECT_URL),          NAME(REDIRECT_STATUS), NAME(DOCUMENT_ROOT),
    NAME(CONTEXT_DOCUMENT_ROOT), NAME(QUERY_STRING)};
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

int derive_is_https(const params_text *https, const params_text *scheme) {
  if (https->data != NULL && *https->data != '\0')
    return strcasecmp(https->data, "off") != 0 && strcmp(https->data, "0") != 0;
  return scheme->data != NULL && strcasecmp(scheme->data, "https") == 0;
}

static int is_https(const derive_sources *from) {
  return derive_is_https(&from->at[DERIVE_HTTPS],
                         &from->at[DERIVE_REQUEST_SCHEME]);
}

/* Our value of a parameter, and where it goes. */
typedef struct derived {
  PyObject *key;    /* The parameter's name. */
  PyObject *kept;   /* That of what was sent, where ours differs. */
  char *has_kept;   /* 1: the dict has that. */
  const char *data; /* Our value. */
  size_t len;       /* Bytes of it. */
  int source;       /* Which one it is. */
} derived;

static int set_string(PyObject *dict, PyObject *key, const char *data,
                      size_t len) {
  PyObject *value = params_value(data, len);
  int failed = value == NULL || PyDict_SetItem(dict, key, value) < 0;
  Py_XDECREF(value);
  return failed ? -1 : 0;
}

static int drop_kept(PyObject *dict, const derived *our) {
  if (!*our->has_kept)
    return 0;
  *our->has_kept = 0;
  return PyDict_DelItem(dict, our->kept);
}

/* Set it, and keep what the web server sent where that differs. The dict has
   what was sent already, unless ours has taken its place before. */
static int set_derived(PyObject *dict, const derive_sources *from,
                       const derived *our) {
  const params_text *sent = &from->at[our->source];
  int same = sent->data != NULL && sent->len == our->len &&
             memcmp(sent->data, our->data, our->len) == 0;
  PyObject *string = same ? from->string[our->source] : NULL;
  if (string != NULL && !*our->has_kept)
    return 0;
  if ((same || sent->data == NULL) && drop_kept(dict, our) < 0)
    return -1;
  if (!same && sent->data != NULL) {
    *our->has_kept = 1;
    if (set_string(dict, our->kept, sent->data, sent->len) < 0)
      return -1;
  }
  if (string != NULL)
    return PyDict_SetItem(dict, our->key, string);
  return set_string(dict, our->key, our->data, our->len);
}

/* The pair that the core makes of what the web server sent. */
static int derive_path(const request_object *request, PyObject *dict,
                       const derive_sources *from, derive_memo *memo) {
  const core_state *state = request->state;
  fcgi_path path;
  if (fcgi_request_path(request->handle, &path) < 0)
    return PyErr_NoMemory(), -1;
  const derived script = {state->script_name,   state->orig_script_name,
                          &memo->kept_script,   path.script_name,
                          path.script_name_len, DERIVE_SCRIPT_NAME};
  const derived info = {state->path_info,   state->orig_path_info,
                        &memo->kept_path,   path.path_info,
                        path.path_info_len, DERIVE_PATH_INFO};
  return set_derived(dict, from, &script) < 0 ? -1
                                              : set_derived(dict, from, &info);
}

/* The name of a file; the web server's own is that, unless it is Apache's
 * proxy. */
static int derive_file(const request_object *request, PyObject *dict,
                       const derive_sources *from, derive_memo *memo) {
  const core_state *state = request->state;
  const params_text *sent = &from->at[DERIVE_SCRIPT_FILENAME];
  derived file = {
      .key = state->script_filename,
      .kept = state->orig_script_filename,
      .has_kept = &memo->kept_file,
      .source = DERIVE_SCRIPT_FILENAME,
  };
  if (sent->len < 6 || memcmp(sent->data, "proxy:", 6) != 0)
    return drop_kept(dict, &file);
  file.data = fcgi_request_script_filename(request->handle, &file.len);
  return set_derived(dict, from, &file);
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

static int derive_scheme(const request_object *request, PyObject *dict,
                         int https, derive_memo *memo) {
  const core_state *state = request->state;
  if (https == memo->https)
    return 0;
  memo->https = (char)https;
  return PyDict_SetItem(dict, state->wsgi_url_scheme,
                        https ? state->https : state->http);
}

/* What each key follows from. */
#define BIT(name) (1u << DERIVE_##name)
enum {
  OF_SCHEME = BIT(HTTPS) | BIT(REQUEST_SCHEME),
  OF_EMPTY = OF_SCHEME | BIT(SERVER_NAME) | BIT(SERVER_PORT) |
             BIT(REQUEST_METHOD) | BIT(SERVER_PROTOCOL),
  OF_LENGTH = BIT(CONTENT_LENGTH),
  OF_FILE = BIT(SCRIPT_FILENAME) | BIT(QUERY_STRING),
  OF_PATH = BIT(SCRIPT_NAME) | BIT(PATH_INFO) | BIT(SCRIPT_FILENAME) |
            BIT(DOCUMENT_URI) | BIT(SERVER_SOFTWARE) | BIT(REDIRECT_URL) |
            BIT(REDIRECT_STATUS) | BIT(DOCUMENT_ROOT) |
            BIT(CONTEXT_DOCUMENT_ROOT),
};
#undef BIT

int derive_keys(const request_object *request, PyObject *dict,
                const derive_sources *from, derive_memo *memo,
                unsigned changed) {
  int failed = 0;
  if (changed & OF_SCHEME)
    failed = derive_scheme(request, dict, is_https(from), memo) < 0;
  if (!failed && changed & OF_EMPTY)
    failed = fill_empty(dict, from, memo->https) < 0;
  if (!failed && changed & OF_LENGTH)
    failed = drop_unknown_length(dict, from) < 0;
  if (!failed && changed & OF_FILE)
    failed = derive_file(request, dict, from, memo) < 0;
  if (!failed && changed & OF_PATH)
    failed = derive_path(request, dict, from, memo) < 0;
  return failed ? -1 : 0;
}
