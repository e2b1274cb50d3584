/* SPDX-License-Identifier: MIT */
/* Requests: who holds one, what it tells, and its end. */
#include "shim_request.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- Who holds a request -------------------------------------------------- */

shim_request *shim_request_new(shim_server *server, fcgi_request *core,
                               int handles) {
  shim_request *request = calloc(1, sizeof *request);
  if (!request) {
    fcgi_request_fail(core);
    return NULL;
  }
  atomic_init(&request->core, core);
  request->server = server;
  atomic_fetch_add(&server->handles, 1);
  atomic_init(&request->handles, handles);
  return request;
}

static void forget_headers(shim_request *request) {
  for (size_t i = 0; i < request->header_count; i++)
    free((void *)(uintptr_t)request->headers[i].name);
  free(request->headers);
  request->headers = NULL;
  request->header_count = 0;
}

void shim_request_free(shim_request *request) {
  if (!request || atomic_fetch_sub(&request->handles, 1) > 1)
    return;
  shim_request_conclude(request, true);
  shim_request_give_back(request);
  fcgi_holder_free(request->holder);
  free(request->refused);
  forget_headers(request);
  shim_server_free(request->server);
  free(request);
}

fcgi_request *shim_request_claim(shim_request *request, shim_error *error) {
  if (!shim_server_enter(request->server, error))
    return NULL;
  if (atomic_exchange(&request->claimed, 1)) {
    shim_fail(error, FCGI_ERR_STATE, "another thread is using the request");
    shim_server_leave(request->server);
    return NULL;
  }
  fcgi_request *core = atomic_load(&request->core);
  if (core)
    return core;
  shim_fail(error, FCGI_ERR_STATE, "the request is finished");
  shim_request_release(request);
  return NULL;
}

void shim_request_release(shim_request *request) {
  atomic_store(&request->claimed, 0);
  shim_server_leave(request->server);
}

void shim_request_finish(shim_request *request, shim_error *error, int code) {
  atomic_store(&request->core, NULL);
  forget_headers(request);
  if (!request->running)
    shim_request_give_back(request);
  if (code < 0)
    shim_fail(error, code, NULL);
  shim_request_release(request);
}

void shim_request_conclude(shim_request *request, bool failed) {
  shim_error error;
  fcgi_request *core = shim_request_claim(request, &error);
  if (!core)
    return;
  if (failed)
    fcgi_request_fail(core);
  else
    fcgi_request_conclude(core);
  shim_request_finish(request, &error, 0);
}

/* --- What it tells -------------------------------------------------------- */

static shim_text text_of(shim_error *error, const char *text, size_t len) {
  shim_text copy = {0};
  if (!text)
    return copy;
  copy = (shim_text){shim_copy(text, len), len};
  if (!copy.data)
    shim_fail(error, FCGI_ERR_NOMEM, NULL);
  return copy;
}

bool shim_request_ended(shim_request *request) {
  return !atomic_load(&request->core) || atomic_load(&request->server->closed);
}

int shim_request_id(shim_request *request, shim_error *error) {
  fcgi_request *core = shim_request_claim(request, error);
  if (!core)
    return 0;
  int id = fcgi_request_id(core);
  shim_request_release(request);
  return id;
}

shim_text shim_request_role(shim_request *request, shim_error *error) {
  shim_text role = {0};
  fcgi_request *core = shim_request_claim(request, error);
  if (!core)
    return role;
  const char *name = fcgi_request_role_name(core);
  role = text_of(error, name, strlen(name));
  shim_request_release(request);
  return role;
}

shim_text shim_request_param(shim_request *request, shim_error *error,
                             const char *name, size_t name_len) {
  shim_text value = {0};
  size_t len = 0;
  fcgi_request *core = shim_request_claim(request, error);
  if (!core)
    return value;
  const char *found =
      fcgi_params_get(fcgi_request_params(core), name, name_len, &len);
  value = text_of(error, found, len);
  shim_request_release(request);
  return value;
}

shim_text shim_request_param_name(shim_request *request, shim_error *error,
                                  int index) {
  shim_text name = {0};
  fcgi_param at;
  fcgi_request *core = shim_request_claim(request, error);
  if (!core)
    return name;
  if (index >= 0 &&
      fcgi_params_at(fcgi_request_params(core), (size_t)index, &at) == 0)
    name = text_of(error, at.name, at.name_len);
  shim_request_release(request);
  return name;
}

typedef int64_t (*number_of)(const fcgi_request *);

static int64_t number(shim_request *request, shim_error *error, number_of get) {
  fcgi_request *core = shim_request_claim(request, error);
  if (!core)
    return -1;
  int64_t value = get(core);
  shim_request_release(request);
  return value;
}

int64_t shim_request_content_length(shim_request *request, shim_error *error) {
  return number(request, error, fcgi_request_content_length);
}

int64_t shim_request_data_length(shim_request *request, shim_error *error) {
  return number(request, error, fcgi_request_data_length);
}

int64_t shim_request_data_modified(shim_request *request, shim_error *error) {
  return number(request, error, fcgi_request_data_modified);
}

shim_text shim_request_aborted(shim_request *request, shim_error *error) {
  shim_text reason = {0};
  fcgi_request *core = shim_request_claim(request, error);
  if (!core)
    return reason;
  const char *text = fcgi_abort_name(fcgi_request_aborted(core));
  reason = text_of(error, text, text ? strlen(text) : 0);
  shim_request_release(request);
  return reason;
}

void shim_request_set_timeout(shim_request *request, shim_error *error,
                              double seconds) {
  fcgi_request *core = shim_request_claim(request, error);
  if (!core)
    return;
  fcgi_request_set_timeout(core, shim_milliseconds(seconds));
  shim_request_release(request);
}

/* --- Its end -------------------------------------------------------------- */

void shim_request_end(shim_request *request, shim_error *error,
                      int app_status) {
  fcgi_request *core = shim_request_claim(request, error);
  if (core)
    shim_request_finish(request, error,
                        fcgi_request_end(core, (uint32_t)app_status));
}

void shim_request_fail(shim_request *request, shim_error *error) {
  fcgi_request *core = shim_request_claim(request, error);
  if (core)
    shim_request_finish(request, error, fcgi_request_fail(core));
}

void shim_request_allow(shim_request *request, shim_error *error) {
  fcgi_request *core = shim_request_claim(request, error);
  if (core)
    shim_request_finish(
        request, error,
        fcgi_request_allow(core, request->headers, request->header_count));
}
