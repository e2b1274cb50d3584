/* SPDX-License-Identifier: MIT */
/* The pair decoder: what it finds does not depend on how the bytes are cut,
   and it neither loses nor invents a byte. The first byte says how to cut. */
#include "fuzz/fuzz.h"

#include <fastcgi/pairs.h>
#include <string.h>

/* What was decoded: a hash over everything found, and totals. */
typedef struct found {
  uint64_t hash;   /* Of the parts in order. */
  size_t bytes;    /* Of names and values. */
  size_t pairs;    /* Complete ones. */
  int is_complete; /* 1: the bytes end between two pairs. */
} found;

static void mix(found *f, const void *data, size_t len) {
  const uint8_t *bytes = data;
  for (size_t i = 0; i < len; i++)
    f->hash = (f->hash ^ bytes[i]) * 1099511628211u;
}

static void take(found *f, fcgi_pairs *pairs, fcgi_pairs_part part,
                 const uint8_t *data, size_t len) {
  const uint32_t lengths[2] = {pairs->name_len, pairs->value_len};
  if (part == FCGI_PAIRS_LENGTHS) {
    fuzz_require(lengths[0] <= 0x7fffffff && lengths[1] <= 0x7fffffff);
    mix(f, lengths, sizeof lengths);
  } else if (part == FCGI_PAIRS_END) {
    f->pairs++;
  } else {
    fuzz_require(len > 0);
    f->bytes += len;
    mix(f, data, len);
  }
}

static void decode(found *f, fcgi_pairs *pairs, const uint8_t *data,
                   size_t len) {
  for (;;) {
    const uint8_t *part_data = NULL;
    size_t part_len = 0;
    fcgi_pairs_part part =
        fcgi_pairs_next(pairs, &data, &len, &part_data, &part_len);
    if (part == FCGI_PAIRS_MORE)
      break;
    take(f, pairs, part, part_data, part_len);
  }
  fuzz_require(len == 0);
}

static found decode_all(const uint8_t *data, size_t size, size_t chunk) {
  found f = {.hash = 14695981039346656037u};
  fcgi_pairs pairs = {0};
  for (size_t at = 0; at < size; at += chunk) {
    size_t len = size - at < chunk ? size - at : chunk;
    uint8_t *piece = fuzz_copy(data + at, len);
    decode(&f, &pairs, piece, len);
    free(piece);
  }
  f.is_complete = fcgi_pairs_complete(&pairs);
  return f;
}

static void require_same(const found *a, const found *b) {
  fuzz_require(a->hash == b->hash && a->bytes == b->bytes &&
               a->pairs == b->pairs && a->is_complete == b->is_complete);
}

/* What was decoded from one whole pair encodes to bytes that decode to it. */
static void round_trip(const uint8_t *data, size_t size) {
  size_t name_len = size / 3, value_len = size - name_len;
  size_t room = fcgi_pair_size(name_len, value_len);
  uint8_t *encoded = malloc(room);
  fuzz_require(encoded != NULL);
  fuzz_require(fcgi_pair_encode(encoded, data, name_len, data + name_len,
                                value_len) == room);
  found f = decode_all(encoded, room, room + 1);
  fuzz_require(f.pairs == 1 && f.bytes == size && f.is_complete);
  free(encoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0)
    return 0;
  size_t chunk = data[0] + 1u;
  data++;
  size--;
  found whole = decode_all(data, size, size + 1);
  found bytewise = decode_all(data, size, 1);
  found cut = decode_all(data, size, chunk);
  require_same(&whole, &bytewise);
  require_same(&whole, &cut);
  round_trip(data, size);
  return 0;
}
