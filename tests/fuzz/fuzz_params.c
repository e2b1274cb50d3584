/* SPDX-License-Identifier: MIT */
/* Parameters: however the bytes are cut and whatever came before on the
   connection, known, unknown and mixed names give what a plain reading gives.
   The first byte says what the rest is, the second how to cut it. */
#include "fuzz/fuzz.h"
#include "session/params.h"

#include <fastcgi/error.h>

enum { MOST_BYTES = 65536, MOST_PAIRS = 2000, NAME_ROOM = 64 };

/* Bits of the first byte. */
enum {
  SCRIPT = 1,     /* The rest says which pairs to make; else it is the bytes. */
  KEEP_PROXY = 2, /* HTTP_PROXY is not dropped. */
  FEW_BYTES = 4,  /* The limit of bytes is low. */
  FEW_PAIRS = 8,  /* The limit of pairs is low. */
  CUT = 16        /* One byte less than whole pairs. */
};

/* A pair, where it lies. */
typedef struct pair {
  const uint8_t *name, *value; /* Both texts. */
  size_t name_len, value_len;  /* Their bytes. */
} pair;

/* What a plain reading of the bytes gives. */
typedef struct plain {
  pair pairs[MOST_PAIRS]; /* In order. */
  size_t count;           /* Pairs that are whole. */
  int error;              /* While they came. */
  int unfinished;         /* 1: the last one is not whole. */
} plain;

/* The bytes of PARAMS. */
typedef struct content {
  uint8_t data[MOST_BYTES]; /* As a web server sends them. */
  size_t len;               /* Bytes in use. */
} content;

static int same(const pair *a, const pair *b) {
  return a->name_len == b->name_len &&
         memcmp(a->name, b->name, a->name_len) == 0;
}

static int is(const pair *p, const char *name) {
  return p->name_len == strlen(name) && memcmp(p->name, name, p->name_len) == 0;
}

/* A length at `*at`; 0 when it is not whole. */
static int read_length(const content *c, size_t *at, size_t *out) {
  const uint8_t *in = c->data + *at;
  size_t size = *at < c->len && in[0] & 0x80 ? 4 : 1;
  if (c->len - *at < size)
    return 0;
  *out = size == 1 ? in[0]
                   : (size_t)(in[0] & 0x7f) << 24 | (size_t)in[1] << 16 |
                         (size_t)in[2] << 8 | in[3];
  *at += size;
  return 1;
}

static void read_plainly(plain *p, const content *c,
                         const fcgi__params_limits *limits) {
  size_t at = 0, total = 0;
  while (at < c->len && !p->error && !p->unfinished) {
    pair one = {0};
    p->unfinished = !read_length(c, &at, &one.name_len) ||
                    !read_length(c, &at, &one.value_len);
    if (p->unfinished)
      break;
    total += one.name_len + one.value_len;
    if (total > limits->bytes || p->count >= limits->pairs)
      p->error = FCGI_ERR_LIMIT;
    else if (one.name_len + one.value_len > c->len - at)
      p->unfinished = 1;
    if (p->error || p->unfinished)
      break;
    one.name = c->data + at;
    one.value = one.name + one.name_len;
    at += one.name_len + one.value_len;
    if (memchr(one.name, 0, one.name_len + one.value_len))
      p->error = FCGI_ERR_PROTOCOL;
    else if (!is(&one, "HTTP_PROXY") || limits->keep_http_proxy)
      p->pairs[p->count++] = one;
  }
}

static void append(content *c, const void *data, size_t len) {
  if (len > 0)
    memcpy(c->data + c->len, data, len);
  c->len += len;
}

/* What a look-up of the name gives: all its values joined, or the last one.
   Returns how many there are. */
static size_t expected_value(content *out, const plain *p, const pair *name) {
  const int joins = name->name_len >= 5 && !memcmp(name->name, "HTTP_", 5);
  size_t count = 0;
  out->len = 0;
  for (size_t i = 0; i < p->count; i++) {
    if (!same(&p->pairs[i], name))
      continue;
    if (!joins)
      out->len = 0;
    else if (count > 0)
      append(out, is(name, "HTTP_COOKIE") ? "; " : ", ", 2);
    append(out, p->pairs[i].value, p->pairs[i].value_len);
    count++;
  }
  return count;
}

static void require_pair(const fcgi_params *params, const plain *p, size_t i,
                         content *value, int *duplicates) {
  const pair *wanted = &p->pairs[i];
  fcgi_param found;
  size_t len = 0;
  const char *text;
  fuzz_require(fcgi_params_at(params, i, &found) == 0);
  fuzz_require(found.name_len == wanted->name_len &&
               found.value_len == wanted->value_len &&
               !memcmp(found.name, wanted->name, found.name_len) &&
               !memcmp(found.value, wanted->value, found.value_len) &&
               !found.name[found.name_len] && !found.value[found.value_len]);
  *duplicates |= expected_value(value, p, wanted) > 1;
  text = fcgi_params_get(params, found.name, found.name_len, &len);
  fuzz_require(text && len == value->len && !memcmp(text, value->data, len) &&
               !text[len]);
}

