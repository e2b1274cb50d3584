/* SPDX-License-Identifier: MIT */
#include "session/params.h"
#include "wire/pairs.h"
#include <fastcgi/error.h>
#include <string.h>

enum {
  ENTRIES_BYTES = 32 * sizeof(fcgi__entry), /* Enough for most. */
  SMALL_TABLE = 256 /* Slots on the stack: for 128 entries, at most. */
};

static const uint32_t no_entry = UINT32_MAX; /* In an empty slot. */

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

/* The first of that name. */
static const fcgi__entry *find(const fcgi_params *params,
                               const fcgi__buffer *in, const char *name,
                               size_t name_len) {
  const fcgi__entry *entries = entries_of(in);
  size_t count = count_of(in);
  for (size_t i = 0; i < count; i++)
    if (entry_is(params, &entries[i], name, name_len))
      return &entries[i];
  return NULL;
}

/* The next one of the same name, or NULL. */
static const fcgi__entry *next_of(const fcgi_params *params,
                                  const fcgi__entry *entry) {
  return entry->next ? entries_of(&params->entries) + entry->next - 1 : NULL;
}

/* The lengths of a pair are known: hold them to the limits. */
static inline int announce(fcgi_params *params,
                           const fcgi__params_limits *limits,
                           fcgi__pair_lengths len) {
  size_t size = (size_t)len.name + len.value;
  if (size > limits->bytes - params->total ||
      count_of(&params->entries) >= limits->pairs)
    return FCGI_ERR_LIMIT;
  params->total += size;
  return 0;
}

/* Both texts of a pair are in `bytes`, the name at `name`. */
static inline int add_entry(fcgi_params *params,
                            const fcgi_allocator *allocator, size_t name,
                            size_t value, fcgi__pair_lengths len) {
  const fcgi__entry entry = {.name = (uint32_t)name,
                             .name_len = len.name,
                             .value = (uint32_t)value,
                             .value_len = len.value};
  fcgi__buffer *entries = &params->entries;
  if (fcgi__buffer_reserve(entries, allocator,
                           entries->cap ? sizeof entry : ENTRIES_BYTES))
    return FCGI_ERR_NOMEM;
  memcpy(entries->data + entries->len, &entry, sizeof entry);
  entries->len += sizeof entry;
  return 0;
}

/* Against CVE-2016-5385, where the owner has not asked to keep it. */
static inline int is_dropped(const fcgi__params_limits *limits,
                             const uint8_t *name, size_t len) {
  return len == 10 && !limits->keep_http_proxy &&
         memcmp(name, "HTTP_PROXY", 10) == 0;
}

/* The pair whose name is at `text`, with its value behind it, in `bytes`. The
   name moves one byte to the left, over a length, which makes room for its NUL.
   FastCGI 1.0, 6.1: no embedded NUL. */
static inline int take_whole(fcgi_params *params,
                             const fcgi_allocator *allocator,
                             const fcgi__params_limits *limits, uint8_t *text,
                             fcgi__pair_lengths len) {
  uint8_t *name = text - 1;
  size_t at = (size_t)(name - params->bytes.data);
  if (announce(params, limits, len))
    return FCGI_ERR_LIMIT;
  if (memchr(text, 0, (size_t)len.name + len.value))
    return FCGI_ERR_PROTOCOL;
  if (is_dropped(limits, text, len.name))
    return 0;
  memmove(name, text, len.name);
  name[len.name] = 0;
  return add_entry(params, allocator, at, at + len.name + 1, len);
}

/* Take the pairs that lie whole in the input, as nearly all do: in one copy of
   it. What ends a value is the first byte of the next pair, once its lengths
   are known. */
