/* SPDX-License-Identifier: MIT */
#include "params.h"

/* The names that web servers send with every request, and the headers that
   browsers send. Names from the network are never interned beyond these: an
   interned string may live for ever. */
static const char *const known[] = {
    "AUTH_TYPE",
    "CONTENT_LENGTH",
    "CONTENT_TYPE",
    "CONTEXT_DOCUMENT_ROOT",
    "DOCUMENT_ROOT",
    "DOCUMENT_URI",
    "GATEWAY_INTERFACE",
    "HTTPS",
    "HTTP_ACCEPT",
    "HTTP_ACCEPT_ENCODING",
    "HTTP_ACCEPT_LANGUAGE",
    "HTTP_AUTHORIZATION",
    "HTTP_CACHE_CONTROL",
    "HTTP_CONNECTION",
    "HTTP_COOKIE",
    "HTTP_HOST",
    "HTTP_IF_MODIFIED_SINCE",
    "HTTP_IF_NONE_MATCH",
    "HTTP_ORIGIN",
    "HTTP_REFERER",
    "HTTP_USER_AGENT",
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_REQUESTED_WITH",
    "PATH_INFO",
    "PATH_TRANSLATED",
    "QUERY_STRING",
    "REDIRECT_STATUS",
    "REDIRECT_URL",
    "REMOTE_ADDR",
    "REMOTE_PORT",
    "REMOTE_USER",
    "REQUEST_METHOD",
    "REQUEST_SCHEME",
    "REQUEST_URI",
    "SCRIPT_FILENAME",
    "SCRIPT_NAME",
    "SERVER_ADDR",
    "SERVER_NAME",
    "SERVER_PORT",
    "SERVER_PROTOCOL",
    "SERVER_SOFTWARE",
};

PyObject *params_known_names(void) {
  PyObject *names = PyDict_New();
  for (size_t i = 0; names != NULL && i < sizeof known / sizeof *known; i++) {
    PyObject *name = PyUnicode_InternFromString(known[i]);
    if (name == NULL || PyDict_SetItem(names, name, name) < 0)
      Py_CLEAR(names);
    Py_XDECREF(name);
  }
  return names;
}

params_text params_get(const fcgi_params *params, const char *name) {
  params_text value = {NULL, 0};
  value.data = fcgi_params_get(params, name, strlen(name), &value.len);
  return value;
}

int params_is_ours(const char *name, size_t len) {
  return (len >= 5 && memcmp(name, "wsgi.", 5) == 0) ||
         (len >= 8 && memcmp(name, "fastcgi.", 8) == 0);
}

PyObject *params_value(const char *value, size_t len) {
  return PyUnicode_DecodeLatin1(value, (Py_ssize_t)len, NULL);
}

PyObject *params_name(core_state *state, const char *name, size_t len) {
  PyObject *made = params_value(name, len);
  if (made == NULL)
    return NULL;
  PyObject *interned = PyDict_GetItemWithError(state->names, made);
  if (interned == NULL)
    return made; /* Lookup of an exact str cannot fail. */
  Py_INCREF(interned);
  Py_DECREF(made);
  return interned;
}

static int set_one(core_state *state, PyObject *dict, const fcgi_param *param) {
  PyObject *name = params_name(state, param->name, param->name_len);
  PyObject *value = params_value(param->value, param->value_len);
  int failed = name == NULL || value == NULL;
  if (!failed)
    failed = PyDict_SetItem(dict, name, value) < 0;
  Py_XDECREF(name);
  Py_XDECREF(value);
  return failed ? -1 : 0;
}

int params_fill(core_state *state, PyObject *dict, const fcgi_params *params) {
  int duplicates = fcgi_params_duplicates(params);
  fcgi_param param;
  for (size_t i = 0; fcgi_params_at(params, i, &param) == 0; i++) {
    if (duplicates)
      param.value =
          fcgi_params_get(params, param.name, param.name_len, &param.value_len);
    if (set_one(state, dict, &param) < 0)
      return -1;
  }
  return 0;
}
