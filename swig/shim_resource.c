/* SPDX-License-Identifier: MIT */
/* Resources: what the core keeps is a reference of the language's. Of each
   there is one for a thread, as an interpreter runs one handler at a time on
   it. */
#include "shim_private.h"
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME = 64 };

/* X(NAME, key): the functions of a resource. */
#define FUNCTION_MAP(X)                                                        \
  X(OPEN, open)                                                                \
  X(CONFIGURE, configure)                                                      \
  X(CHECK, check)                                                              \
  X(RESET, reset)                                                              \
  X(CLOSE, close)

enum {
#define FUNCTION(name, key) ON_##name,
  FUNCTION_MAP(FUNCTION)
#undef FUNCTION
      FUNCTIONS /* Number of them. */
};

struct shim_resource {
  atomic_int handles;                 /* Proxies and servers that hold it. */
  fcgi_resource *_Atomic core;        /* NULL before the first use. */
  fcgi_resource_config config;        /* What it is made with. */
  char name[NAME];                    /* For messages; "": the core's own. */
  shim_function functions[FUNCTIONS]; /* Those that were set. */
};

/* --- Steps ---------------------------------------------------------------- */

/* As shim_function says; 1 where there is none. */
static int call(const shim_resource *self, int which, void *value,
                void **result, char *why, size_t len) {
  const shim_function *function = &self->functions[which];
  if (!function->reference)
    return 1;
  return function->call(function->reference, value, result, why, len);
}

/* The same for what tells nothing. */
static int ask(const shim_resource *self, int which, void *value) {
  char why[FCGI_RESOURCE_WHY];
  return call(self, which, value, NULL, why, sizeof why);
}

static void close_value(void *value, void *data) {
  const shim_resource *self = data;
  ask(self, ON_CLOSE, value);
  self->functions[ON_OPEN].drop(value);
}

/* The core knows what to say about nothing. */
static int open_value(void **value, char *why, size_t len, void *data) {
  shim_resource *self = data;
  if (call(self, ON_OPEN, NULL, value, why, len) < 0)
    return FCGI_ERR_CLOSED;
  if (!*value || call(self, ON_CONFIGURE, *value, NULL, why, len) >= 0)
    return 0;
  close_value(*value, self);
  *value = NULL;
  return FCGI_ERR_CLOSED;
}

static int check_value(void *value, void *data) {
  return ask(data, ON_CHECK, value) == 1 ? 0 : FCGI_ERR_CLOSED;
}

/* What it returns says nothing: in some languages that is whatever its last
   statement has. */
static int reset_value(void *value, void *data) {
  return ask(data, ON_RESET, value) >= 0 ? 0 : FCGI_ERR_CLOSED;
}

/* --- Its life ------------------------------------------------------------- */

shim_resource *shim_resource_new(shim_error *error, shim_function *function) {
  shim_resource *self = calloc(1, sizeof *self);
  if (!self) {
    function->drop(function->reference);
    shim_fail(error, FCGI_ERR_NOMEM, NULL);
    return NULL;
  }
  atomic_init(&self->handles, 1);
  self->functions[ON_OPEN] = *function;
  return self;
}

shim_resource *shim_resource_hold(shim_resource *resource) {
  atomic_fetch_add(&resource->handles, 1);
  return resource;
}

void shim_resource_free(shim_resource *resource) {
  if (!resource || atomic_fetch_sub(&resource->handles, 1) > 1)
    return;
  fcgi_resource_free(atomic_load(&resource->core));
  for (int i = 0; i < FUNCTIONS; i++)
    if (resource->functions[i].reference)
      resource->functions[i].drop(resource->functions[i].reference);
  free(resource);
}

/* Of threads that need it first at once, one makes it. */
fcgi_resource *shim_resource_core(shim_resource *resource, shim_error *error) {
  fcgi_resource *core = atomic_load(&resource->core), *made;
  fcgi_resource_config config = resource->config;
  char why[FCGI_RESOURCE_WHY] = "";
  if (core)
    return core;
  config.size = sizeof config;
  config.name = resource->name;
  config.user_data = resource;
  config.open = open_value;
  config.close = close_value;
  config.check = resource->functions[ON_CHECK].reference ? check_value : NULL;
  config.reset = resource->functions[ON_RESET].reference ? reset_value : NULL;
  int code = fcgi_resource_new(&made, &config, why, sizeof why);
  if (code < 0)
    return shim_fail(error, code, why), NULL;
  if (atomic_compare_exchange_strong(&resource->core, &core, made))
    return made;
  fcgi_resource_free(made);
  return core;
}

/* --- Options -------------------------------------------------------------- */