static int take_pairs(fcgi_params *params, const fcgi_allocator *allocator,
                      const fcgi__params_limits *limits, const uint8_t **data,
                      size_t *len) {
  size_t most = limits->bytes + 2 * (size_t)limits->pairs, lengths;
  size_t left = *len < most ? *len : most;
  fcgi__pair_lengths pair;
  uint8_t *at, *start;
  int error = 0;
  if (fcgi__buffer_reserve(&params->bytes, allocator, left + 1))
    return FCGI_ERR_NOMEM;
  at = start = params->bytes.data + params->bytes.len;
  memcpy(at, *data, left);
  while (!error && (lengths = fcgi__pair_peek(at, left, &pair)) > 0) {
    *at = 0;
    error = take_whole(params, allocator, limits, at + lengths, pair);
    lengths += (size_t)pair.name + pair.value;
    at += lengths;
    left -= lengths;
  }
  if (at == start)
    return error;
  *at = 0;
  *data += at - start;
  *len -= (size_t)(at - start);
  params->bytes.len = (size_t)(at + 1 - params->bytes.data);
  return error;
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

static int end_value(fcgi_params *params, const fcgi_allocator *allocator,
                     const fcgi__params_limits *limits,
                     fcgi__pair_lengths len) {
  const uint8_t *name = params->bytes.data + params->pair;
  size_t value = (size_t)params->pair + len.name + 1;
  if (memchr(name, 0, len.name) || memchr(name + len.name + 1, 0, len.value))
    return FCGI_ERR_PROTOCOL;
  if (append_text(params, allocator, (const uint8_t *)"", 1))
    return FCGI_ERR_NOMEM;
  if (!is_dropped(limits, params->bytes.data + params->pair, len.name))
    return add_entry(params, allocator, params->pair, value, len);
  params->bytes.len = params->pair;
  return 0;
}

/* A part of a pair that arrives in pieces. */
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

int fcgi__params_feed(fcgi_params *params, const fcgi_allocator *allocator,
                      const fcgi__params_limits *limits, const uint8_t *data,
                      size_t len) {
  /* Offsets have 32 bits, with joined values too. */
  int error = params->bytes.len > INT32_MAX ? FCGI_ERR_LIMIT : 0;
  while (!error) {
    const uint8_t *text = NULL;
    size_t text_len = 0;
    fcgi_pairs_part part;
    if (len > 0 && fcgi__pairs_between(&params->pairs))
      error = take_pairs(params, allocator, limits, &data, &len);
    if (error)
      break;
    part = fcgi_pairs_next(&params->pairs, &data, &len, &text, &text_len);
    if (part == FCGI_PAIRS_MORE)
      return 0;
    error = take_part(params, allocator, limits, part, text, text_len);
  }
  return error;
}

/* The halves of a product, folded. A factor that is not known makes it unlikely
   that names are chosen whose hashes are alike. */
static inline uint64_t fold(uint64_t a, uint64_t b) {
#ifdef __SIZEOF_INT128__
  __extension__ typedef unsigned __int128 wide;
  wide product = (wide)a * b;
  return (uint64_t)product ^ (uint64_t)(product >> 64);
#else
  uint64_t low = (a & UINT32_MAX) * b, high = (a >> 32) * (b | 1);
  return (low ^ (high << 29 | high >> 35)) * 0xff51afd7ed558ccdu;
#endif
}

static inline uint64_t eight_at(const uint8_t *from) {
  uint64_t word;
  memcpy(&word, from, sizeof word);
  return word;
}

static inline uint64_t four_at(const uint8_t *from) {
  uint32_t word;
  memcpy(&word, from, sizeof word);
  return word;
}

static inline uint64_t hash_short(const uint8_t *name, size_t len,
                                  uint64_t key) {
  if (len >= 4)
    return fold(four_at(name) << 32 | four_at(name + len - 4), key);
  if (len == 0)
    return 0;
  return fold((uint64_t)len << 24 | name[0] | (uint64_t)name[len / 2] << 8 |
                  (uint64_t)name[len - 1] << 16,
              key);
}

static inline uint64_t hash_long(const uint8_t *name, size_t len,
                                 uint64_t key) {
  uint64_t hash = len;
  for (size_t at = 0; at + 16 < len; at += 16)
    hash = fold(eight_at(name + at) ^ hash, eight_at(name + at + 8) ^ key);
  return fold(eight_at(name + len - 16) ^ hash, eight_at(name + len - 8) ^ key);
}

/* Every byte counts: a client chooses the names of its headers. Most names have
   8 to 16 bytes, two words that overlap, and are hashed with one product. */
static inline uint64_t hash_of(const uint8_t *name, size_t len, uint64_t key) {
  if (len - 8 <= 8)
    return fold(eight_at(name), eight_at(name + len - 8) ^ key);
  return len < 8 ? hash_short(name, len, key) : hash_long(name, len, key);
}

/* Where memory lies is not known outside the process, and not the same in two
   of them. */
static uint64_t key_of(const fcgi_params *params) {
  uint64_t where = (uint64_t)(uintptr_t)params;
  uint64_t names = (uint64_t)(uintptr_t)params->bytes.data;
  return fold(where ^ 0x9e3779b97f4a7c15u, names ^ 0xd6e8feb86659fd93u) | 1;
}

/* A slot of the table holds the index of the last entry of a name so far. */
static void link_entry(fcgi_params *params, uint32_t *table, unsigned bits,
                       uint32_t index, uint64_t key) {
  fcgi__entry *entries = entries_of(&params->entries), *entry = entries + index;
  const char *name = (const char *)params->bytes.data + entry->name;
  size_t mask = ((size_t)1 << bits) - 1, len = entry->name_len;
  size_t slot = hash_of((const uint8_t *)name, len, key) >> (64 - bits);
  while (table[slot] != no_entry &&
         !entry_is(params, entries + table[slot], name, len))
    slot = (slot + 1) & mask;
  if (table[slot] != no_entry) {
    entries[table[slot]].next = index + 1;
    entry->repeats = 1;
    params->duplicates = 1;
  }
  table[slot] = index;
}

/* Have the entries of one name know each other. */
static int link_entries(fcgi_params *params, const fcgi_allocator *allocator) {
  uint32_t small[SMALL_TABLE], *table = small;
  size_t count = count_of(&params->entries), size;
  unsigned bits = 6;
  const uint64_t key = key_of(params);
  while ((size_t)1 << bits < 2 * count)
    bits++;
  size = (sizeof *table) << bits;
  if (size > sizeof small)
    table = fcgi__realloc(allocator, NULL, size);
  if (!table)
    return FCGI_ERR_NOMEM;
  memset(table, 0xff, size);
  for (uint32_t index = 0; index < count; index++)
    link_entry(params, table, bits, index, key);
  if (table != small)
    fcgi__free(allocator, table);
  return 0;
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
                    const fcgi__entry *first, const char *separator) {
  size_t need = 1;
  fcgi__entry joined = *first;
  for (const fcgi__entry *at = first; at; at = next_of(params, at))
    need += (size_t)at->value_len + 2;
  if (fcgi__buffer_reserve(&params->bytes, allocator, need))
    return FCGI_ERR_NOMEM;
  joined.value = (uint32_t)params->bytes.len;
  for (const fcgi__entry *at = first; at; at = next_of(params, at)) {
    if (at != first)
      append_text(params, allocator, (const uint8_t *)separator, 2);
    append_text(params, allocator, params->bytes.data + at->value,
                at->value_len);
  }
  joined.value_len = (uint32_t)params->bytes.len - joined.value;
  joined.next = 0;
  append_text(params, allocator, (const uint8_t *)"", 1);
  return fcgi__buffer_append(&params->joined, allocator, &joined,
                             sizeof joined);
}

static int join_duplicates(fcgi_params *params,
                           const fcgi_allocator *allocator) {
  const fcgi__entry *entries = entries_of(&params->entries);
  size_t count = count_of(&params->entries);
  for (size_t i = 0; i < count; i++) {
    int heads = entries[i].next && !entries[i].repeats;
    const char *separator = heads ? separator_of(params, &entries[i]) : NULL;
    if (separator && join_one(params, allocator, &entries[i], separator))
      return FCGI_ERR_NOMEM;
  }
  return 0;
}

int fcgi__params_finish(fcgi_params *params, const fcgi_allocator *allocator) {
  int error;
  if (!fcgi_pairs_complete(&params->pairs))
    return FCGI_ERR_PROTOCOL;
  error = link_entries(params, allocator);
  if (error || !params->duplicates)
    return error;
  return join_duplicates(params, allocator);
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

/* Caddy sends -1 for a body of unknown length (a chunked upload). */
static int is_unknown(const char *text, size_t len) {
  return len == 2 && memcmp(text, "-1", 2) == 0;
}

int fcgi__params_content_length(const fcgi_params *params, int64_t *out) {
  const fcgi__entry *at = find(params, &params->entries, "CONTENT_LENGTH", 14);
  int64_t length = -1;
  *out = -1;
  for (; at; at = next_of(params, at)) {
    const char *text = (const char *)params->bytes.data + at->value;
    if (is_unknown(text, at->value_len))
      length = -1;
    else if (parse_length(text, at->value_len, &length))
      return FCGI_ERR_PROTOCOL;
    if (*out >= 0 && length != *out)
      return FCGI_ERR_PROTOCOL;
    *out = length;
  }
  return 0;
}

void fcgi__params_clear(fcgi_params *params, const fcgi_allocator *allocator) {
  fcgi__buffer_clear(&params->bytes, allocator);
  fcgi__buffer_clear(&params->entries, allocator);
  fcgi__buffer_clear(&params->joined, allocator);
  *params = (fcgi_params){.total = 0};
}

int64_t fcgi_params_number(const fcgi_params *params, const char *name,
                           size_t name_len) {
  size_t len;
  int64_t number;
  const char *text = fcgi_params_get(params, name, name_len, &len);
  return text && parse_length(text, len, &number) == 0 ? number : -1;
}

/* The last of several wins, where they are not joined. */
static const fcgi__entry *look_up(const fcgi_params *params, const char *name,
                                  size_t name_len) {
  const fcgi__entry *at = find(params, &params->joined, name, name_len);
  if (!at)
    at = find(params, &params->entries, name, name_len);
  while (at && at->next)
    at = next_of(params, at);
  return at;
}

const char *fcgi_params_get(const fcgi_params *params, const char *name,
                            size_t name_len, size_t *value_len) {
  const fcgi__entry *entry = params ? look_up(params, name, name_len) : NULL;
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
  if (!params || index >= count_of(&params->entries))
    return FCGI_ERR_INVALID;
  bytes = (const char *)params->bytes.data;
  entry = entries_of(&params->entries) + index;
  *out = (fcgi_param){.name = bytes + entry->name,
                      .name_len = entry->name_len,
                      .value = bytes + entry->value,
                      .value_len = entry->value_len};
  return 0;
}

int fcgi_params_is_head(const fcgi_params *params) {
  size_t len = 0;
  const char *method = fcgi_params_get(params, "REQUEST_METHOD", 14, &len);
  return len == 4 && memcmp(method, "HEAD", 4) == 0;
}

int fcgi_params_duplicates(const fcgi_params *params) {
  return params ? params->duplicates : 0;
}
