/* SPDX-License-Identifier: MIT */
/* What programs do with the entries of a dictionary. */
#include "shared/entry.h"
#include <fastcgi/error.h>
#include <string.h>

/* --- Values --------------------------------------------------------------- */

static int is_bytes(uint32_t kind) {
  return kind == FCGI_SHARED_BYTES || kind == FCGI_SHARED_STRING;
}

/* When something that lives so long from now on goes. */
static uint64_t end_of(const fcgi__visit *v, int64_t ttl_ms) {
  return ttl_ms ? v->now + (uint64_t)ttl_ms : 0;
}

static int is_wrong_time(int64_t ttl_ms) {
  return ttl_ms < 0 || ttl_ms > INT64_MAX / 4;
}

static uint64_t number_of(const fcgi_shared_value *value) {
  uint64_t number;
  if (value->kind == FCGI_SHARED_BOOLEAN)
    return value->integer != 0;
  if (value->kind == FCGI_SHARED_INTEGER)
    return (uint64_t)value->integer;
  memcpy(&number, &value->real, sizeof number);
  return number;
}

/* The longest value has 2^32 - 1 bytes, less than the key and more. */
static int read_value(fcgi__content *out, const fcgi_shared_value *value) {
  const int is_data = is_bytes((uint32_t)value->kind);
  if ((unsigned)value->kind < FCGI_SHARED_BYTES ||
      (unsigned)value->kind > FCGI_SHARED_BOOLEAN ||
      is_wrong_time(value->ttl_ms) ||
      (is_data && value->len > 0 && !value->data))
    return FCGI_ERR_INVALID;
  *out = (fcgi__content){.kind = (uint32_t)value->kind};
  if (!is_data) {
    out->number = number_of(value);
    return 0;
  }
  out->data = value->data;
  out->len = (uint32_t)value->len;
  return value->len > UINT32_MAX - FCGI_SHARED_KEY ? FCGI_ERR_LIMIT : 0;
}

static void write_value(fcgi__visit *v, uint32_t number, void *buffer,
                        size_t room, fcgi_shared_value *out) {
  fcgi__shared_block *entry = fcgi__block(v, number);
  uint64_t word = fcgi__look_long(&entry->as.first.number);
  uint64_t expires = fcgi__look_long(&entry->as.first.expires);
  uint32_t kind = fcgi__entry_kind(entry);
  *out = (fcgi_shared_value){.kind = (fcgi_shared_kind)kind};
  out->ttl_ms = expires > v->now ? (int64_t)(expires - v->now) : 0;
  if (kind < FCGI_SHARED_BYTES || kind > FCGI_SHARED_BOOLEAN) {
    v->damaged = 1;
  } else if (is_bytes(kind)) {
    out->len = fcgi__look(&entry->as.first.value_len);
    if (out->len > v->d->size)
      v->damaged = 1;
    else if (out->len <= room)
      out->data = buffer;
    if (out->data && out->len)
      fcgi__chain_read(v, number, fcgi__entry_key_len(entry), buffer, out->len);
  } else if (kind == FCGI_SHARED_REAL) {
    memcpy(&out->real, &word, sizeof out->real);
  } else {
    memcpy(&out->integer, &word, sizeof out->integer);
  }
}

/* --- Reading -------------------------------------------------------------- */

/* The latch and the entry of a key: 1, 0 when there is none, or an error; the
   latch is taken then unless that is negative. */
static int look_up(fcgi__visit *v, fcgi_shared *d, const void *key,
                   size_t key_len, fcgi__key *made, uint32_t *number) {
  int error = fcgi__key_make(made, d, key, key_len, 0);
  *number = 0;
  if (!error)
    error = fcgi__visit_begin(v, d);
  if (error)
    return error;
  *number = fcgi__entry_find(v, made);
  return *number != 0;
}