static void require_same(const fcgi_params *params, const plain *p) {
  content *value = calloc(1, sizeof *value);
  int duplicates = 0, head = 0;
  fuzz_require(value && fcgi_params_count(params) == p->count);
  for (size_t i = 0; i < p->count; i++) {
    require_pair(params, p, i, value, &duplicates);
    if (is(&p->pairs[i], "REQUEST_METHOD"))
      head =
          p->pairs[i].value_len == 4 && !memcmp(p->pairs[i].value, "HEAD", 4);
  }
  fuzz_require(fcgi_params_duplicates(params) == duplicates);
  fuzz_require(fcgi_params_is_head(params) == head);
  free(value);
}

/* Feed all in pieces of `chunk` bytes, and hold what comes to the plain
   reading. */
static void run(const content *c, const plain *p, fcgi__name_order *order,
                const fcgi__params_limits *limits, size_t chunk) {
  const fcgi_allocator allocator = fcgi__allocator(NULL);
  fcgi_params *params = calloc(1, sizeof *params);
  int error = 0;
  fuzz_require(params != NULL);
  for (size_t at = 0; at < c->len && !error; at += chunk) {
    size_t len = c->len - at < chunk ? c->len - at : chunk;
    uint8_t *piece = fuzz_copy(c->data + at, len);
    error = fcgi__params_feed(params, &allocator, limits, order, piece, len);
    free(piece);
  }
  fuzz_require(error == p->error);
  if (!error)
    error = fcgi__params_finish(params, &allocator);
  fuzz_require(p->error || error == (p->unfinished ? FCGI_ERR_PROTOCOL : 0));
  if (!error)
    require_same(params, p);
  fcgi__params_clear(params, &allocator);
  free(params);
}

static void put_length(content *c, size_t len) {
  uint8_t out[4] = {(uint8_t)(len >> 24 | 0x80), (uint8_t)(len >> 16),
                    (uint8_t)(len >> 8), (uint8_t)len};
  if (len < 0x80 && len % 7 != 6)
    append(c, out + 3, 1);
  else
    append(c, out, 4);
}

/* The name that a byte of the script stands for. */
static size_t name_of(uint8_t byte, uint8_t *out) {
  static const char *const rare[] = {"HTTP_PROXY", "",  "A",
                                     "HTTP_X_ONE", "B", "HTTP_X_TWO"};
  const char *name = rare[byte % 6];
  if (byte > 0 && byte < FCGI__NAMES)
    name = fcgi__names[byte].text;
  memcpy(out, name, strlen(name) + 1);
  if (byte >= 240)
    out[0] ^= 1;
  if (byte == 255)
    out[strlen(name) / 2] = 0;
  return strlen(name);
}

/* Two bytes a pair: its name, and how long its value is. */
static void make_pairs(content *c, const uint8_t *script, size_t size) {
  uint8_t name[NAME_ROOM], value[4096];
  for (size_t i = 0; i + 1 < size && c->len + 6000 < MOST_BYTES; i += 2) {
    size_t name_len = name_of(script[i], name), value_len = script[i + 1];
    memset(value, 'a' + (int)i % 26, sizeof value);
    if (value_len > 200)
      value_len = (value_len - 200) * 71;
    if (script[i + 1] == 199)
      value[value_len / 2] = 0;
    if (script[i + 1] == 4)
      memcpy(value, "HEAD", 4);
    put_length(c, name_len);
    put_length(c, value_len);
    append(c, name, name_len);
    append(c, value, value_len);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2 || size > MOST_PAIRS)
    return 0;
  const fcgi__params_limits limits = {
      .bytes = data[0] & FEW_BYTES ? 300 : 256 * 1024,
      .pairs = data[0] & FEW_PAIRS ? 6 : 1024,
      .keep_http_proxy = (data[0] & KEEP_PROXY) != 0};
  fcgi__name_order order = {{0}};
  content *c = calloc(1, sizeof *c);
  plain *p = calloc(1, sizeof *p);
  fuzz_require(c && p);
  if (data[0] & SCRIPT)
    make_pairs(c, data + 2, size - 2);
  else
    append(c, data + 2, size - 2);
  c->len -= c->len > 0 && data[0] & CUT;
  read_plainly(p, c, &limits);
  run(c, p, NULL, &limits, c->len + 1);
  run(c, p, &order, &limits, c->len + 1);
  run(c, p, &order, &limits, c->len + 1);
  run(c, p, &order, &limits, data[1] + 1u);
  run(c, p, &order, &limits, 1);
  free(c);
  free(p);
  return 0;
}
