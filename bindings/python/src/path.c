/* SPDX-License-Identifier: MIT */
#include "path.h"
#include "params.h"

path_text path_get(const fcgi_params *params, const char *name) {
  path_text value = {NULL, 0};
  value.data = fcgi_params_get(params, name, strlen(name), &value.len);
  return value;
}

static int hex(char digit) {
  if (digit >= '0' && digit <= '9')
    return digit - '0';
  digit |= 0x20;
  return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* The byte that the escape at `at` stands for, or -1 when it is none. */
static int escaped(path_text raw, size_t at) {
  int high = at + 2 < raw.len ? hex(raw.data[at + 1]) : -1;
  int low = high >= 0 ? hex(raw.data[at + 2]) : -1;
  return low >= 0 ? high * 16 + low : -1;
}

/* Percent-decode `raw` into `out`; an escape that is not one stays as it is. */
static size_t decode(path_text raw, char *out) {
  size_t used = 0, at = 0;
  while (at < raw.len) {
    const char *percent = memchr(raw.data + at, '%', raw.len - at);
    size_t plain = percent ? (size_t)(percent - raw.data) - at : raw.len - at;
    memcpy(out + used, raw.data + at, plain);
    used += plain;
    at += plain;
    if (percent == NULL)
      break;
    int byte = escaped(raw, at);
    out[used++] = byte >= 0 ? (char)byte : '%';
    at += byte >= 0 ? 3 : 1;
  }
  return used;
}

/* The path of a request target: no scheme and host, no query. */
static path_text raw_path(path_text uri) {
  const char *query = memchr(uri.data, '?', uri.len);
  if (query != NULL)
    uri.len = (size_t)(query - uri.data);
  const char *scheme =
      uri.len > 0 && *uri.data != '/' ? memchr(uri.data, ':', uri.len) : NULL;
  if (scheme == NULL || uri.data + uri.len - scheme < 3 ||
      memcmp(scheme, "://", 3) != 0)
    return uri;
  const char *host = scheme + 3, *end = uri.data + uri.len;
  const char *path = memchr(host, '/', (size_t)(end - host));
  return path == NULL ? (path_text){"/", 1}
                      : (path_text){path, (size_t)(end - path)};
}

/* The bytes of `path` after the mount point, or -1 when it is not below. */
static Py_ssize_t below(path_text path, const char *root, size_t len) {
  if (path.len < len || memcmp(path.data, root, len) != 0)
    return -1;
  return path.len == len || path.data[len] == '/' ? (Py_ssize_t)len : -1;
}

static int fill(path_pair *out, path_text script, path_text info) {
  out->script_name = params_value(script.data, script.len);
  out->path_info = params_value(info.data, info.len);
  if (out->script_name != NULL && out->path_info != NULL)
    return 0;
  Py_CLEAR(out->script_name);
  Py_CLEAR(out->path_info);
  return -1;
}

/* 1 when the web server's own pair is whole: both parts, together the path. */
static int mapped(path_text script, path_text info, path_text path) {
  return script.len > 0 && info.len > 0 && script.len + info.len == path.len &&
         memcmp(path.data, script.data, script.len) == 0 &&
         memcmp(path.data + script.len, info.data, info.len) == 0;
}

static int split_at_root(path_text path, PyObject *root, path_pair *out) {
  path_text mount = {(const char *)PyUnicode_1BYTE_DATA(root),
                     (size_t)PyUnicode_GET_LENGTH(root)};
  Py_ssize_t at = below(path, mount.data, mount.len);
  if (at > 0)
    path = (path_text){path.data + at, path.len - (size_t)at};
  return fill(out, mount, path);
}

/* What the servers send for /pre/a%20b, by how the application is reached:

     server            SCRIPT_NAME   PATH_INFO    here, without a root path
     nginx, HAProxy,   /pre/a b      absent       "" and /pre/a b
       Apache ProxyPass
     Caddy             /pre/a b      empty        "" and /pre/a b
     h2o               empty         /pre/a b     "" and /pre/a b
     Apache SetHandler,
       mod_fcgid,      /pre          /a b         as sent
       lighttpd
   REQUEST_URI, sent by all, is the raw path and comes first; what a root path
   says wins over everything; without REQUEST_URI the pair itself is used. */
int path_split(const path_sent *sent, PyObject *root, path_pair *out) {
  path_text script = sent->script, info = sent->info;
  path_text uri = sent->uri, none = {"", 0};
  char small[1024], *path = small;
  if (uri.data == NULL || uri.len == 0) {
    if (root == NULL && info.len > 0)
      return fill(out, script.data != NULL ? script : none, info);
    path_text whole = info.len > 0 ? info : script;
    whole = whole.data != NULL ? whole : none;
    return root ? split_at_root(whole, root, out) : fill(out, none, whole);
  }
  uri = raw_path(uri);
  if (uri.len > sizeof small && (path = PyMem_Malloc(uri.len)) == NULL)
    return PyErr_NoMemory(), -1;
  path_text whole = {path, decode(uri, path)};
  int failed = root != NULL                  ? split_at_root(whole, root, out)
               : mapped(script, info, whole) ? fill(out, script, info)
                                             : fill(out, none, whole);
  if (path != small)
    PyMem_Free(path);
  return failed;
}
