/* SPDX-License-Identifier: MIT */
/* The shared dictionary beside a plain list of entries: whatever is stored,
   counted, removed and let expire, both have the same. What had to go for
   others are the entries that were used least recently, as many as counted. The
   first byte says how long keys are. */
#include "fuzz/fuzz.h"
#include "fuzz/script.h"
#include "support/sound.h"

#include <fastcgi/error.h>

/* Time is in units far longer than a run takes, so that the clock does not
   matter. */
enum { KEYS = 64, BYTES = 30000, UNIT_MS = 1000000 };

typedef struct entry {
  int is_there;            /* 1: it is stored, but may be over. */
  fcgi_shared_value value; /* `data` is not used: `seed` says what it is. */
  uint8_t seed;            /* The bytes of the value. */
  uint64_t expires;        /* In the time of the model; 0: never. */
  uint64_t used;           /* When it was used last. */
} entry;

typedef struct model {
  fcgi_shared *d;      /* What is tested. */
  entry entries[KEYS]; /* What it has. */
  uint64_t now;        /* The time that has passed. */
  uint64_t uses;       /* How often entries were used. */
  uint64_t evicted;    /* What the dictionary has counted. */
  size_t key_len;      /* Bytes of each key. */
} model;

static size_t key_of(const model *m, unsigned number, uint8_t *key) {
  memset(key, (int)number, FCGI_SHARED_KEY);
  return m->key_len;
}

/* The byte in a value's bytes. */
static uint8_t byte_at(uint8_t seed, size_t at) {
  return (uint8_t)(seed + at + at / 120 * 7);
}

static void compose(uint8_t *bytes, uint8_t seed, size_t len) {
  for (size_t i = 0; i < len; i++)
    bytes[i] = byte_at(seed, i);
}

static entry *live(model *m, unsigned number) {
  entry *e = &m->entries[number];
  if (e->is_there && e->expires && e->expires <= m->now)
    e->is_there = 0;
  return e->is_there ? e : NULL;
}

static void use(model *m, entry *e) {
  e->used = ++m->uses;
}

static uint64_t count(fcgi_shared *d, fcgi_shared_count which) {
  uint64_t all[FCGI_SHARED_COUNTS];
  fuzz_require(fcgi_shared_counts(d, all, FCGI_SHARED_COUNTS) == 0);
  return all[which];
}

static void drop_oldest(model *m) {
  entry *oldest = NULL;
  for (unsigned i = 0; i < KEYS; i++) {
    entry *e = live(m, i);
    if (e && (!oldest || e->used < oldest->used))
      oldest = e;
  }
  fuzz_require(oldest != NULL);
  oldest->is_there = 0;
}

static void drop_evicted(model *m) {
  uint64_t now = count(m->d, FCGI_SHARED_EVICTED);
  for (; m->evicted < now; m->evicted++)
    drop_oldest(m);
}

static fcgi_shared_value value_of(script *s, uint8_t *bytes, uint8_t *seed) {
  uint8_t how = script_byte(s);
  fcgi_shared_value value = {.kind = (fcgi_shared_kind)(1 + how % 5)};
  *seed = script_byte(s);
  value.ttl_ms = how & 64 ? script_byte(s) * (int64_t)UNIT_MS : 0;
  if (value.kind <= FCGI_SHARED_STRING) {
    value.len = script_size(s) % BYTES;
    value.data = bytes;
    compose(bytes, *seed, value.len);
  } else if (value.kind == FCGI_SHARED_REAL) {
    value.real = *seed / 7.0;
  } else {
    value.integer = value.kind == FCGI_SHARED_BOOLEAN ? *seed & 1 : *seed;
  }
  return value;
}

typedef int operation(fcgi_shared *, const void *, size_t,
                      const fcgi_shared_value *);

static void store(model *m, script *s, int how) {
  static operation *const operations[] = {fcgi_shared_set, fcgi_shared_add,
                                          fcgi_shared_replace};
  static uint8_t bytes[BYTES];
  uint8_t key[FCGI_SHARED_KEY], seed;
  unsigned number = script_byte(s) % KEYS;
  entry *e = live(m, number);
  size_t len = key_of(m, number, key);
  fcgi_shared_value value = value_of(s, bytes, &seed);
  int wanted = how == 0 || (how == 1) == (e == NULL);
  int result = operations[how](m->d, key, len, &value);
  if (!wanted)
    fuzz_require(result == 0);
  if (!wanted || result == FCGI_ERR_LIMIT)
    return;
  fuzz_require(how == 0 ? result >= 0 : result == 1);
  if (e)
    use(m, e);
  drop_evicted(m);
  e = &m->entries[number];
  *e = (entry){.is_there = 1, .value = value, .seed = seed};
  e->expires = value.ttl_ms ? m->now + (uint64_t)value.ttl_ms / UNIT_MS : 0;
  use(m, e);
}

