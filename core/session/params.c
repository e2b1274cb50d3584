/* SPDX-License-Identifier: MIT */
#include "session/params.h"
#include <fastcgi/error.h>

int fcgi__params_finish(fcgi_params *params, const fcgi_allocator *allocator) {
  if (!fcgi_pairs_complete(&params->pairs))
    return FCGI_ERR_PROTOCOL;
  if (params->unknown < 2 && !params->repeated && !params->unmapped)
    return 0;
  return fcgi__params_join(params, allocator);
}

/* The last one of that name. */
static const fcgi__entry *find(const fcgi_params *params,
                               const fcgi__buffer *in, const char *name,
                               size_t len) {
  const fcgi__entry *entries = fcgi__entries(in);
  for (size_t i = fcgi__entry_count(in); i > 0; i--)
    if (fcgi__entry_is(params, &entries[i - 1], name, len))
      return &entries[i - 1];
  return NULL;
}

/* The last entry of a known name, where they are not joined. */
static const fcgi__entry *find_known(const fcgi_params *params,
                                     unsigned number) {
  const fcgi__name *name = &fcgi__names[number];
  unsigned index = params->last[number];
  if (params->unmapped)
    return find(params, &params->entries, name->text, name->place.len);
  return index ? fcgi__entries(&params->entries) + index - 1 : NULL;
}

static int parse_length(const char *text, size_t len, int64_t *out) {
  int64_t value = 0;
  for (size_t i = 0; i < len; i++) {
    int digit = text[i] - '0';
    if (digit < 0 || digit > 9 || value > (INT64_MAX - digit) / 10)
      return FCGI_ERR_PROTOCOL;
    value = value * 10 + digit;
  }
  *out = len ? value : -1;
  return 0;
}

static const char *value_of(const fcgi_params *params,
                            const fcgi__entry *entry) {
  return (const char *)params->bytes.data + entry->value.at;
}

/* Caddy sends -1 for a body of unknown length (a chunked upload). */
static int read_length(const fcgi_params *params, const fcgi__entry *entry,
                       int64_t *out) {
  const char *text = value_of(params, entry);
  size_t len = entry->value.len;
  if (len != 2 || memcmp(text, "-1", 2) != 0)
    return parse_length(text, len, out);
  *out = -1;
  return 0;
}

/* Of several that differ, none can be believed. */
int fcgi__params_content_length(const fcgi_params *params, int64_t *out) {
  static const char name[] = "CONTENT_LENGTH";
  const fcgi__entry *entries = fcgi__entries(&params->entries);
  const fcgi__entry *only = find_known(params, FCGI__NAME_CONTENT_LENGTH);
  size_t count = params->duplicates ? fcgi__entry_count(&params->entries) : 0;
  *out = -1;
  if (only && !params->duplicates)
    return read_length(params, only, out);
  for (size_t i = 0; i < count; i++) {
    int64_t length;
    if (!fcgi__entry_is(params, &entries[i], name, sizeof name - 1))
      continue;
    if (read_length(params, &entries[i], &length) ||
        (*out >= 0 && length != *out))
      return FCGI_ERR_PROTOCOL;
    *out = length;
  }
  return 0;
}

void fcgi__params_free(const fcgi_params *params,
                       const fcgi_allocator *allocator) {
  fcgi__free(allocator, params->bytes.data);
  fcgi__free(allocator, params->entries.data);
  fcgi__free(allocator, params->joined.data);
}

void fcgi__params_clear(fcgi_params *params, const fcgi_allocator *allocator) {
  fcgi__params_free(params, allocator);
  *params = (fcgi_params){.total = 0};
}

static int64_t number_of(const fcgi_params *params, const fcgi__entry *entry) {
  int64_t number;
  if (!entry ||
      parse_length(value_of(params, entry), entry->value.len, &number))
    return -1;
  return number;
}

/* The last of several wins, where they are not joined. */
static const fcgi__entry *look_up(const fcgi_params *params, const char *name,
                                  size_t len) {
  const fcgi__entry *entry = NULL;
  unsigned number;
  if (params->joined.len > 0)
    entry = find(params, &params->joined, name, len);
  if (entry)
    return entry;
  number = fcgi__name_find((const uint8_t *)name, len);
  return number ? find_known(params, number)
                : find(params, &params->entries, name, len);
}

int64_t fcgi_params_number(const fcgi_params *params, const char *name,
                           size_t name_len) {
  return params ? number_of(params, look_up(params, name, name_len)) : -1;
}

int64_t fcgi__params_known_number(const fcgi_params *params,
                                  fcgi__name_number name) {
  return number_of(params, find_known(params, name));
}

const char *fcgi_params_get(const fcgi_params *params, const char *name,
                            size_t name_len, size_t *value_len) {
  const fcgi__entry *entry = params ? look_up(params, name, name_len) : NULL;
  if (!entry)
    return NULL;
  if (value_len)
    *value_len = entry->value.len;
  return value_of(params, entry);
}

size_t fcgi_params_count(const fcgi_params *params) {
  return params ? fcgi__entry_count(&params->entries) : 0;
}

static fcgi_param param_of(const fcgi_params *params,
                           const fcgi__entry *entry) {
  return (fcgi_param){.name = fcgi__entry_name(params, entry),
                      .name_len = entry->name.len,
                      .value = value_of(params, entry),
                      .value_len = entry->value.len};
}

int fcgi_params_at(const fcgi_params *params, size_t index, fcgi_param *out) {
  if (index >= fcgi_params_count(params))
    return FCGI_ERR_INVALID;
  *out = param_of(params, fcgi__entries(&params->entries) + index);
  return 0;
}

size_t fcgi_params_list(const fcgi_params *params, fcgi_param *out,
                        uint8_t *known, size_t room) {
  size_t count = fcgi_params_count(params);
  for (size_t i = 0; i < count && i < room; i++) {
    const fcgi__entry *entry = fcgi__entries(&params->entries) + i;
    out[i] = param_of(params, entry);
    if (known)
      known[i] = (uint8_t)fcgi__entry_number(entry);
  }
  return count;
}

/* No other method has the meaning of HEAD, and this one is never joined. */
int fcgi_params_is_head(const fcgi_params *params) {
  const fcgi__entry *method =
      params ? find_known(params, FCGI__NAME_REQUEST_METHOD) : NULL;
  return method && method->value.len == 4 &&
         memcmp(value_of(params, method), "HEAD", 4) == 0;
}

int fcgi_params_duplicates(const fcgi_params *params) {
  return params ? params->duplicates : 0;
}
