/* SPDX-License-Identifier: MIT */
/* Records of answers. An answer is held against the first right one as it
   comes, so that one memcmp is all that a right answer costs. */
#include "bench.h"
#include <fastcgi/record.h>
#include <string.h>

/* Only a connection's open requests can be spoken of, for nothing else was
   asked. */
static bench_error begin_record(bench_connection *c, const uint8_t *header) {
  fcgi_record record;
  bench_slot *slot;
  fcgi_record_decode(&record, header);
  c->type = record.type;
  c->id = record.id;
  c->content = record.content_len;
  c->padding = record.padding_len;
  if (record.version != FCGI_WIRE_VERSION || record.id == 0 ||
      record.id > c->worker->plan->in_flight)
    return BENCH_PROTOCOL;
  slot = &c->slots[record.id - 1];
  if (!slot->busy)
    return BENCH_PROTOCOL;
  switch (record.type) {
  case FCGI_RECORD_STDOUT:
    if (slot->closed)
      return BENCH_PROTOCOL;
    slot->closed = record.content_len == 0;
    return BENCH_OK;
  case FCGI_RECORD_END_REQUEST:
    return record.content_len == 8 ? BENCH_OK : BENCH_PROTOCOL;
  default:
    return record.type == FCGI_RECORD_STDERR ? BENCH_OK : BENCH_PROTOCOL;
  }
}

static void take_end(bench_connection *c, const uint8_t *data, size_t len) {
  bench_slot *slot = &c->slots[c->id - 1];
  memcpy(c->end + c->have, data, len);
  c->have = (uint8_t)(c->have + len);
  if (c->have < sizeof c->end)
    return;
  c->have = 0;
  bench_finish(c, slot, bench_judge(c->worker, slot, c->end));
}

static void take_content(bench_connection *c, const uint8_t *data, size_t len) {
  if (c->type == FCGI_RECORD_STDOUT)
    bench_take(c->worker, &c->slots[c->id - 1], data, len);
  else if (c->type == FCGI_RECORD_END_REQUEST)
    take_end(c, data, len);
  else
    c->worker->counts.stderr_bytes += len;
}

/* Bytes of a header: how many are used; `*error` once it is whole. */
static size_t take_header(bench_connection *c, const uint8_t *data, size_t len,
                          bench_error *error) {
  size_t need = FCGI_RECORD_HEADER - c->have;
  if (c->have == 0 && len >= need) {
    *error = begin_record(c, data);
    return need;
  }
  if (need > len)
    need = len;
  memcpy(c->header + c->have, data, need);
  c->have = (uint8_t)(c->have + need);
  if (c->have == FCGI_RECORD_HEADER) {
    c->have = 0;
    *error = begin_record(c, c->header);
  }
  return need;
}

bench_error bench_scan(bench_connection *c, const uint8_t *data, size_t len) {
  bench_error error = BENCH_OK;
  while (len > 0 && error == BENCH_OK) {
    size_t used;
    if (c->content > 0) {
      used = c->content < len ? c->content : len;
      c->content -= used;
      take_content(c, data, used);
    } else if (c->padding > 0) {
      used = c->padding < len ? c->padding : len;
      c->padding -= used;
    } else {
      used = take_header(c, data, len, &error);
    }
    data += used;
    len -= used;
  }
  return error;
}
