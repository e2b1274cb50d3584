/* SPDX-License-Identifier: MIT */
/* What servers and requests have of resources. */
#include "shim_request.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* --- Servers -------------------------------------------------------------- */

static bool has(shim_server *server, const shim_resource *resource) {
  const shim_kept *at = atomic_load(&server->kept);
  while (at && at->resource != resource)
    at = at->next;
  return at != NULL;
}

static void show(shim_server *server, shim_resource *resource) {
  shim_error error;
  fcgi_resource *core = shim_resource_core(resource, &error);
  if (core && server->core)
    fcgi_server_count_resource(server->core, core);
}

/* Two threads may add the same one: it is then held twice. */
int shim_server_add(shim_server *server, shim_resource *resource) {
  shim_kept *kept;
  if (has(server, resource))
    return 1;
  kept = malloc(sizeof *kept);
  if (!kept)
    return 0;
  kept->resource = shim_resource_hold(resource);
  kept->next = atomic_load(&server->kept);
  while (!atomic_compare_exchange_weak(&server->kept, &kept->next, kept))
    continue;
  show(server, resource);
  return 1;
}

void shim_server_keep(shim_server *server, shim_error *error,
                      shim_resource *resource) {
  if (!shim_server_enter(server, error))
    return;
  if (shim_resource_core(resource, error) && !shim_server_add(server, resource))
    shim_fail(error, FCGI_ERR_NOMEM, NULL);
  shim_server_leave(server);
}

/* What was kept last is closed first: it may need the others. */
void shim_server_tidy(shim_server *server, fcgi_resource_tidying what) {
  shim_error error;
  for (shim_kept *at = atomic_load(&server->kept); at; at = at->next) {
    fcgi_resource *core = shim_resource_core(at->resource, &error);
    if (core)
      fcgi_resource_tidy(core, what);
  }
}

void shim_server_let_go(shim_server *server) {
  shim_kept *at = atomic_load(&server->kept);
  while (at) {
    shim_kept *next = at->next;
    shim_resource_free(at->resource);
    free(at);
    at = next;
  }
}

static bool is_open(fcgi_resource *core) {
  fcgi_resource_stats stats = {.size = sizeof stats};
  void *value;
  int code = fcgi_resource_take(core, NULL, &value);
  if (code == 0)
    fcgi_resource_give(core, NULL);
  fcgi_resource_count(core, &stats);
  return stats.opened > 0 || (code < 0 && code != FCGI_ERR_TIMEOUT);
}

/* Until it is open, or never will be. */
static void open_one(shim_server *server, fcgi_resource *core) {
  static const struct timespec pause = {0, 100000000};
  char before[FCGI_RESOURCE_WHY] = "", why[FCGI_RESOURCE_WHY], text[512];
  while (!fcgi_server_stopping(server->core) && !is_open(core)) {
    fcgi_resource_message(core, why, sizeof why);
    snprintf(text, sizeof text, "%s; the server is not ready before it is\n",
             why);
    if (strcmp(why, before) != 0)
      fcgi_server_log(server->core, FCGI_LOG_WARNING, text, strlen(text));
    memcpy(before, why, sizeof before);
    nanosleep(&pause, NULL);
  }
}

void shim_server_prepare(shim_server *server) {
  shim_error error;
  for (shim_kept *at = atomic_load(&server->kept); at; at = at->next) {
    fcgi_resource *core = shim_resource_core(at->resource, &error);
    if (core && fcgi_resource_eager(core))
      open_one(server, core);
  }
}

void shim_server_show(shim_server *server) {
  for (shim_kept *at = atomic_load(&server->kept); at; at = at->next)
    show(server, at->resource);
}

/* --- Requests ------------------------------------------------------------- */

fcgi_holder *shim_request_holder(shim_request *request, shim_error *error) {
  fcgi_holder *none = NULL, *made = atomic_load(&request->holder);
  if (!request->running && shim_request_ended(request))
    return shim_fail(error, FCGI_ERR_STATE, "the request is finished"), NULL;
  if (made)
    return made;
  if (fcgi_holder_new(&made, NULL) < 0)
    return shim_fail(error, FCGI_ERR_NOMEM, NULL), NULL;
  if (atomic_compare_exchange_strong(&request->holder, &none, made))
    return made;
  fcgi_holder_free(made);
  return none;
}

/* A handler that fails for it answers 503, and the core has the line. */
void shim_request_refuse(shim_request *request, const char *message) {
  shim_error error;
  fcgi_request *core = shim_request_claim(request, &error);
  if (!core)
    return;
  fcgi_request_set_unavailable(core, message);
  free(request->refused);
  request->refused = shim_copy(message, strlen(message));
  shim_request_release(request);
}

void shim_request_give_back(shim_request *request) {
  static const char text[] =
      "a handler has not given back what it took of a resource; it is closed; "
      "call give, or use get in place of take";
  fcgi_holder *holder = atomic_load(&request->holder);
  if (holder && fcgi_holder_end(holder) > 0 && request->server->core)
    fcgi_server_log(request->server->core, FCGI_LOG_WARNING, text,
                    sizeof text - 1);
}

fcgi_request *shim_request_again(shim_request *request) {
  shim_error error;
  fcgi_request *core = NULL;
  if (atomic_load(&request->holder))
    core = shim_request_claim(request, &error);
  if (!core)
    return NULL;
  if (!fcgi_request_retry(core, request->holder)) {
    shim_request_release(request);
    return NULL;
  }
  shim_request_finish(request, &error, 0);
  return core;
}
