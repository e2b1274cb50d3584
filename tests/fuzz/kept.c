/* SPDX-License-Identifier: MIT */
#include "fuzz/kept.h"
#include "fuzz/fuzz.h"

#include <fastcgi/error.h>

enum { AWAY = 1, BROKEN = 2, DIRTY = 4 }; /* Bits of the mood. */

/* A block of memory, so that the address sanitizer sees what is used late. */
static int open_value(void **value, char *why, size_t len, void *data) {
  kept *k = data;
  if (k->mood & AWAY) {
    snprintf(why, len, "it is away");
    return FCGI_ERR_SYSTEM;
  }
  *value = fuzz_copy((const uint8_t *)"v", 1);
  k->open++;
  return 0;
}

static void use(const void *value) {
  fuzz_require(*(const char *)value == 'v');
}

static int check_value(void *value, void *data) {
  const kept *k = data;
  use(value);
  return k->mood & BROKEN ? -1 : 0;
}

static int reset_value(void *value, void *data) {
  const kept *k = data;
  use(value);
  return k->mood & DIRTY ? -1 : 0;
}

static void close_value(void *value, void *data) {
  kept *k = data;
  use(value);
  free(value);
  k->open--;
}

void kept_start(kept *k, fcgi_server *server, const fcgi_allocator *allocator) {
  k->server = server;
  for (int scope = 0; scope < FCGI_RESOURCE_SCOPES; scope++) {
    const fcgi_resource_config config = {.size = sizeof config,
                                         .allocator = *allocator,
                                         .scope = (fcgi_resource_scope)scope,
                                         .most = 2,
                                         .acquire_timeout_ms = FCGI_WAIT_NEVER,
                                         .check_after_ms = FCGI_WAIT_NEVER,
                                         .retry = scope == FCGI_RESOURCE_POOL
                                                      ? FCGI_RETRY_NEVER
                                                      : FCGI_RETRY_SAFE,
                                         .user_data = k,
                                         .open = open_value,
                                         .check = check_value,
                                         .reset = reset_value,
                                         .close = close_value};
    fuzz_require(fcgi_resource_new(&k->resources[scope], &config, NULL, 0) ==
                 0);
    fuzz_require(fcgi_server_keep(server, k->resources[scope]) == 0);
  }
}

void kept_finish(kept *k) {
  for (int scope = 0; scope < FCGI_RESOURCE_SCOPES; scope++)
    fcgi_resource_free(k->resources[scope]);
  fuzz_require(k->open == 0);
}

static void take(fcgi_resource *resource, fcgi_holder *holder, int once) {
  void *value = NULL;
  int error = once ? fcgi_resource_take(resource, holder, &value)
                   : fcgi_resource_get(resource, holder, &value);
  fuzz_require(error <= 0);
  if (error == 0)
    use(value);
  fuzz_require(error || fcgi_holder_is_busy(holder));
}

static void retry(fcgi_request *request, fcgi_holder *holder) {
  if (fcgi_holder_is_busy(holder))
    return;
  if (fcgi_request_retry(request, NULL))
    fuzz_require(!fcgi_request_retry(request, NULL));
}

static void look(kept *k, fcgi_resource *resource, fcgi_holder *holder) {
  fcgi_resource_stats stats = {.size = sizeof stats};
  char why[FCGI_RESOURCE_WHY];
  fcgi_resource_message(resource, why, sizeof why);
  fcgi_holder_wants_retry(holder);
  fcgi_server_count_resource(k->server, resource);
  fcgi_resource_count(resource, &stats);
  fuzz_require(stats.in_use <= stats.open && stats.waiting == 0);
}

void kept_call(kept *k, fcgi_request *request, script *s) {
  uint8_t what = script_byte(s);
  fcgi_resource *resource = k->resources[what % FCGI_RESOURCE_SCOPES];
  fcgi_holder *holder = fcgi_request_holder(request);
  if (what >> 5 == 0)
    fcgi_request_set_unavailable(request, what & 8 ? "it is\naway" : NULL);
  if (!resource)
    return;
  switch (what >> 5) {
  case 0:
    if (what & 16)
      fcgi_holder_want_retry(holder);
    break;
  case 1:
  case 2:
    take(resource, holder, what & 16);
    break;
  case 3:
    fcgi_resource_give(resource, holder);
    break;
  case 4:
    fcgi_resource_invalidate(resource, holder);
    break;
  case 5:
    retry(request, holder);
    break;
  case 6:
    k->mood = script_byte(s);
    break;
  default:
    look(k, resource, holder);
  }
}
