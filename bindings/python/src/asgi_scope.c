/* SPDX-License-Identifier: MIT */
/* The scope of an HTTP request, as ASGI 3.0 has it. */
#include "derive.h"
#include <strings.h>

/* "HTTP_" and the name of a header, or CONTENT_TYPE and CONTENT_LENGTH, which
   CGI has in place of two: bytes of the name, 0 where it is none. `*at` is
   where it begins. */
static size_t header_of(const fcgi_param *param, const char **at) {
  const char *name = param->name;
  size_t len = param->name_len;
  int own = (len == 12 && memcmp(name, "CONTENT_TYPE", len) == 0) ||
            (len == 14 && memcmp(name, "CONTENT_LENGTH", len) == 0);
  *at = name;
  if (own)
    return param->value_len > 0 && *param->value != '-' ? len : 0;
  if (len < 6 || memcmp(name, "HTTP_", 5) != 0)
    return 0;
  *at = name + 5;
  len -= 5;
  return (len == 12 && memcmp(*at, "CONTENT_TYPE", len) == 0) ||
                 (len == 14 && memcmp(*at, "CONTENT_LENGTH", len) == 0)
             ? 0
             : len;
}

static char lower(char c) {
  if (c == '_')
    return '-';
  return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static PyObject *make_name(const char *name, size_t len) {
  PyObject *made = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)len);
  for (size_t i = 0; made != NULL && i < len; i++)
    PyBytes_AS_STRING(made)[i] = lower(name[i]);
  return made;
}

static PyObject *make_pair(PyObject *name, const char *value, size_t len) {
  PyObject *bytes = PyBytes_FromStringAndSize(value, (Py_ssize_t)len);
  PyObject *pair =
      name == NULL || bytes == NULL ? NULL : PyTuple_Pack(2, name, bytes);
  Py_XDECREF(bytes);
  return pair;
}

/* The pair of the request before serves again where its value is the same, and
   its name in any case. */
static PyObject *known_pair(server_object *server, unsigned number,
                            const char *name, size_t name_len,
                            const fcgi_param *param) {
  PyObject **slot = &server->headers[number], *pair;
  if (*slot != NULL) {
    PyObject *value = PyTuple_GET_ITEM(*slot, 1);
    if ((size_t)PyBytes_GET_SIZE(value) == param->value_len &&
        memcmp(PyBytes_AS_STRING(value), param->value, param->value_len) == 0)
      return Py_NewRef(*slot);
    pair =
        make_pair(PyTuple_GET_ITEM(*slot, 0), param->value, param->value_len);
  } else {
    PyObject *made = make_name(name, name_len);
    pair = make_pair(made, param->value, param->value_len);
    Py_XDECREF(made);
  }
  if (pair != NULL)
    Py_XSETREF(*slot, Py_NewRef(pair));
  return pair;
}

static PyObject *pair_of(server_object *server, unsigned number,
                         const char *name, size_t len,
                         const fcgi_param *param) {
  if (number != 0 && server->headers != NULL)
    return known_pair(server, number, name, len, param);
  PyObject *made = make_name(name, len);
  PyObject *pair = make_pair(made, param->value, param->value_len);
  Py_XDECREF(made);
  return pair;
}

/* What is taken in turn from one request. */
typedef struct headers {
  request_object *request; /* Whose. */
  const fcgi_params *all;  /* Its parameters. */
  PyObject *list;          /* The headers so far. */
  int duplicates;          /* 1: some name comes twice. */
  int has_length;          /* 1: a Content-Length is there. */
  int upgrades;            /* 1: a WebSocket is asked for. */
} headers;

/* Of a name that comes twice the first has what fcgi_params_get gives. */
static int is_repeated(const headers *from, size_t index,
                       const fcgi_param *param) {
  fcgi_param before;
  for (size_t i = 0; i < index; i++)
    if (fcgi_params_at(from->all, i, &before) == 0 &&
        before.name_len == param->name_len &&
        memcmp(before.name, param->name, param->name_len) == 0)
      return 1;
  return 0;
}

static int names(const char *name, size_t len, const char *header) {
  return strlen(header) == len && memcmp(name, header, len) == 0;
}