int fcgi_shared_get(fcgi_shared *shared, const void *key, size_t key_len,
                    void *buffer, size_t room, fcgi_shared_value *out) {
  fcgi__visit v;
  fcgi__key made;
  uint32_t number;
  int found = look_up(&v, shared, key, key_len, &made, &number);
  *out = (fcgi_shared_value){.len = 0};
  if (found < 0)
    return found;
  if (found) {
    write_value(&v, number, buffer, room, out);
    fcgi__entry_use(&v, number);
  }
  fcgi__tell(&v, found ? FCGI_SHARED_HITS : FCGI_SHARED_MISSES);
  return fcgi__visit_end(&v, found);
}

/* The next first block from `*place` on, so many at once. */
static int next_key(fcgi__visit *v, uint64_t *place, unsigned char *key) {
  for (int i = 0; i < 1024 && *place < fcgi__look(&v->d->head->fresh); i++) {
    uint32_t number = (uint32_t)++ * place, len;
    fcgi__shared_block *entry = fcgi__block(v, number);
    uint32_t kind = fcgi__entry_kind(entry);
    len = fcgi__entry_key_len(entry);
    if (v->damaged || kind == 0 || kind == FCGI__SHARED_LOCK ||
        fcgi__entry_is_over(v, entry))
      continue;
    if (len == 0 || len > FCGI_SHARED_KEY)
      v->damaged = 1;
    else
      fcgi__chain_read(v, number, 0, key, len);
    return (int)len;
  }
  return 0;
}

int fcgi_shared_next(fcgi_shared *shared, uint64_t *place, void *key) {
  fcgi__visit v;
  int len = 0, is_end = 0;
  while (!len && !is_end) {
    int error = fcgi__visit_begin(&v, shared);
    if (error)
      return error;
    len = next_key(&v, place, key);
    is_end = *place >= fcgi__look(&shared->head->fresh);
    len = fcgi__visit_end(&v, len);
  }
  return len;
}

/* --- Writing -------------------------------------------------------------- */

/* Which entries a value is stored for. */
typedef enum condition { ALWAYS, IF_ABSENT, IF_PRESENT } condition;

static int store(fcgi_shared *d, const void *key, size_t key_len,
                 const fcgi_shared_value *value, condition when) {
  fcgi__visit v;
  fcgi__key made;
  fcgi__content content;
  uint32_t number;
  int result = read_value(&content, value);
  if (result)
    return result;
  result = look_up(&v, d, key, key_len, &made, &number);
  if (result < 0)
    return result;
  content.expires = end_of(&v, value->ttl_ms);
  if (when != ALWAYS && (when == IF_PRESENT) != (number != 0))
    return fcgi__visit_end(&v, 0);
  result = fcgi__entry_store(&v, &made, &content);
  if (when != ALWAYS && result >= 0)
    result = 1;
  return fcgi__visit_end(&v, result);
}

int fcgi_shared_set(fcgi_shared *shared, const void *key, size_t key_len,
                    const fcgi_shared_value *value) {
  return store(shared, key, key_len, value, ALWAYS);
}

int fcgi_shared_add(fcgi_shared *shared, const void *key, size_t key_len,
                    const fcgi_shared_value *value) {
  return store(shared, key, key_len, value, IF_ABSENT);
}

int fcgi_shared_replace(fcgi_shared *shared, const void *key, size_t key_len,
                        const fcgi_shared_value *value) {
  return store(shared, key, key_len, value, IF_PRESENT);
}

static int add_up(int64_t a, int64_t b, int64_t *sum) {
  return __builtin_add_overflow(a, b, sum) ? FCGI_ERR_LIMIT : 0;
}

