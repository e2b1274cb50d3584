/* SPDX-License-Identifier: MIT */
/* The life of a resource, and what is asked about it. */
#include "resource/resource.h"
#include "base/config.h"
#include "os/clock.h"
#include "resource/await.h"
#include <fastcgi/error.h>
#include <stdio.h>
#include <string.h>

enum {
  LOOKS = 8,         /* In the shortest time that is to be kept. */
  SHORTEST_MS = 100, /* Between two looks. */
  LONGEST_MS = 15000 /* The same; something may be drained at any time. */
};

/* The thread ends whose handle it is, or which has had it: then it may be
   somebody else's by now. In a fork the parent's thread does not end; and its
   resource may be locked by a thread that is not there. */
static void thread_ended(void *data) {
  fcgi_handle *handle = data;
  fcgi_resource *resource = handle->resource;
  if (fcgi__process_is_other(&resource->process))
    return;
  pthread_mutex_lock(&resource->lock);
  if (handle->state == FCGI__HANDLE_HELD && !handle->holder &&
      handle->thread == (uintptr_t)pthread_self())
    fcgi__policy_abandon(&resource->policy, handle);
  if (resource->policy.scope == FCGI_RESOURCE_THREAD)
    handle->thread = 0;
  pthread_mutex_unlock(&resource->lock);
}

static void init(fcgi_resource *resource, const fcgi_resource_config *config) {
  resource->allocator = fcgi__allocator(&config->allocator);
  resource->config = *config;
  resource->config.name = NULL;
  snprintf(resource->name, sizeof resource->name, "%s",
           config->name && config->name[0] ? config->name : "resource");
  resource->policy.resource = resource;
  resource->policy.allocator = &resource->allocator;
  resource->policy.random = fcgi__now_us() ^ (uint64_t)(uintptr_t)resource;
  resource->policy.stats.size = sizeof resource->policy.stats;
  pthread_mutex_init(&resource->lock, NULL);
  fcgi__process_init(&resource->process);
}

static int explain(int error, char *why, size_t len) {
  snprintf(why, len, "%s",
           error == FCGI_ERR_LIMIT
               ? "no key for data of threads is free; have fewer resources"
               : fcgi_error_text(error));
  return error;
}

static const char *text_of(int error) {
  switch (error) {
  case FCGI_ERR_LIMIT:
    return "the supervisor has as many names with limit_total as it can; give "
           "one name to several, or restart it";
  case FCGI_ERR_DAMAGED:
    return "the supervisor has no table for limit_total that this version "
           "knows; restart it";
  case FCGI_ERR_STATE:
    return "limit_total cannot be kept in another namespace of processes than "
           "that of the supervisor";
  default:
    return fcgi_error_text(error);
  }
}

/* A thread has no use for what another one has. */
static int set_limit(fcgi_resource *resource, unsigned limit, char *why,
                     size_t len) {
  int error =
      limit == 0
          ? 0
          : fcgi__quota_open(&resource->policy.quota, resource->name, limit,
                             resource->policy.scope == FCGI_RESOURCE_THREAD,
                             &resource->allocator);
  resource->policy.noted = resource->policy.quota != NULL;
  if (error)
    snprintf(why, len, "resource '%s': %s", resource->name, text_of(error));
  return error;
}

static int make(fcgi_resource **out, const fcgi_resource_config *config,
                char *why, size_t len) {
  const fcgi_allocator allocator = fcgi__allocator(&config->allocator);
  fcgi_resource *resource = fcgi__calloc(&allocator, sizeof *resource);
  int error;
  if (!resource)
    return explain(FCGI_ERR_NOMEM, why, len);
  error = fcgi__policy_init(&resource->policy, config, why, len);
  if (!error && pthread_key_create(&resource->key, thread_ended))
    error = explain(FCGI_ERR_LIMIT, why, len);
  if (error) {
    fcgi__free(&allocator, resource);
    return error;
  }
  init(resource, config);
  error = set_limit(resource, config->limit_total, why, len);
  if (error)
    fcgi_resource_free(resource);
  else
    *out = resource;
  return error;
}

int fcgi_resource_new(fcgi_resource **out, const fcgi_resource_config *config,
                      char *why, size_t len) {
  fcgi_resource_config copy = {.size = 0};
  char unwanted[1];
  if (!why) {
    why = unwanted;
    len = sizeof unwanted;
  }
  if (!config ||
      fcgi__config_copy(&copy, sizeof copy,
                        offsetof(fcgi_resource_config, limit_total), config))
    return snprintf(why, len,
                    "the configuration has the size of another "
                    "version"),
           FCGI_ERR_INVALID;
  return make(out, &copy, why, len);
}

void fcgi_resource_free(fcgi_resource *resource) {
  fcgi_allocator allocator;
  if (!resource || fcgi__process_is_other(&resource->process))
    return;
  allocator = resource->allocator;
  fcgi_resource_stop(resource);
  if (!resource->config.steps)
    fcgi_resource_tidy(resource, FCGI_RESOURCE_ALL);
  fcgi__resource_count_in(resource, NULL, 0);
  pthread_key_delete(resource->key);
  while (resource->policy.all) {
    fcgi_handle *handle = resource->policy.all;
    resource->policy.all = handle->next;
    if (handle->slot)
      fcgi__quota_give(resource->policy.quota, handle->slot);
    fcgi__free(&allocator, handle);
  }
  fcgi__quota_close(resource->policy.quota);
  pthread_mutex_destroy(&resource->lock);
  fcgi__process_clear(&resource->process);
  fcgi__free(&allocator, resource->policy.told);
  fcgi__free(&allocator, resource);
}