/* The web server has taken a coding off the body; only where its length is open
   is it a hint that there is one. */
static int is_dropped(const headers *from, const char *name, size_t len) {
  return names(name, len, "TRANSFER_ENCODING") &&
         (from->request->server->collects || from->request->length >= 0);
}

static int add_header(headers *from, size_t index, fcgi_param param,
                      unsigned number) {
  const char *name;
  size_t len = header_of(&param, &name);
  if (len == 0 || is_dropped(from, name, len) ||
      (from->duplicates && is_repeated(from, index, &param)))
    return 0;
  if (from->duplicates)
    param.value = fcgi_params_get(from->all, param.name, param.name_len,
                                  &param.value_len);
  if (name == param.name && len == 14)
    from->has_length = 1;
  if (names(name, len, "UPGRADE") && strcasecmp(param.value, "websocket") == 0)
    from->upgrades = 1;
  PyObject *pair = pair_of(from->request->server, number, name, len, &param);
  int failed = pair == NULL || PyList_Append(from->list, pair) < 0;
  Py_XDECREF(pair);
  return failed ? -1 : 0;
}

/* A body that was collected has a length, which applications go by. */
static int add_length(headers *from) {
  char text[24];
  int len = PyOS_snprintf(text, sizeof text, "%lld",
                          (long long)from->request->length);
  PyObject *name = PyBytes_FromString("content-length");
  PyObject *pair = make_pair(name, text, (size_t)len);
  int failed = pair == NULL || PyList_Append(from->list, pair) < 0;
  Py_XDECREF(pair);
  Py_XDECREF(name);
  return failed ? -1 : 0;
}

static int add_headers(headers *from) {
  enum { ROOM = 128 };
  fcgi_param some[ROOM];
  uint8_t known[ROOM];
  size_t count = fcgi_params_list(from->all, some, known, ROOM);
  from->duplicates = fcgi_params_duplicates(from->all);
  for (size_t i = 0; i < count; i++) {
    fcgi_param param;
    if (i < ROOM)
      param = some[i];
    else if (fcgi_params_at(from->all, i, &param) < 0)
      break;
    if (add_header(from, i, param, i < ROOM ? known[i] : 0) < 0)
      return -1;
  }
  return !from->has_length && from->request->length > 0 ? add_length(from) : 0;
}

/* Set a key and let go of `value`, which may be NULL with an exception. */
static int set(PyObject *dict, PyObject *key, PyObject *value) {
  int failed = value == NULL || PyDict_SetItem(dict, key, value) < 0;
  Py_XDECREF(value);
  return failed ? -1 : 0;
}

static PyObject *utf8(const char *text, size_t len) {
  return PyUnicode_DecodeUTF8(text, (Py_ssize_t)len, "replace");
}

/* "HTTP/2.0" is 2, "HTTP/1.1" 1.1. */
static PyObject *http_version(params_text protocol) {
  const char *text = "1.1";
  size_t len = 3;
  if (protocol.len > 5 && memcmp(protocol.data, "HTTP/", 5) == 0) {
    text = protocol.data + 5;
    len = protocol.len - 5;
  }
  if (len == 3 && *text >= '2' && text[1] == '.' && text[2] == '0')
    len = 1;
  return params_value(text, len);
}

static PyObject *method(params_text sent) {
  PyObject *text =
      sent.len > 0 ? params_value(sent.data, sent.len) : params_value("GET", 3);
  int is_upper = 1;
  for (size_t i = 0; i < sent.len; i++)
    is_upper &= !(sent.data[i] >= 'a' && sent.data[i] <= 'z');
  if (text == NULL || is_upper)
    return text;
  PyObject *made = PyObject_CallMethod(text, "upper", NULL);
  Py_DECREF(text);
  return made;
}

/* A host and a port, or None without the host. */
static PyObject *place(const fcgi_params *params, const char *host,
                       const char *port) {
  params_text name = params_get(params, host);
  int64_t number = fcgi_params_number(params, port, strlen(port));
  if (name.len == 0)
    Py_RETURN_NONE;
  PyObject *text = params_value(name.data, name.len);
  return text == NULL ? NULL
                      : Py_BuildValue("(NL)", text,
                                      (long long)(number < 0 ? 0 : number));
}

