/* SPDX-License-Identifier: MIT */
/* The path of a request and its parts. */
#include "shim_request.h"
#include <stddef.h>

static shim_text copied(shim_error *error, const char *text, size_t len) {
  shim_text copy = {shim_copy(text, len), len};
  if (!copy.data)
    shim_fail(error, FCGI_ERR_NOMEM, NULL);
  return copy;
}

/* The text at `text` in a fcgi_path, and its length at `len`. */
static shim_text part(shim_request *request, shim_error *error, size_t text,
                      size_t len) {
  shim_text found = {0};
  fcgi_path path;
  fcgi_request *core = shim_request_claim(request, error);
  if (!core)
    return found;
  int code = fcgi_request_path(core, &path);
  if (code < 0)
    shim_fail(error, code, NULL);
  else
    found = copied(error, *(char *const *)((char *)&path + text),
                   *(size_t *)((char *)&path + len));
  shim_request_release(request);
  return found;
}

#define PART(name)                                                             \
  shim_text shim_request_##name(shim_request *request, shim_error *error) {    \
    return part(request, error, offsetof(fcgi_path, name),                     \
                offsetof(fcgi_path, name##_len));                              \
  }

PART(path)
PART(script_name)
PART(path_info)

shim_text shim_request_raw_path(shim_request *request, shim_error *error) {
  shim_text found = {0};
  size_t len;
  fcgi_request *core = shim_request_claim(request, error);
  if (!core)
    return found;
  const char *raw = fcgi_request_raw_path(core, &len);
  if (raw)
    found = copied(error, raw, len);
  shim_request_release(request);
  return found;
}

shim_text shim_request_script_filename(shim_request *request,
                                       shim_error *error) {
  shim_text found = {0};
  size_t len;
  fcgi_request *core = shim_request_claim(request, error);
  if (!core)
    return found;
  const char *file = fcgi_request_script_filename(core, &len);
  if (file)
    found = copied(error, file, len);
  shim_request_release(request);
  return found;
}
