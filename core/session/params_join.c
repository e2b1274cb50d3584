/* SPDX-License-Identifier: MIT */
/* Names that come more than once. A known name tells so by itself; unknown
   ones are looked for in a table, which takes all names once one was told. */
#include "session/params.h"
#include <fastcgi/error.h>

enum { SMALL_TABLE = 256 }; /* Slots on the stack: for 128 names, at most. */

static const uint32_t has_before = (uint32_t)1 << 31;

/* The entries of each name, while they are found and joined. */
typedef struct linking {
  fcgi_params *params;             /* Whose they are. */
  const fcgi_allocator *allocator; /* For what does not fit on the stack. */
  uint32_t *table; /* The last entry of a name so far, counted from 1, by a hash
                      of `bits` bits; 0: none. */
  unsigned bits;   /* Of the number of a slot. */
  uint64_t key;    /* Of the hash. */
  uint32_t *next;  /* For each entry the next one of its name, counted from 1,
                      and `has_before` unless it is the first. NULL while no
                      name came twice. */
} linking;

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
    hash = fold(fcgi__eight_at(name + at) ^ hash,
                fcgi__eight_at(name + at + 8) ^ key);
  return fold(fcgi__eight_at(name + len - 16) ^ hash,
              fcgi__eight_at(name + len - 8) ^ key);
}

/* Every byte counts: a client chooses the names of its headers. Most names have
   8 to 16 bytes, two words that overlap, and are hashed with one product. */
static inline uint64_t hash_of(const uint8_t *name, size_t len, uint64_t key) {
  if (len - 8 <= 8)
    return fold(fcgi__eight_at(name), fcgi__eight_at(name + len - 8) ^ key);
  return len < 8 ? hash_short(name, len, key) : hash_long(name, len, key);
}

/* Where memory lies is not known outside the process, and not the same in two
   of them. */
static uint64_t key_of(const fcgi_params *params) {
  uint64_t where = (uint64_t)(uintptr_t)params;
  uint64_t names = (uint64_t)(uintptr_t)params->bytes.data;
  return fold(where ^ 0x9e3779b97f4a7c15u, names ^ 0xd6e8feb86659fd93u) | 1;
}

static int link_two(linking *l, uint32_t former, uint32_t index) {
  if (!l->next)
    l->next = fcgi__calloc(
        l->allocator, fcgi__entry_count(&l->params->entries) * sizeof *l->next);
  if (!l->next)
    return FCGI_ERR_NOMEM;
  l->next[former] |= index + 1;
  l->next[index] = has_before;
  return 0;
}

static int link_entry(linking *l, uint32_t index) {
  const fcgi__entry *entries = fcgi__entries(&l->params->entries);
  const char *name = fcgi__entry_name(l->params, &entries[index]);
  size_t len = entries[index].name.len, mask = ((size_t)1 << l->bits) - 1;
  size_t slot = hash_of((const uint8_t *)name, len, l->key) >> (64 - l->bits);
  uint32_t former;
  while ((former = l->table[slot]) != 0 &&
         !fcgi__entry_is(l->params, &entries[former - 1], name, len))
    slot = (slot + 1) & mask;
  l->table[slot] = index + 1;
  return former ? link_two(l, former - 1, index) : 0;
}

/* A known name and an unknown one are never the same, but for those that
   `last` cannot tell. */
static int link_entries(linking *l, int all) {
  const fcgi__entry *entries = fcgi__entries(&l->params->entries);
  size_t count = fcgi__entry_count(&l->params->entries);
  int error = 0;
  for (uint32_t i = 0; i < count && !error; i++)
    if (all || !fcgi__entry_number(&entries[i]))
      error = link_entry(l, i);
  return error;
}

/* Joining is for request headers only, as RFC 3875 4.1.18 has it. */
static const char *separator_of(const fcgi_params *params,
                                const fcgi__entry *entry) {
  if (entry->name.len < 5 ||
      memcmp(fcgi__entry_name(params, entry), "HTTP_", 5) != 0)
    return NULL;
  return fcgi__entry_is(params, entry, "HTTP_COOKIE", 11) ? "; " : ", ";
}

static uint32_t next_of(const linking *l, uint32_t index) {
  return l->next[index] & ~has_before;
}

/* Room is reserved first, because the texts appended lie in the same bytes. */
static int join_one(const linking *l, uint32_t first, const char *separator) {
  fcgi_params *params = l->params;
  const fcgi__entry *entries = fcgi__entries(&params->entries);
  fcgi__buffer *bytes = &params->bytes;
  fcgi__entry joined = entries[first];
  size_t need = 1;
  for (uint32_t at = first + 1; at; at = next_of(l, at - 1))
    need += (size_t)entries[at - 1].value.len + 2;
  if (fcgi__buffer_reserve(bytes, l->allocator, need))
    return FCGI_ERR_NOMEM;
  joined.value.at = (uint32_t)bytes->len;
  for (uint32_t at = first + 1; at; at = next_of(l, at - 1)) {
    const fcgi__place *value = &entries[at - 1].value;
    if (at != first + 1)
      fcgi__buffer_append(bytes, l->allocator, separator, 2);
    fcgi__buffer_append(bytes, l->allocator, bytes->data + value->at,
                        value->len);
  }
  joined.value.len = (uint32_t)bytes->len - joined.value.at;
  fcgi__buffer_append(bytes, l->allocator, "", 1);
  return fcgi__buffer_append(&params->joined, l->allocator, &joined,
                             sizeof joined);
}

static int join_entries(const linking *l) {
  const fcgi__entry *entries = fcgi__entries(&l->params->entries);
  size_t count = fcgi__entry_count(&l->params->entries);
  for (uint32_t i = 0; i < count; i++) {
    int heads = l->next[i] && !(l->next[i] & has_before);
    const char *separator = heads ? separator_of(l->params, &entries[i]) : NULL;
    if (separator && join_one(l, i, separator))
      return FCGI_ERR_NOMEM;
  }
  return 0;
}

int fcgi__params_join(fcgi_params *params, const fcgi_allocator *allocator) {
  uint32_t small[SMALL_TABLE];
  int error, all = params->repeated | params->unmapped;
  size_t count = all ? fcgi__entry_count(&params->entries) : params->unknown;
  size_t size;
  linking l = {params, allocator, small, 6, key_of(params), NULL};
  while ((size_t)1 << l.bits < 2 * count)
    l.bits++;
  size = (sizeof *l.table) << l.bits;
  if (size > sizeof small)
    l.table = fcgi__realloc(allocator, NULL, size);
  if (!l.table)
    return FCGI_ERR_NOMEM;
  memset(l.table, 0, size);
  error = link_entries(&l, all);
  if (l.table != small)
    fcgi__free(allocator, l.table);
  params->duplicates = l.next != NULL;
  if (!error && l.next)
    error = join_entries(&l);
  fcgi__free(allocator, l.next);
  return error;
}