static int may_set(const shim_resource *self, shim_error *error) {
  if (atomic_load(&self->core))
    shim_fail(error, FCGI_ERR_STATE,
              "a resource has its options and functions before its first use");
  return !atomic_load(&self->core);
}

static bool is(const char *name, size_t len, const char *wanted) {
  return strlen(wanted) == len && memcmp(name, wanted, len) == 0;
}

static void refuse_option(shim_error *error, const char *what, const char *name,
                          size_t len) {
  char text[160];
  snprintf(text, sizeof text, "a resource has no %s '%.*s'", what,
           (int)(len < NAME ? len : NAME), name);
  shim_fail(error, FCGI_ERR_INVALID, text);
}

void shim_resource_on(shim_resource *resource, shim_error *error,
                      const char *name, size_t name_len,
                      shim_function *function) {
  static const char *const names[] = {
#define NAME_OF(name, key) #key,
      FUNCTION_MAP(NAME_OF)
#undef NAME_OF
  };
  shim_function dropped = *function;
  int which = ON_CONFIGURE;
  while (which < FUNCTIONS && !is(name, name_len, names[which]))
    which++;
  if (which == FUNCTIONS)
    refuse_option(error, "function", name, name_len);
  else if (may_set(resource, error)) {
    dropped = resource->functions[which];
    resource->functions[which] = *function;
  }
  if (dropped.reference)
    dropped.drop(dropped.reference);
}

static int milliseconds(double seconds) {
  double ms = ceil(seconds * 1000);
  if (ms < 0)
    return FCGI_WAIT_FOREVER;
  return ms == 0 ? FCGI_WAIT_NEVER : ms < INT_MAX ? (int)ms : INT_MAX;
}

/* The field of a time, or NULL. */
static int *time_of(fcgi_resource_config *config, const char *name,
                    size_t len) {
  return is(name, len, "acquire_timeout") ? &config->acquire_timeout_ms
         : is(name, len, "check_after")   ? &config->check_after_ms
         : is(name, len, "max_age")       ? &config->max_age_ms
         : is(name, len, "max_idle")      ? &config->max_idle_ms
                                          : NULL;
}

void shim_resource_set(shim_resource *resource, shim_error *error,
                       const char *name, size_t name_len, double value) {
  fcgi_resource_config *config = &resource->config;
  int *time = time_of(config, name, name_len);
  if (!may_set(resource, error))
    return;
  if (isnan(value) || (value == 0 && time >= &config->max_age_ms))
    shim_fail(error, FCGI_ERR_INVALID,
              "a time is in seconds, negative for no limit; max_age and "
              "max_idle are not 0");
  else if (time)
    *time = milliseconds(value);
  else if (is(name, name_len, "eager"))
    config->eager = value != 0;
  else if (is(name, name_len, "minimum"))
    config->least = value > 0;
  else
    refuse_option(error, "number", name, name_len);
}

void shim_resource_set_text(shim_resource *resource, shim_error *error,
                            const char *name, size_t name_len,
                            const char *value, size_t value_len) {
  bool safe = is(value, value_len, "safe");
  if (!may_set(resource, error))
    return;
  if (is(name, name_len, "name"))
    snprintf(resource->name, sizeof resource->name, "%.*s",
             (int)(value_len < NAME ? value_len : NAME), value);
  else if (!is(name, name_len, "retry"))
    refuse_option(error, "text", name, name_len);
  else if (safe || is(value, value_len, "never"))
    resource->config.retry = safe ? FCGI_RETRY_SAFE : FCGI_RETRY_NEVER;
  else
    shim_fail(error, FCGI_ERR_INVALID, "retry is \"never\" or \"safe\"");
}

/* --- Taking --------------------------------------------------------------- */

static void refuse(fcgi_resource *core, shim_error *error,
                   shim_request *request, int code) {
  char why[FCGI_RESOURCE_WHY + 80];
  fcgi_resource_message(core, why, sizeof why);
  if (code == FCGI_ERR_STATE && !fcgi_resource_forked(core))
    snprintf(why, sizeof why,
             "resource '%s': another request of this thread has it, or one of "
             "its own functions takes it",
             fcgi_resource_name(core));
  if (code == FCGI_ERR_TIMEOUT && request)
    shim_request_refuse(request, why);
  shim_fail(error, code, why);
}

/* 0 with an error. The holder is NULL for the calling thread. */
static int begin(shim_resource *self, shim_error *error, shim_request *request,
                 fcgi_resource **core, fcgi_holder **holder) {
  *holder = NULL;
  *core = shim_resource_core(self, error);
  if (!*core || !request)
    return *core != NULL;
  *holder = shim_request_holder(request, error);
  if (!*holder)
    return 0;
  if (shim_server_add(request->server, self))
    return 1;
  shim_fail(error, FCGI_ERR_NOMEM, NULL);
  return 0;
}