static void require_same(const entry *e, const fcgi_shared_value *value,
                         const uint8_t *bytes) {
  fuzz_require(value->kind == e->value.kind);
  fuzz_require(value->len == e->value.len);
  fuzz_require(value->integer == e->value.integer);
  fuzz_require(value->real == e->value.real);
  fuzz_require((value->ttl_ms > 0) == (e->expires > 0));
  for (size_t i = 0; i < value->len; i++)
    fuzz_require(bytes[i] == byte_at(e->seed, i));
}

static void get_number(model *m, unsigned number) {
  static uint8_t bytes[BYTES];
  uint8_t key[FCGI_SHARED_KEY];
  entry *e = live(m, number);
  fcgi_shared_value value;
  int found = fcgi_shared_get(m->d, key, key_of(m, number, key), bytes,
                              sizeof bytes, &value);
  fuzz_require(found == (e != NULL));
  if (!e)
    return;
  require_same(e, &value, bytes);
  use(m, e);
}

static void get(model *m, script *s) {
  get_number(m, script_byte(s) % KEYS);
}

static void count_on(model *m, script *s) {
  unsigned number = script_byte(s) % KEYS;
  uint8_t key[FCGI_SHARED_KEY], how = script_byte(s);
  const int64_t init = how, by = (int8_t)script_byte(s), ttl = how & 1 ? 50 : 0;
  size_t len = key_of(m, number, key);
  entry *e = live(m, number);
  int64_t sum;
  int result = fcgi_shared_incr(m->d, key, len, by, how & 2 ? &init : NULL,
                                ttl * UNIT_MS, &sum);
  if (e && e->value.kind != FCGI_SHARED_INTEGER) {
    fuzz_require(result == FCGI_ERR_STATE);
  } else if (e) {
    fuzz_require(result == 1 && sum == e->value.integer + by);
    e->value.integer = sum;
    use(m, e);
  } else if (!(how & 2)) {
    fuzz_require(result == 0);
  } else {
    fuzz_require(result == 1 && sum == init + by);
    drop_evicted(m);
    e = &m->entries[number];
    *e = (entry){.is_there = 1, .value.kind = FCGI_SHARED_INTEGER};
    e->value.integer = sum;
    e->expires = ttl ? m->now + (uint64_t)ttl : 0;
    use(m, e);
  }
}

static void remove_one(model *m, script *s) {
  unsigned number = script_byte(s) % KEYS;
  uint8_t key[FCGI_SHARED_KEY];
  entry *e = live(m, number);
  fuzz_require(fcgi_shared_delete(m->d, key, key_of(m, number, key)) ==
               (e != NULL));
  if (e)
    e->is_there = 0;
}

static void let_expire(model *m, script *s) {
  unsigned number = script_byte(s) % KEYS;
  uint8_t key[FCGI_SHARED_KEY], ttl = script_byte(s);
  entry *e = live(m, number);
  fuzz_require(fcgi_shared_expire(m->d, key, key_of(m, number, key),
                                  ttl * (int64_t)UNIT_MS) == (e != NULL));
  if (e)
    e->expires = ttl ? m->now + ttl : 0;
}

static void pass_time(model *m, script *s) {
  uint8_t ms = script_byte(s);
  m->now += ms;
  m->d->ahead_ms += (uint64_t)ms * UNIT_MS;
}

static void list(model *m, script *s) {
  uint8_t key[FCGI_SHARED_KEY];
  uint64_t place = 0;
  int len, seen = 0, wanted = 0;
  (void)s;
  while ((len = fcgi_shared_next(m->d, &place, key)) > 0) {
    fuzz_require((size_t)len == m->key_len && live(m, key[0]) != NULL);
    seen++;
  }
  for (unsigned i = 0; i < KEYS; i++)
    wanted += live(m, i) != NULL;
  fuzz_require(len == 0 && seen == wanted);
}

static void clear(model *m, script *s) {
  if (script_byte(s) % 8)
    return;
  fuzz_require(fcgi_shared_clear(m->d) == 0);
  memset(m->entries, 0, sizeof m->entries);
}

static void act(model *m, script *s) {
  static void (*const others[])(model *, script *) = {
      get, count_on, remove_one, let_expire, pass_time, list, clear};
  unsigned which = script_byte(s) % 13;
  if (which < 6)
    store(m, s, (int)which % 3);
  else
    others[which - 6](m, s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const size_t lengths[] = {1, 7, 79, 80, 81, 200, 201, 2048};
  script s = {data, size};
  model m = {.d = unit_shared(FCGI_SHARED_LEAST)};
  m.key_len = lengths[script_byte(&s) % 8];
  while (s.left > 0)
    act(&m, &s);
  for (unsigned i = 0; i < KEYS; i++)
    get_number(&m, i);
  fuzz_require(unit_unsound(m.d) == NULL);
  fuzz_require(count(m.d, FCGI_SHARED_EMPTIED) == 0);
  fcgi_shared_free(m.d);
  return 0;
}
