/* SPDX-License-Identifier: MIT */
#include "session/params.h"
#include <fastcgi/error.h>
#include <string.h>

static fcgi__entry *entries_of(const fcgi__buffer *buffer) {
  return (fcgi__entry *)(void *)buffer->data;
}

static size_t count_of(const fcgi__buffer *buffer) {
  return buffer->len / sizeof(fcgi__entry);
}

static int entry_is(const fcgi_params *params, const fcgi__entry *entry,
                    const char *name, size_t name_len) {
  return entry->name_len == name_len &&
         memcmp(params->bytes.data + entry->name, name, name_len) == 0;
}

/* Names differ most at their ends: HTTP_ACCEPT, HTTP_ACCEPT_LANGUAGE. */
static uint64_t seen_bit(const uint8_t *name, size_t len) {
  uint32_t hash = (uint32_t)len * 7;
  for (size_t i = len > 6 ? len - 6 : 0; i < len; i++)
    hash = hash * 31 + name[i];
  return (uint64_t)1 << ((hash * 2654435769u) >> 26);
}

static void note_duplicate(fcgi_params *params, const fcgi__entry *entry) {
  const uint8_t *name = params->bytes.data + entry->name;
  uint64_t bit = seen_bit(name, entry->name_len);
  const fcgi__entry *others = entries_of(&params->entries);
  size_t count = params->seen & bit ? count_of(&params->entries) - 1 : 0;
  for (size_t i = 0; i < count && !params->duplicates; i++)
    params->duplicates =
        entry_is(params, &others[i], (const char *)name, entry->name_len);
  params->seen |= bit;
}

static int begin_pair(fcgi_params *params, const fcgi_allocator *allocator,
                      const fcgi__params_limits *limits) {
  size_t size = (size_t)params->pairs.name_len + params->pairs.value_len;
  fcgi__entry entry = {.name = (uint32_t)params->bytes.len};
  if (size > limits->bytes - params->total ||
      count_of(&params->entries) >= limits->pairs)
    return FCGI_ERR_LIMIT;
  params->total += size;
  if (params->entries.cap == 0 &&
      (fcgi__buffer_reserve(&params->entries, allocator, 32 * sizeof entry) ||
       fcgi__buffer_reserve(&params->bytes, allocator, 1536)))
    return FCGI_ERR_NOMEM;
  return fcgi__buffer_append(&params->entries, allocator, &entry, sizeof entry);
}

static int append_text(fcgi_params *params, const fcgi_allocator *allocator,
                       const uint8_t *data, size_t len) {
  return fcgi__buffer_append(&params->bytes, allocator, data, len);
}

static int is_http_proxy(const fcgi_params *params, const fcgi__entry *entry) {
  return entry_is(params, entry, "HTTP_PROXY", 10);
}

/* The texts of a pair are in: place their ends. The name's NUL is the byte
   that append_value put before the value. */
static int end_pair(fcgi_params *params, const fcgi_allocator *allocator,
                    const fcgi__params_limits *limits) {
  fcgi__entry *entry =
      entries_of(&params->entries) + count_of(&params->entries) - 1;
  const uint8_t *bytes;
  entry->name_len = params->pairs.name_len;
  entry->value_len = params->pairs.value_len;
  entry->value = entry->name + entry->name_len + 1;
  if (append_text(params, allocator, (const uint8_t *)"", 1))
    return FCGI_ERR_NOMEM;
  bytes = params->bytes.data;
  if (memchr(bytes + entry->name, 0, entry->name_len) ||
      memchr(bytes + entry->value, 0, entry->value_len))
    return FCGI_ERR_PROTOCOL; /* FastCGI 1.0, 6.1: no embedded NUL. */
  if (!limits->keep_http_proxy && is_http_proxy(params, entry)) {
    params->bytes.len = entry->name;
    params->entries.len -= sizeof *entry;
    return 0;
  }
  note_duplicate(params, entry);
  return 0;
}

/* The NUL that ends a name is due as soon as its last byte is in. */
static int end_name(fcgi_params *params, const fcgi_allocator *allocator) {
  const fcgi__entry *entry =
      entries_of(&params->entries) + count_of(&params->entries) - 1;
  if (params->bytes.len != entry->name + params->pairs.name_len)
    return 0;
  return append_text(params, allocator, (const uint8_t *)"", 1);
}

static int take_part(fcgi_params *params, const fcgi_allocator *allocator,
                     const fcgi__params_limits *limits, fcgi_pairs_part part,
                     const uint8_t *data, size_t len) {
  int error;
  switch (part) {
  case FCGI_PAIRS_LENGTHS:
    error = begin_pair(params, allocator, limits);
    return error ? error : end_name(params, allocator);
  case FCGI_PAIRS_NAME:
    error = append_text(params, allocator, data, len);
    return error ? error : end_name(params, allocator);
  case FCGI_PAIRS_VALUE:
    return append_text(params, allocator, data, len);
  default: /* The pair has ended. */
    return end_pair(params, allocator, limits);
  }
}

int fcgi__params_feed(fcgi_params *params, const fcgi_allocator *allocator,
                      const fcgi__params_limits *limits, const uint8_t *data,
                      size_t len) {
  for (;;) {
    const uint8_t *part_data = NULL;
    size_t part_len = 0;
    fcgi_pairs_part part =
        fcgi_pairs_next(&params->pairs, &data, &len, &part_data, &part_len);
    int error;
    if (part == FCGI_PAIRS_MORE)
      return 0;
    error = take_part(params, allocator, limits, part, part_data, part_len);
    if (error)
      return error;
  }
}

