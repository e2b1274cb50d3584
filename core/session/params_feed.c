/* SPDX-License-Identifier: MIT */
/* Parameters from any bytes, however they are cut. */
#include "session/params.h"
#include <fastcgi/error.h>

/* The lengths of a pair are known: hold them to the limits. */
static int announce(fcgi_params *params, const fcgi__params_limits *limits,
                    fcgi__pair_lengths len) {
  size_t size = (size_t)len.name + len.value;
  if (size > limits->bytes - params->total ||
      fcgi__entry_count(&params->entries) >= limits->pairs)
    return FCGI_ERR_LIMIT;
  params->total += size;
  return 0;
}

/* What an entry says of the name at `at`, and what is known by it. */
static fcgi__place name_of(fcgi_params *params, size_t at, size_t len) {
  size_t index = fcgi__entry_count(&params->entries);
  unsigned number = fcgi__name_find(params->bytes.data + at, len);
  if (number && index < FCGI__MAPPED) {
    params->repeated |= params->last[number] > 0;
    params->last[number] = (uint8_t)(index + 1);
    return fcgi__names[number].place;
  }
  params->unmapped |= number > 0;
  params->unknown++;
  return (fcgi__place){(uint32_t)at, (uint32_t)len};
}

/* Both texts of a pair are in `bytes`, the name at `name`. */
static int add_entry(fcgi_params *params, const fcgi_allocator *allocator,
                     size_t name, size_t value, fcgi__pair_lengths len) {
  fcgi__buffer *entries = &params->entries;
  fcgi__entry entry = {.value = {(uint32_t)value, len.value}};
  if (fcgi__params_reserve(params, allocator))
    return FCGI_ERR_NOMEM;
  entry.name = name_of(params, name, len.name);
  memcpy(entries->data + entries->len, &entry, sizeof entry);
  entries->len += sizeof entry;
  return 0;
}

static int append_text(fcgi_params *params, const fcgi_allocator *allocator,
                       const uint8_t *data, size_t len) {
  return fcgi__buffer_append(&params->bytes, allocator, data, len);
}

/* The NUL that ends a name is due as soon as its last byte is in. */
static int end_name(fcgi_params *params, const fcgi_allocator *allocator) {
  if (params->bytes.len != (size_t)params->pair + params->pairs.name_len)
    return 0;
  return append_text(params, allocator, (const uint8_t *)"", 1);
}

/* FastCGI 1.0, 6.1: no embedded NUL. */
static int end_value(fcgi_params *params, const fcgi_allocator *allocator,
                     const fcgi__params_limits *limits,
                     fcgi__pair_lengths len) {
  const uint8_t *name = params->bytes.data + params->pair;
  size_t value = (size_t)params->pair + len.name + 1;
  if (memchr(name, 0, len.name) || memchr(name + len.name + 1, 0, len.value))
    return FCGI_ERR_PROTOCOL;
  if (append_text(params, allocator, (const uint8_t *)"", 1))
    return FCGI_ERR_NOMEM;
  if (!fcgi__params_drop(limits, params->bytes.data + params->pair, len.name))
    return add_entry(params, allocator, params->pair, value, len);
  params->bytes.len = params->pair;
  return 0;
}

static int take_part(fcgi_params *params, const fcgi_allocator *allocator,
                     const fcgi__params_limits *limits, fcgi_pairs_part part,
                     const uint8_t *data, size_t size) {
  const fcgi__pair_lengths len = {params->pairs.name_len,
                                  params->pairs.value_len};
  int error;
  switch (part) {
  case FCGI_PAIRS_LENGTHS:
    error = announce(params, limits, len);
    params->pair = (uint32_t)params->bytes.len;
    return error ? error : end_name(params, allocator);
  case FCGI_PAIRS_NAME:
    error = append_text(params, allocator, data, size);
    return error ? error : end_name(params, allocator);
  case FCGI_PAIRS_VALUE:
    return append_text(params, allocator, data, size);
  default: /* The pair has ended. */
    return end_value(params, allocator, limits, len);
  }
}

/* The usual pairs are taken once, where the input begins with one or the pair
   under way ends; what they leave is not copied again. */
int fcgi__params_feed(fcgi_params *params, const fcgi_allocator *allocator,
                      const fcgi__params_limits *limits,
                      fcgi__name_order *order, const uint8_t *data,
                      size_t len) {
  /* Offsets have 31 bits, with joined values too. */
  int error = params->bytes.len > INT32_MAX ? FCGI_ERR_LIMIT : 0;
  while (!error) {
    const uint8_t *text = NULL;
    size_t text_len = 0;
    fcgi_pairs_part part;
    if (order && len > 0 && fcgi__pairs_between(&params->pairs)) {
      error = fcgi__params_run(params, allocator, limits, order, &data, &len);
      if (error || len == 0)
        return error;
      order = NULL;
    }
    part = fcgi_pairs_next(&params->pairs, &data, &len, &text, &text_len);
    if (part == FCGI_PAIRS_MORE)
      return 0;
    error = take_part(params, allocator, limits, part, text, text_len);
  }
  return error;
}