/* The lock may be that of a thread which is not there. What the key leads to is
   the parent's. */
void fcgi_resource_renew(fcgi_resource *resource) {
  if (!fcgi__process_is_other(&resource->process))
    return;
  fcgi__process_clear(&resource->process);
  pthread_mutex_init(&resource->lock, NULL);
  pthread_setspecific(resource->key, NULL);
  fcgi__policy_forget(&resource->policy);
  if (resource->policy.quota)
    fcgi__quota_renew(resource->policy.quota);
  resource->policy.random ^= (uint64_t)getpid() << 32;
  resource->message[0] = resource->cause[0] = '\0';
  fcgi__process_init(&resource->process);
}

void fcgi__resource_count_in(fcgi_resource *resource, fcgi__sink *sink,
                             size_t offset) {
  fcgi__sink *before;
  if (fcgi__process_is_other(&resource->process))
    return;
  pthread_mutex_lock(&resource->lock);
  before = resource->policy.sink;
  if (sink != before)
    fcgi__policy_count_in(&resource->policy, fcgi__sink_hold(sink), offset);
  pthread_mutex_unlock(&resource->lock);
  if (sink != before)
    fcgi__sink_release(before);
}

int fcgi_resource_forked(const fcgi_resource *resource) {
  return fcgi__process_is_other(&resource->process);
}

void fcgi_resource_drain(fcgi_resource *resource) {
  if (fcgi__process_is_other(&resource->process))
    return;
  pthread_mutex_lock(&resource->lock);
  resource->policy.round++;
  pthread_mutex_unlock(&resource->lock);
}

void fcgi_resource_want(fcgi_resource *resource, unsigned wanted) {
  if (fcgi__process_is_other(&resource->process))
    return;
  pthread_mutex_lock(&resource->lock);
  resource->policy.wanted =
      wanted | 1u << FCGI_RESOURCE_OPEN | 1u << FCGI_RESOURCE_CLOSE;
  pthread_mutex_unlock(&resource->lock);
}

void fcgi_resource_stop(fcgi_resource *resource) {
  if (fcgi__process_is_other(&resource->process))
    return;
  pthread_mutex_lock(&resource->lock);
  resource->policy.closed = 1;
  fcgi__policy_wake_all(&resource->policy);
  pthread_mutex_unlock(&resource->lock);
}

int fcgi_resource_tidy_ms(const fcgi_resource *resource) {
  const fcgi__policy *policy = &resource->policy;
  long long ms =
      policy->max_age < policy->max_idle ? policy->max_age : policy->max_idle;
  ms /= LOOKS;
  if (policy->quota)
    return FCGI__QUOTA_LOOK_MS;
  if (ms > LONGEST_MS)
    ms = LONGEST_MS;
  return ms < SHORTEST_MS ? SHORTEST_MS : (int)ms;
}

int fcgi_resource_count(fcgi_resource *resource, fcgi_resource_stats *out) {
  fcgi_resource_stats stats = {.size = sizeof stats};
  size_t size = out->size;
  if (size < sizeof size)
    return FCGI_ERR_INVALID;
  if (!fcgi__process_is_other(&resource->process)) {
    pthread_mutex_lock(&resource->lock);
    stats = resource->policy.told ? fcgi__told_sum(&resource->policy)
                                  : resource->policy.stats;
    stats.away = resource->policy.away;
    if (resource->policy.quota)
      fcgi__quota_count(resource->policy.quota, fcgi__now(), &stats);
    pthread_mutex_unlock(&resource->lock);
  }
  memcpy(out, &stats, size < sizeof stats ? size : sizeof stats);
  out->size = size;
  return 0;
}

unsigned fcgi__resource_limit_before(fcgi_resource *resource) {
  unsigned before = 0;
  if (fcgi__process_is_other(&resource->process))
    return 0;
  pthread_mutex_lock(&resource->lock);
  if (resource->policy.quota) {
    before = resource->policy.quota->before;
    resource->policy.quota->before = 0;
  }
  pthread_mutex_unlock(&resource->lock);
  return before;
}

void fcgi_resource_message(fcgi_resource *resource, char *out, size_t len) {
  int other = fcgi__process_is_other(&resource->process);
  if (!other)
    pthread_mutex_lock(&resource->lock);
  snprintf(out, len, "%s", resource->message);
  if (!other)
    pthread_mutex_unlock(&resource->lock);
}

const char *fcgi_resource_name(const fcgi_resource *resource) {
  return resource->name;
}

void *fcgi_resource_user_data(const fcgi_resource *resource) {
  return resource->config.user_data;
}

int fcgi_resource_eager(const fcgi_resource *resource) {
  return resource->config.eager;
}

fcgi_resource *fcgi_handle_resource(const fcgi_handle *handle) {
  return handle->resource;
}

void *fcgi_handle_value(const fcgi_handle *handle) {
  return handle->value;
}

void fcgi_handle_set_value(fcgi_handle *handle, void *value) {
  handle->value = value;
}

void *fcgi_handle_place(const fcgi_handle *handle) {
  return handle->place;
}

void fcgi_handle_set_place(fcgi_handle *handle, void *place) {
  handle->place = place;
}

int fcgi_handle_unended(const fcgi_handle *handle) {
  return handle->unended;
}