static shim_value obtain(shim_resource *self, shim_error *error,
                         shim_request *request,
                         int (*take)(fcgi_resource *, fcgi_holder *, void **)) {
  shim_value value = {NULL};
  fcgi_resource *core;
  fcgi_holder *holder;
  if (!begin(self, error, request, &core, &holder))
    return value;
  int code = take(core, holder, &value.reference);
  if (code < 0) {
    value.reference = NULL;
    refuse(core, error, request, code);
  }
  return value;
}

shim_value shim_resource_get(shim_resource *resource, shim_error *error,
                             shim_request *request) {
  if (request)
    return obtain(resource, error, request, fcgi_resource_get);
  shim_fail(error, FCGI_ERR_INVALID,
            "get needs a request, whose end gives back; take needs none");
  return (shim_value){NULL};
}

shim_value shim_resource_take(shim_resource *resource, shim_error *error,
                              shim_request *request) {
  return obtain(resource, error, request, fcgi_resource_take);
}

/* Say that nobody has it who should. */
static void refuse_other(fcgi_resource *core, shim_error *error, int code,
                         const char *what) {
  char why[FCGI_RESOURCE_WHY + 80];
  if (fcgi_resource_forked(core))
    fcgi_resource_message(core, why, sizeof why);
  else
    snprintf(why, sizeof why, "resource '%s': %s", fcgi_resource_name(core),
             what);
  shim_fail(error, code, why);
}

void shim_resource_give(shim_resource *resource, shim_error *error,
                        shim_request *request) {
  fcgi_resource *core;
  fcgi_holder *holder;
  if (!begin(resource, error, request, &core, &holder))
    return;
  int code = fcgi_resource_give(core, holder);
  if (code < 0)
    refuse_other(core, error, code,
                 "nothing was taken here; get needs no give");
}

void shim_resource_invalidate(shim_resource *resource, shim_error *error,
                              shim_request *request) {
  fcgi_resource *core;
  fcgi_holder *holder;
  if (!begin(resource, error, request, &core, &holder))
    return;
  int code = fcgi_resource_invalidate(core, holder);
  if (code < 0)
    refuse_other(core, error, code, "nothing of it is in use here");
}

/* --- The rest ------------------------------------------------------------- */

void shim_resource_drain(shim_resource *resource, shim_error *error) {
  fcgi_resource *core = shim_resource_core(resource, error);
  if (!core)
    return;
  fcgi_resource_drain(core);
  fcgi_resource_tidy(core, FCGI_RESOURCE_REAP);
}

void shim_resource_close(shim_resource *resource, shim_error *error) {
  fcgi_resource *core = shim_resource_core(resource, error);
  if (!core)
    return;
  fcgi_resource_stop(core);
  fcgi_resource_tidy(core, FCGI_RESOURCE_ALL);
}

/* What was opened stays referenced: to drop it might say goodbye on the
   parent's socket. */
void shim_resource_renew(shim_resource *resource, shim_error *error) {
  fcgi_resource *core = shim_resource_core(resource, error);
  if (core)
    fcgi_resource_renew(core);
}

static int64_t closed_by(const fcgi_resource_stats *stats, const char *name,
                         size_t len) {
#define CAUSE(cause, key)                                                      \
  if (is(name, len, "closed_" #key))                                           \
    return (int64_t)stats->closed[FCGI_RESOURCE_BY_##cause];
  FCGI_RESOURCE_CAUSE_MAP(CAUSE)
#undef CAUSE
  return -1;
}

static int64_t count(const fcgi_resource_stats *stats, const char *name,
                     size_t len) {
  return is(name, len, "open")      ? stats->open
         : is(name, len, "in_use")  ? stats->in_use
         : is(name, len, "waiting") ? stats->waiting
         : is(name, len, "away")    ? stats->away
         : is(name, len, "taken")   ? (int64_t)stats->taken
         : is(name, len, "opened")  ? (int64_t)stats->opened
         : is(name, len, "failed")  ? (int64_t)stats->failed
         : is(name, len, "refused") ? (int64_t)stats->refused
         : is(name, len, "unended") ? (int64_t)stats->unended
                                    : closed_by(stats, name, len);
}

int64_t shim_resource_count(shim_resource *resource, shim_error *error,
                            const char *name, size_t name_len) {
  fcgi_resource_stats stats = {.size = sizeof stats};
  fcgi_resource *core = shim_resource_core(resource, error);
  if (!core)
    return 0;
  fcgi_resource_count(core, &stats);
  int64_t found = count(&stats, name, name_len);
  if (found < 0)
    refuse_option(error, "count", name, name_len);
  return found < 0 ? 0 : found;
}