static PyObject *raw_path(fcgi_request *handle) {
  size_t len;
  const char *raw = fcgi_request_raw_path(handle, &len);
  if (raw == NULL)
    Py_RETURN_NONE;
  return PyBytes_FromStringAndSize(raw, (Py_ssize_t)len);
}

static int set_path(const core_state *state, PyObject *dict,
                    fcgi_request *handle) {
  fcgi_path path;
  if (fcgi_request_path(handle, &path) < 0)
    return PyErr_NoMemory(), -1;
  if (set(dict, state->path, utf8(path.path, path.path_len)) < 0 ||
      set(dict, state->root_path,
          utf8(path.script_name, path.script_name_len)) < 0)
    return -1;
  return set(dict, state->raw_path, raw_path(handle));
}

static int set_line(const core_state *state, PyObject *dict,
                    const fcgi_params *params) {
  const params_text https = params_get(params, "HTTPS");
  const params_text scheme = params_get(params, "REQUEST_SCHEME");
  const params_text query = params_get(params, "QUERY_STRING");
  PyObject *word =
      derive_is_https(&https, &scheme) ? state->https : state->http;
  if (set(dict, state->http_version,
          http_version(params_get(params, "SERVER_PROTOCOL"))) < 0 ||
      set(dict, state->method, method(params_get(params, "REQUEST_METHOD"))) <
          0 ||
      PyDict_SetItem(dict, state->scheme, word) < 0)
    return -1;
  return set(dict, state->query_string,
             PyBytes_FromStringAndSize(query.data, (Py_ssize_t)query.len));
}

static int set_places(const core_state *state, PyObject *dict,
                      const fcgi_params *params) {
  return set(dict, state->client, place(params, "REMOTE_ADDR", "REMOTE_PORT")) <
                 0
             ? -1
             : set(dict, state->server,
                   place(params, "SERVER_NAME", "SERVER_PORT"));
}

/* What a request may change of its scope is its own. */
static int own(PyObject *dict, PyObject *key) {
  PyObject *of_all = PyDict_GetItemWithError(dict, key);
  return of_all == NULL ? -1 : set(dict, key, PyDict_Copy(of_all));
}

static PyObject *fill(request_object *self, fcgi_request *handle,
                      PyObject *dict, PyObject *shared, int *upgrades) {
  const core_state *state = self->state;
  headers from = {.request = self,
                  .all = fcgi_request_params(handle),
                  .list = PyList_New(0)};
  int failed =
      from.list == NULL || add_headers(&from) < 0 ||
      PyDict_SetItem(dict, state->headers, from.list) < 0 ||
      own(dict, state->asgi) < 0 || own(dict, state->extensions) < 0 ||
      set(dict, state->state_key, PyDict_Copy(shared)) < 0 ||
      set_line(state, dict, from.all) < 0 ||
      set_path(state, dict, handle) < 0 ||
      set_places(state, dict, from.all) < 0 ||
      PyDict_SetItem(dict, state->fastcgi_request, (PyObject *)self) < 0;
  Py_XDECREF(from.list);
  *upgrades = from.upgrades;
  return failed ? NULL : dict;
}

PyObject *asgi_method_scope(PyObject *object, PyObject *const *args,
                            Py_ssize_t count) {
  request_object *self = (request_object *)object;
  int upgrades = 0;
  if (count != 2 || !PyDict_Check(args[0]) || !PyDict_Check(args[1])) {
    PyErr_SetString(PyExc_TypeError, "_scope() takes two dicts");
    return NULL;
  }
  fcgi_request *handle = request_use(self);
  if (handle == NULL)
    return NULL;
  PyObject *dict = PyDict_Copy(args[0]);
  if (dict != NULL && fill(self, handle, dict, args[1], &upgrades) == NULL)
    Py_CLEAR(dict);
  request_leave(self);
  if (dict == NULL || !upgrades)
    return dict;
  Py_DECREF(dict);
  Py_RETURN_NONE;
}