static const fcgi__entry *find(const fcgi_params *params,
                               const fcgi__buffer *in, const char *name,
                               size_t name_len) {
  const fcgi__entry *entries = entries_of(in);
  for (size_t i = count_of(in); i-- > 0;)
    if (entry_is(params, &entries[i], name, name_len))
      return &entries[i];
  return NULL;
}

/* Joining is for request headers only, as RFC 3875 4.1.18 has it. */
static const char *separator_of(const fcgi_params *params,
                                const fcgi__entry *entry) {
  if (entry->name_len < 5 ||
      memcmp(params->bytes.data + entry->name, "HTTP_", 5) != 0)
    return NULL;
  return entry_is(params, entry, "HTTP_COOKIE", 11) ? "; " : ", ";
}

/* Room is reserved first, because the texts appended lie in the same bytes. */
static int join_one(fcgi_params *params, const fcgi_allocator *allocator,
                    size_t from, const char *separator) {
  const fcgi__entry *entries = entries_of(&params->entries);
  const char *name = (const char *)params->bytes.data + entries[from].name;
  size_t count = count_of(&params->entries), need = 1;
  fcgi__entry joined = entries[from];
  for (size_t i = from; i < count; i++)
    if (entry_is(params, &entries[i], name, joined.name_len))
      need += entries[i].value_len + 2;
  if (fcgi__buffer_reserve(&params->bytes, allocator, need))
    return FCGI_ERR_NOMEM;
  name = (const char *)params->bytes.data + joined.name;
  joined.value = (uint32_t)params->bytes.len;
  for (size_t i = from; i < count; i++) {
    if (!entry_is(params, &entries[i], name, joined.name_len))
      continue;
    if (i != from)
      append_text(params, allocator, (const uint8_t *)separator, 2);
    append_text(params, allocator, params->bytes.data + entries[i].value,
                entries[i].value_len);
  }
  joined.value_len = (uint32_t)params->bytes.len - joined.value;
  append_text(params, allocator, (const uint8_t *)"", 1);
  return fcgi__buffer_append(&params->joined, allocator, &joined,
                             sizeof joined);
}

static int is_repeated(const fcgi_params *params, const fcgi__entry *entry) {
  const char *name = (const char *)params->bytes.data + entry->name;
  return find(params, &params->entries, name, entry->name_len) != entry &&
         !find(params, &params->joined, name, entry->name_len);
}

static int join_duplicates(fcgi_params *params,
                           const fcgi_allocator *allocator) {
  size_t count = count_of(&params->entries);
  for (size_t i = 0; i < count; i++) {
    const fcgi__entry *entry = entries_of(&params->entries) + i;
    const char *separator = separator_of(params, entry);
    if (separator && is_repeated(params, entry) &&
        join_one(params, allocator, i, separator))
      return FCGI_ERR_NOMEM;
  }
  return 0;
}

int fcgi__params_finish(fcgi_params *params, const fcgi_allocator *allocator) {
  if (!fcgi_pairs_complete(&params->pairs))
    return FCGI_ERR_PROTOCOL;
  return params->duplicates ? join_duplicates(params, allocator) : 0;
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

int fcgi__params_content_length(const fcgi_params *params, int64_t *out) {
  const fcgi__entry *entries = entries_of(&params->entries);
  int64_t length = -1;
  *out = -1;
  for (size_t i = 0; i < count_of(&params->entries); i++) {
    const char *value = (const char *)params->bytes.data + entries[i].value;
    if (!entry_is(params, &entries[i], "CONTENT_LENGTH", 14))
      continue;
    if (parse_length(value, entries[i].value_len, &length) ||
        (*out >= 0 && length != *out))
      return FCGI_ERR_PROTOCOL;
    *out = length;
  }
  return 0;
}

void fcgi__params_clear(fcgi_params *params, const fcgi_allocator *allocator) {
  fcgi__buffer_clear(&params->bytes, allocator);
  fcgi__buffer_clear(&params->entries, allocator);
  fcgi__buffer_clear(&params->joined, allocator);
}

int64_t fcgi_params_number(const fcgi_params *params, const char *name,
                           size_t name_len) {
  size_t len;
  int64_t number;
  const char *text = fcgi_params_get(params, name, name_len, &len);
  return text && parse_length(text, len, &number) == 0 ? number : -1;
}

const char *fcgi_params_get(const fcgi_params *params, const char *name,
                            size_t name_len, size_t *value_len) {
  const fcgi__entry *entry = NULL;
  if (!params)
    return NULL;
  if (params->duplicates)
    entry = find(params, &params->joined, name, name_len);
  if (!entry)
    entry = find(params, &params->entries, name, name_len);
  if (!entry)
    return NULL;
  if (value_len)
    *value_len = entry->value_len;
  return (const char *)params->bytes.data + entry->value;
}

size_t fcgi_params_count(const fcgi_params *params) {
  return params ? count_of(&params->entries) : 0;
}

int fcgi_params_at(const fcgi_params *params, size_t index, fcgi_param *out) {
  const char *bytes;
  const fcgi__entry *entry;
  if (index >= fcgi_params_count(params))
    return FCGI_ERR_INVALID;
  bytes = (const char *)params->bytes.data;
  entry = entries_of(&params->entries) + index;
  *out = (fcgi_param){.name = bytes + entry->name,
                      .name_len = entry->name_len,
                      .value = bytes + entry->value,
                      .value_len = entry->value_len};
  return 0;
}

int fcgi_params_duplicates(const fcgi_params *params) {
  return params ? params->duplicates : 0;
}