/* In its place: the word and the order of use are one change. */
static int add_to(fcgi__visit *v, uint32_t number, int64_t by, int64_t *sum) {
  fcgi__shared_block *entry = fcgi__block(v, number);
  uint64_t word = fcgi__look_long(&entry->as.first.number);
  int error;
  if (fcgi__entry_kind(entry) != FCGI_SHARED_INTEGER)
    return FCGI_ERR_STATE;
  error = add_up((int64_t)word, by, sum);
  if (error)
    return error;
  fcgi__put_long(v, &entry->as.first.number, (uint64_t)*sum);
  fcgi__entry_use(v, number);
  return 1;
}

static int add_first(fcgi__visit *v, const fcgi__key *key, int64_t by,
                     int64_t init, int64_t ttl_ms, int64_t *sum) {
  fcgi__content content = {.kind = FCGI_SHARED_INTEGER};
  int result = add_up(init, by, sum);
  if (result)
    return result;
  content.number = (uint64_t)*sum;
  content.expires = end_of(v, ttl_ms);
  result = fcgi__entry_store(v, key, &content);
  return result < 0 ? result : 1;
}

int fcgi_shared_incr(fcgi_shared *shared, const void *key, size_t key_len,
                     int64_t by, const int64_t *init, int64_t ttl_ms,
                     int64_t *sum) {
  fcgi__visit v;
  fcgi__key made;
  uint32_t number;
  int result;
  *sum = 0;
  if (is_wrong_time(ttl_ms))
    return FCGI_ERR_INVALID;
  result = look_up(&v, shared, key, key_len, &made, &number);
  if (result < 0)
    return result;
  if (number)
    result = add_to(&v, number, by, sum);
  else if (init)
    result = add_first(&v, &made, by, *init, ttl_ms, sum);
  return fcgi__visit_end(&v, result);
}

int fcgi_shared_delete(fcgi_shared *shared, const void *key, size_t key_len) {
  fcgi__visit v;
  fcgi__key made;
  uint32_t number;
  int found = look_up(&v, shared, key, key_len, &made, &number);
  if (found > 0)
    fcgi__entry_remove(&v, number);
  return found < 0 ? found : fcgi__visit_end(&v, found);
}

int fcgi_shared_expire(fcgi_shared *shared, const void *key, size_t key_len,
                       int64_t ttl_ms) {
  fcgi__visit v;
  fcgi__key made;
  uint32_t number;
  int found;
  if (is_wrong_time(ttl_ms))
    return FCGI_ERR_INVALID;
  found = look_up(&v, shared, key, key_len, &made, &number);
  if (found > 0) {
    fcgi__put_long(&v, &fcgi__block(&v, number)->as.first.expires,
                   end_of(&v, ttl_ms));
    fcgi__commit(&v);
  }
  return found < 0 ? found : fcgi__visit_end(&v, found);
}

/* --- All of it ------------------------------------------------------------ */

int fcgi_shared_clear(fcgi_shared *shared) {
  fcgi__visit v;
  int error = fcgi__visit_begin(&v, shared);
  if (error)
    return error;
  fcgi__empty(shared);
  v.damaged = 0; /* If anything was, it is no more. */
  return fcgi__visit_end(&v, 0);
}

int fcgi_shared_counts(fcgi_shared *shared, uint64_t *out, size_t count) {
  fcgi__visit v;
  fcgi__shared_head *head = shared->head;
  int error = fcgi__visit_begin(&v, shared);
  if (error)
    return error;
  for (size_t i = 0; i < count; i++)
    out[i] = i < FCGI_SHARED_COUNTS ? head->counts[i] : 0;
  if (count > FCGI_SHARED_SIZE)
    out[FCGI_SHARED_SIZE] = (uint64_t)shared->block_count * FCGI__SHARED_BLOCK;
  if (count > FCGI_SHARED_USED)
    out[FCGI_SHARED_USED] =
        (uint64_t)(head->fresh - head->free_count) * FCGI__SHARED_BLOCK;
  if (count > FCGI_SHARED_ENTRIES)
    out[FCGI_SHARED_ENTRIES] = head->entries;
  return fcgi__visit_end(&v, 0);
}
