/* SPDX-License-Identifier: MIT */
/* The steps carried out with a program's callbacks. */
#include "resource/await.h"
#include "resource/resource.h"
#include <fastcgi/error.h>

static int open_one(fcgi_handle *handle, const fcgi_resource_config *config) {
  char why[FCGI_RESOURCE_WHY] = "";
  void *value = NULL;
  int error = config->open(&value, why, sizeof why, config->user_data);
  if (error)
    fcgi_handle_explain(handle, why);
  fcgi_handle_set_value(handle, error ? NULL : value);
  return error;
}

static int carry_out(fcgi_handle *handle, int step) {
  const fcgi_resource_config *config = &handle->resource->config;
  switch (step) {
  case FCGI_RESOURCE_OPEN:
    return open_one(handle, config);
  case FCGI_RESOURCE_CHECK:
    return config->check(handle->value, config->user_data);
  case FCGI_RESOURCE_RESET:
    return config->reset(handle->value, config->user_data);
  default:
    if (config->close)
      config->close(handle->value, config->user_data);
    return 0;
  }
}

/* Until nothing is left to do: READY, or an error. */
static int finish(fcgi_handle *handle, int step) {
  while (step > 0)
    step = fcgi_handle_done(handle, carry_out(handle, step));
  return step;
}

/* Go on from what a take began with, and take again as often as it asks. */
static __attribute__((noinline)) int take_on(fcgi_resource *resource,
                                             fcgi_holder *holder,
                                             unsigned flags, long long until,
                                             int result, fcgi_handle **handle) {
  result = finish(*handle, result);
  while (result == FCGI_ERR_AGAIN) {
    result = fcgi_resource_begin_take(resource, holder, flags, &until, handle);
    result = finish(*handle, result);
  }
  return result;
}

static inline int take(fcgi_resource *resource, fcgi_holder *holder,
                       unsigned flags, void *place, void **value) {
  fcgi_handle *handle;
  long long until = 0;
  int result =
      resource->config.steps
          ? FCGI_ERR_STATE
          : fcgi_resource_begin_take(resource, holder, flags, &until, &handle);
  if (result != FCGI_RESOURCE_READY && !resource->config.steps)
    result = take_on(resource, holder, flags, until, result, &handle);
  if (result)
    return result;
  if (!handle->place)
    handle->place = place;
  *value = handle->value;
  return 0;
}

int fcgi_resource_take(fcgi_resource *resource, fcgi_holder *holder,
                       void **value) {
  return take(resource, holder, 0, __builtin_return_address(0), value);
}

int fcgi__resource_take_until(fcgi_resource *resource, long long until,
                              void **value) {
  fcgi_handle *handle;
  int result;
  if (resource->config.steps)
    return FCGI_ERR_STATE;
  result = fcgi_resource_begin_take(resource, NULL, 0, &until, &handle);
  result = take_on(resource, NULL, 0, until, result, &handle);
  if (result == 0)
    *value = handle->value;
  return result;
}

long long fcgi__resource_longest_wait(const fcgi_resource *resource) {
  return resource->policy.acquire;
}

int fcgi_resource_get(fcgi_resource *resource, fcgi_holder *holder,
                      void **value) {
  if (!holder)
    return FCGI_ERR_INVALID;
  return take(resource, holder, FCGI_TAKE_KEEP, __builtin_return_address(0),
              value);
}

/* Whatever the reset says, it has been given back. */
int fcgi_resource_give(fcgi_resource *resource, fcgi_holder *holder) {
  fcgi_handle *handle;
  void *place;
  int step = fcgi_resource_begin_give(resource, holder, &place, &handle);
  if (step > 0)
    finish(handle, step);
  return step < 0 ? step : 0;
}

/* What takes steps is left to its program, which finds it when it tidies up. */
unsigned fcgi__holder_end(fcgi_holder *holder, fcgi__holder_tell tell,
                          void *data) {
  fcgi_handle *handle;
  void *place;
  unsigned unended = 0;
  while ((handle = fcgi__holder_first(holder)) != NULL) {
    int step;
    if (fcgi_resource_forked(handle->resource)) {
      fcgi__holder_drop(holder, handle);
      continue;
    }
    if (handle->resource->config.steps) {
      fcgi__resource_abandon(handle);
      unended++;
      continue;
    }
    step = fcgi_holder_begin_end(holder, &place, &handle);
    if (!handle)
      break;
    if (step > 0 && handle->unended) {
      unended++;
      if (tell)
        tell(handle, place, data);
    }
    finish(handle, step);
  }
  return unended;
}

unsigned fcgi_holder_end(fcgi_holder *holder) {
  return fcgi__holder_end(holder, NULL, NULL);
}

void fcgi_resource_tidy(fcgi_resource *resource, fcgi_resource_tidying what) {
  fcgi_handle *handle;
  if (resource->config.steps)
    return;
  for (;;) {
    int step = fcgi_resource_begin_tidy(resource, what, &handle);
    if (step <= 0)
      return;
    finish(handle, step);
  }
}
